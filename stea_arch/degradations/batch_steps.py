"""Steps of a degradation on a batch of tensors, on any device: noise, JPEG, sharpening, crop.

Noise has the distributions of BasicSR's ``generate_gaussian_noise_pt`` and ``generate_poisson_noise_pt``, with two
differences: only the kind that a sample gets is computed, and gray samples of one batch have independent Gaussian
fields, not the same.
"""

import copy
from functools import lru_cache

import cv2
import torch
import torch.nn.functional as F
from basicsr.utils import DiffJPEG
from torchvision.transforms.functional import rgb_to_grayscale

from stea_arch.degradations.blur import blur_batch
from stea_arch.system.errors import InputError


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


def jpeg(img, qualities):
    """Compress and decompress, by BasicSR's DiffJPEG (4:2:0, standard tables, padded with black to multiples of 16).

    At quality 100, where DiffJPEG would divide by 0, all steps of the tables are 1, as libjpeg has them.

    Args:
        img (Tensor): (B, 3, H, W), float32 RGB in [0, 1].
        qualities (Sequence[float]): For each sample, in (0, 100].

    Returns:
        Tensor: (B, 3, H, W), float32 in [0, 1], contiguous.
    """
    quality = torch.tensor(qualities, dtype=img.dtype)
    best = quality == 100
    if best.any() and not best.all():
        result = torch.empty(img.shape, dtype=img.dtype, device=img.device)
        for some in (best, ~best):
            result[some.to(img.device)] = jpeg(img[some.to(img.device)], quality[some].tolist())
        return result
    factor = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    factor = torch.where(best, 1, factor).to(img.device)
    height, width = img.shape[-2:]
    padded = F.pad(img, (0, -width % 16, 0, -height % 16))
    codec = _codec(img.device, bool(best.all()))
    planes = codec.compress(padded, factor=factor)
    return codec.decompress(*planes, *padded.shape[-2:], factor=factor)[..., :height, :width].contiguous()


@lru_cache
def _codec(device, finest):
    # a copy, because all DiffJPEG modules share their tables: moving one to a device would move those of the others
    codec = copy.deepcopy(DiffJPEG(differentiable=False)).requires_grad_(False).to(device)
    for name, table in codec.named_parameters():
        if finest and name.endswith(('y_table', 'c_table')):
            table.fill_(1)
    return codec


SIZE = 51  # pixels: of the Gaussian, whose sigma is 8 by OpenCV's rule


@torch.no_grad()
def usm_sharpen(img, weight=0.5, threshold=10):
    """Unsharp masking where it makes a visible difference; equals BasicSR's ``USMSharp``, but by FFT.

        r = img - g * img,  m = g * [ |r| > threshold / 255 ],  result = m clip(img + weight r) + (1 - m) img

    Args:
        img (Tensor): (B, C, H, W), float32 in [0, 1], on any device.
        weight (float): Strength.
        threshold (float): In 8-bit steps: smaller differences are left as they are.

    Returns:
        Tensor: (B, C, H, W), float32 in [0, 1].
    """
    gauss = torch.from_numpy(cv2.getGaussianKernel(SIZE, 0)).to(img)
    kernel = (gauss @ gauss.T)[None]
    residual = img - blur_batch(img, kernel)
    mask = blur_batch((residual.abs() * 255 > threshold).to(img), kernel)
    sharp = (img + weight * residual).clamp(0, 1)
    return torch.lerp(img, sharp, mask)


def paired_crop(lqs, gts, params):
    """Cut the patch that ``params`` describe out of low-quality and ground-truth batches.

    As BasicSR's ``paired_random_crop``: one place for the whole batch, any whole low-quality pixel as likely.

    Args:
        lqs (list[Tensor]): Each (B, C, H / scale, W / scale).
        gts (list[Tensor]): Each (B, C, H, W).
        params (SecondOrderParams): scale, gt_size, top and left are used.

    Returns:
        tuple[list[Tensor], list[Tensor]]: (B, C, gt_size / scale, gt_size / scale) and (B, C, gt_size, gt_size).

    Raises:
        ValueError: Sizes that do not belong together, or images smaller than the patch.
    """
    scale, size = params.scale, params.gt_size // params.scale
    height, width = lqs[0].shape[-2:]
    wrong = [img for img in lqs if img.shape[-2:] != (height, width)]
    wrong += [img for img in gts if img.shape[-2:] != (height * scale, width * scale)]
    if wrong:
        raise InputError(
            f'Expected images {scale} times as large as the low-quality ones of {height}x{width}, got one of '
            f'{wrong[0].shape[-2]}x{wrong[0].shape[-1]}. Pass images of the same batch, before cropping.'
        )
    if size > min(height, width):
        raise InputError(
            f'Expected low-quality images of at least {size}x{size} (gt_size {params.gt_size} / scale {scale}), '
            f'got {height}x{width}. Lower gt_size or raise crop_pad_size.'
        )
    top, left = int(params.top * (height - size + 1)), int(params.left * (width - size + 1))
    return (
        [img[..., top : top + size, left : left + size] for img in lqs],
        [img[..., top * scale : (top + size) * scale, left * scale : (left + size) * scale] for img in gts],
    )
