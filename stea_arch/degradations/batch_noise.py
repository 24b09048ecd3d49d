"""Gaussian and Poisson noise for a batch, gray or colour, from a generator of the caller's.

Distributions as BasicSR's ``generate_gaussian_noise_pt`` and ``generate_poisson_noise_pt``, with two differences: only
the kind that a sample gets is computed, and gray samples of one batch have independent Gaussian fields, not the same.
"""

import torch
from torchvision.transforms.functional import rgb_to_grayscale


def gaussian_noise(img, levels, gray, generator):
    """White Gaussian noise.

    Args:
        img (Tensor): (B, 3, H, W), float32; gives shape and device.
        levels (Sequence[float]): For each sample the standard deviation in 8-bit steps.
        gray (Sequence[bool]): For each sample: the same field in all channels.
        generator (torch.Generator): On the device of ``img``.

    Returns:
        Tensor: (B, 3, H, W), float32, to be added.
    """
    noise = torch.empty(img.shape, dtype=img.dtype, device=img.device)
    for sample, level, is_gray in zip(noise, levels, gray, strict=True):
        field = sample[:1] if is_gray else sample
        sample.copy_(torch.randn(field.shape, generator=generator, device=img.device) * level / 255)
    return noise


def poisson_noise(img, levels, gray, generator):
    """Shot noise: ``level * (Poisson(v x) / v - x)`` with x the image rounded to 8 bits.

    ``v``, the number of photons of a white pixel, is the number of distinct values in x (over all channels), rounded
    up to a power of two: 256 for most photographs.

    Args:
        img (Tensor): (B, 3, H, W), float32, usually in [0, 1].
        levels (Sequence[float]): For each sample the scale; 1 is physical shot noise.
        gray (Sequence[bool]): For each sample: the noise of the gray image in all channels.
        generator (torch.Generator): On the device of ``img``.

    Returns:
        Tensor: (B, 3, H, W), float32, to be added; NaN where the image is.
    """
    noise = torch.empty(img.shape, dtype=img.dtype, device=img.device)
    powers = 2 ** torch.arange(9, device=img.device)
    for target, sample, level, is_gray in zip(noise, img, levels, gray, strict=True):
        steps = ((rgb_to_grayscale(sample) if is_gray else sample) * 255).round().clamp(0, 255)
        whole = steps.nan_to_num()  # neither function takes NaN, which must reach the loss to be noticed
        distinct = torch.bincount(whole.flatten().int(), minlength=256).count_nonzero()
        photons = powers[torch.bucketize(distinct, powers)]
        counts = torch.poisson(whole / 255 * photons, generator=generator)
        target.copy_((counts / photons - steps / 255) * level)
    return noise
