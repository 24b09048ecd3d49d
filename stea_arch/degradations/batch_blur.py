"""Blur of a batch, every image with a kernel of its own, on any device."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len


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
        raise ValueError(
            'Images (B, C, H, W) and one kernel (K, K) for each, K odd, were expected, but '
            f'{tuple(img.shape)} and {tuple(kernels.shape)} came. Take the kernels of the same batch.'
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
