"""The colours of a photograph are not the network's to change: its result keeps the low frequencies of the input.

And what it is shown are the numbers of sRGB, which it was trained with, whatever the photograph's profile is.
"""

import numpy as np
import torch
import torch.nn.functional as F

from stea_arch.images.profile import read_profile

BLOCK = 16  # pixels of the input: coarser than noise and the blocks of a JPEG, which are not to come back
ROUNDS = 4  # clipping, and the smooth course from block to block, leave a rest of about a fifth each time


def keep_low_frequencies(sr, lq):
    """Shift the colours of a result, smoothly, until its means over blocks are those of the input.

    Args:
        sr (Tensor): ``(B, C, s H, s W)`` in [0, 1]; changed in place.
        lq (Tensor): ``(B, C, H, W)``, what it was made of; or ``(B, 1, H, W)`` for all channels.

    Returns:
        Tensor: ``sr``.
    """
    height, width = sr.shape[-2:]
    scale = height // lq.shape[-2]
    expected = _block_means(lq, BLOCK)
    for _ in range(ROUNDS):
        shift = expected - _block_means(sr, BLOCK * scale)
        size = [length * BLOCK * scale for length in shift.shape[-2:]]
        for channel in range(sr.shape[1]):  # one at a time: the result is large enough without a copy of it
            smooth = F.interpolate(shift[:, channel, None], size, mode='bilinear')[..., :height, :width]
            sr[:, channel, None].add_(smooth).clamp_(0, 1)
    return sr


def upscale_in_srgb(photo, upscale):
    """The pixels of a photograph, larger, in its own profile.

    The network sees its colours in sRGB. How far they lie beyond what sRGB can show is interpolated and added, so that
    they stay as vivid as they were.

    Args:
        photo (Photo): The image.
        upscale (callable): pixels, also floating in [0, 1] -> larger pixels.

    Returns:
        ndarray: In the type of its pixels.
    """
    profile = read_profile(photo.icc) if photo.pixels.shape[2] > 2 else None
    if profile is None:
        return upscale(photo.pixels)
    largest = np.iinfo(photo.pixels.dtype).max
    values = photo.pixels.astype(np.float32) / largest
    _convert(profile.to_srgb, values)
    shown = values.copy()
    shown[..., :3].clip(0, 1, out=shown[..., :3])
    result = upscale(shown)
    for channel in range(3):  # one at a time, and rows further below: the result is large enough without a copy of it
        beyond = torch.from_numpy(values[..., channel] - shown[..., channel])
        if beyond.any():
            result[..., channel] += F.interpolate(beyond[None, None], result.shape[:2], mode='bicubic')[0, 0].numpy()
    _convert(profile.from_srgb, result)
    larger = np.empty(result.shape, photo.pixels.dtype)
    for row, values in zip(larger, result):
        row[:] = (values * largest).round()
    return larger


def _convert(function, image):
    """Apply a function of colours to ``(H, W, 3 or 4)``, in place."""
    for start in range(0, len(image), 16):
        rows = image[start : start + 16, :, :3]
        rows[:] = function(rows)


def _block_means(image, size):
    return F.avg_pool2d(image, size, ceil_mode=True, count_include_pad=False)
