"""Blur with mirrored borders (reflect-101: the outermost pixel is not repeated), as cv2.filter2D, but faster.

``blur`` is for one image in the processor's memory, ``blur_batch`` for a batch of tensors on any device.
"""

import threading

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len

from stea_arch.system.errors import InputError


def matrix_after_blur(matrix, factor):
    """The matrix that does to a signal what ``matrix`` does to the blurred signal.

    Args:
        matrix (ndarray): (out, in), float64.
        factor (ndarray): (K,), float64, K odd, symmetric.

    Returns:
        ndarray: (out, in), float64.
    """
    radius, length = len(factor) // 2, matrix.shape[1]
    padded = cv2.copyMakeBorder(matrix, 0, 0, radius, radius, cv2.BORDER_CONSTANT)
    spread = cv2.filter2D(padded, -1, factor[None], borderType=cv2.BORDER_CONSTANT)
    source = np.pad(np.arange(length), radius, mode='reflect')
    combined = spread[:, radius : radius + length]
    for beyond in (*range(radius), *range(radius + length, length + 2 * radius)):
        combined[:, source[beyond]] += spread[:, beyond]
    return combined


class _Workspace(threading.local):
    """The transform's memory for the last shape: asking for it anew would take as long as the transform itself."""

    shape = planes = spectrum = None

    def of(self, channels, height, width):
        if self.shape != (channels, height, width):
            self.shape = channels, height, width
            self.planes = torch.zeros(self.shape)
            self.spectrum = torch.zeros(channels, height, width // 2 + 1, dtype=torch.complex64)
        return self.planes, self.spectrum


_workspace = _Workspace()


def blur(img, kernel):
    """Correlate an image with any kernel, by FFT: the time hardly depends on K.

    Args:
        img (ndarray): (H, W, C), float32.
        kernel (ndarray): (K, K), K odd.

    Returns:
        ndarray: (C, H, W), float32, in memory that the next call in this thread overwrites.
    """
    height, width, channels = img.shape
    size, radius = len(kernel), len(kernel) // 2
    shape = [next_fast_len(length + size - 1, real=True) for length in (height, width)]
    planes, spectrum = _workspace.of(channels, *shape)
    planes[:, height + 2 * radius :] = 0
    planes[:, :, width + 2 * radius :] = 0
    planes[:, radius : radius + height, radius : radius + width] = torch.from_numpy(img).permute(2, 0, 1)
    for dim, length in ((1, height), (2, width)):
        source = radius + np.pad(np.arange(length), radius, mode='reflect')
        beyond = torch.tensor([*range(radius), *range(radius + length, length + 2 * radius)], dtype=torch.long)
        planes.index_copy_(dim, beyond, planes.index_select(dim, torch.from_numpy(source)[beyond]))
    torch.fft.rfft2(planes, out=spectrum)
    turned = np.ascontiguousarray(kernel[::-1, ::-1], np.float32)  # correlation, not convolution
    spectrum *= torch.fft.rfft2(torch.from_numpy(turned), shape)
    torch.fft.irfft2(spectrum, shape, out=planes)
    return planes[:, size - 1 : size - 1 + height, size - 1 : size - 1 + width].numpy()


def blur_batch(img, kernels):
    """Correlate each image with its kernel, by FFT, borders mirrored without repeating the outermost pixel.

    The same as BasicSR's ``filter2D`` up to rounding (1e-6), but the time hardly depends on K, the image may be laid
    out in any way, and it may be smaller than the kernel.

    Args:
        img (Tensor): (B, C, H, W), float32.
        kernels (Tensor): (B, K, K) or (1, K, K) for one that all share, K odd, on the same device.

    Returns:
        Tensor: (B, C, H, W), float32.

    Raises:
        ValueError: Other shapes.
    """
    if img.ndim != 4 or kernels.ndim != 3 or len(kernels) not in (1, len(img)) or kernels.shape[-1] % 2 == 0:
        raise InputError(
            'Expected images (B, C, H, W) and one kernel (K, K) for each, K odd, got '
            f'{tuple(img.shape)} and {tuple(kernels.shape)}. Take the kernels of the same batch.'
        )
    height, width = img.shape[-2:]
    padded = _mirror(img, kernels.shape[-1] // 2)
    shape = [next_fast_len(length, real=True) for length in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded, shape)
    spectrum *= torch.fft.rfft2(kernels, shape).conj()[:, None]
    return torch.fft.irfft2(spectrum, shape)[..., :height, :width]


def _mirror(img, radius):
    if radius < min(img.shape[-2:]):
        return F.pad(img, (radius,) * 4, mode='reflect')
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(length), radius, mode='reflect')).to(img.device) for length in img.shape[-2:]
    )
    return img[..., rows, :][..., columns]
