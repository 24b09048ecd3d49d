"""Bicubic resizing as MATLAB's ``imresize`` does it, written as one matrix per axis.

Resizing is linear and separable, so along each axis it is a product with an (out, in) matrix. Row ``i`` (from 0) holds
the weights of output pixel ``i``, whose centre lies at ``u = (i + 0.5) / scale - 0.5`` of the input:

    w(j) = cubic(c * (u - j)),   c = min(scale, 1),   normalised to sum 1

with Keys' cubic of a = -0.5, stretched by 1 / scale when shrinking (antialiasing). Pixels beyond the border are the
mirrored ones, the outermost repeated: their weights are added to those of the pixels they mirror.
"""

import math
from functools import lru_cache

import numpy as np

from stea_arch.system.errors import InputError


def cubic(x):
    """Keys' interpolation kernel with a = -0.5 (support 4): 1 at 0, 0 at every other integer.

    Source: R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981.
    """
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def resize_matrix(in_length, out_length, scale=None):
    """Weights that take ``in_length`` samples to ``out_length``; kept in memory for the sizes used last.

    Args:
        in_length (int), out_length (int): Number of samples, at least 1.
        scale (float | None): Distance between input samples over distance between output samples. MATLAB's
            ``imresize(img, scale)`` uses the given scale also where ``scale * in_length`` is not whole; None stands
            for ``out_length / in_length``.

    Returns:
        ndarray: (out_length, in_length), float64, read-only; every row sums to 1.

    Raises:
        ValueError: A length below 1 or a scale not above 0.
    """
    if in_length < 1 or out_length < 1:
        raise InputError(
            f'Lengths of a resized axis must be at least 1, got in_length={in_length} and out_length={out_length}.'
        )
    scale = out_length / in_length if scale is None else float(scale)
    if not (scale > 0 and math.isfinite(scale)):
        raise InputError(f'The scale of a resized axis must be a positive number, got {scale}.')
    return _resize_matrix(int(in_length), int(out_length), scale)


@lru_cache(maxsize=16)
def _resize_matrix(in_length, out_length, scale):
    contraction = min(scale, 1.0)
    half_width = 2 / contraction
    centres = (np.arange(out_length) + 0.5) / scale - 0.5
    taps = np.floor(centres - half_width)[:, None] + np.arange(math.ceil(2 * half_width) + 2)
    weights = cubic(contraction * (centres[:, None] - taps))
    weights /= weights.sum(1, keepdims=True)
    columns = taps.astype(np.int64) % (2 * in_length)  # the mirrored signal repeats after twice its length
    columns = np.minimum(columns, 2 * in_length - 1 - columns)
    matrix = np.zeros((out_length, in_length))
    np.add.at(matrix, (np.arange(out_length)[:, None], columns), weights)
    matrix.flags.writeable = False
    return matrix


def imresize(img, scale):
    """Resize an image by one factor, as MATLAB's ``imresize(img, scale, 'bicubic')`` without its rounding.

    Args:
        img (ndarray): (H, W, C) or (H, W), float32, any range.
        scale (float): New size over old size; the new size is ``ceil(scale * old)``.

    Returns:
        ndarray: (ceil(scale * H), ceil(scale * W), C) or without C, float32; not clipped, so it may overshoot.

    Raises:
        ValueError: Not two or three axes, an empty axis, or a scale not above 0.
    """
    if img.ndim not in (2, 3):
        raise InputError(
            f'Expected an image of shape (H, W) or (H, W, C), got {img.shape}. Resize the images of a batch one by one.'
        )
    height, width = img.shape[:2]
    rows = resize_matrix(height, math.ceil(height * scale), scale).astype(np.float32)
    columns = resize_matrix(width, math.ceil(width * scale), scale).astype(np.float32)
    if img.ndim == 2:
        return rows @ img @ columns.T
    planes = np.ascontiguousarray(img.transpose(2, 0, 1))
    return np.ascontiguousarray((rows @ planes @ columns.T).transpose(1, 2, 0))
