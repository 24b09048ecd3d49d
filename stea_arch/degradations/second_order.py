"""The second-order degradation of Real-ESRGAN on batches of tensors, on any device.

    first pass     blur by kernel1 - resize by a factor - noise - JPEG
    second pass    blur by kernel2 - resize to a factor of the result's size - noise
    end            [ resize to the result's size - blur by sinc_kernel ] and JPEG, in this order or the other
                   rounded to 8 bits

The chain is that of BasicSR's RealESRGANModel.feed_data; here every step can be left out. Kernels are drawn by
:class:`stea_arch.degradations.second_order_kernels.KernelSampler`, everything else by :class:`SecondOrderSampler`;
:func:`degrade` draws nothing: the same image, kernels and parameters give the same result on the same kind of device
(random fields differ between CPU and CUDA).

Source: Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021.
"""

import torch
import torch.nn.functional as F

from stea_arch.degradations.batch_steps import gaussian_noise, jpeg, poisson_noise
from stea_arch.degradations.blur import blur_batch
from stea_arch.degradations.second_order_sampling import SecondOrderParams, SecondOrderSampler
from stea_arch.system.errors import InputError

__all__ = ['PARTS', 'SecondOrderParams', 'SecondOrderSampler', 'degrade']

PARTS = ('all', 'blur', 'noise')
NOISES = {'gaussian': gaussian_noise, 'poisson': poisson_noise}


@torch.no_grad()
def degrade(gt, kernel1, kernel2, sinc_kernel, params, parts='all'):
    """Degrade a batch.

    A network with a deblurring and a denoising stream is trained on two further versions of each patch. They go
    through the same resizes, with the same drawn numbers, and are rounded too:

    - ``parts='blur'`` leaves out noise and JPEG of both passes: blur, resize, blur, resize, resize, sinc.
    - ``parts='noise'`` leaves out kernel1, kernel2 and sinc_kernel: resize, noise, JPEG, resize, noise, resize, JPEG.
      Gaussian fields are those of 'all'; Poisson noise and JPEG see another image, so their errors differ.

    Args:
        gt (Tensor): (B, 3, H, W), float32 in [0, 1], H and W multiples of the scale (sharpened, if so wished).
        kernel1 (Tensor), kernel2 (Tensor), sinc_kernel (Tensor): (B, K, K) each, on the device of ``gt``.
        params (SecondOrderParams): For a batch of this size.
        parts (str): 'all', 'blur' or 'noise'.

    Returns:
        Tensor: (B, 3, H / scale, W / scale), float32 in [0, 1], on the device of ``gt``, contiguous; every value is
        k / 255 with a whole k.

    Raises:
        ValueError: Another shape, a size that is not a multiple of the scale or too small to shrink, or other parts.
    """
    _check(gt, params, parts)
    blurs, disturbs = parts != 'noise', parts != 'blur'
    first, second = params.first, params.second
    target = [length // params.scale for length in gt.shape[-2:]]
    img = gt

    if blurs and first.blur:
        img = blur_batch(img, kernel1)
    img = _resize(img, first.mode, factor=first.factor)
    if disturbs:
        img = _compress(_add_noise(img, first.noise), first.qualities)

    if blurs and second.blur:
        img = blur_batch(img, kernel2)
    img = _resize(img, second.mode, [int(length / params.scale * second.factor) for length in gt.shape[-2:]])
    if disturbs:
        img = _add_noise(img, second.noise)

    if disturbs and not params.jpeg_last:
        img = _compress(img, second.qualities)
    img = _resize(img, params.final_mode, target)
    if blurs:
        img = blur_batch(img, sinc_kernel)
    if disturbs and params.jpeg_last:
        img = _compress(img, second.qualities)
    # divided by a tensor, because by a number CUDA would multiply with its rounded inverse: no longer k / 255
    return ((img * 255).round().clamp(0, 255) / img.new_tensor(255)).contiguous()


def _resize(img, mode, size=None, factor=None):
    if factor == 1 or size == list(img.shape[-2:]):
        return img
    if factor is not None:
        size = [int(length * factor) for length in img.shape[-2:]]
    if min(size) < 1:
        raise InputError(
            f'A step of the degradation would shrink an image of {img.shape[-2]}x{img.shape[-1]} to '
            f'{size[0]}x{size[1]}. Use larger patches, or raise the lower end of resize_range and resize_range2.'
        )
    if factor is not None:  # a given factor, not the rounded one, places the samples
        return F.interpolate(img, scale_factor=factor, mode=mode)
    return F.interpolate(img, size=size, mode=mode)


def _add_noise(img, noise):
    if noise is None:
        return img
    generator = torch.Generator(img.device).manual_seed(noise.seed)
    return (img + NOISES[noise.kind](img, noise.levels, noise.gray, generator)).clamp_(0, 1)


def _compress(img, qualities):
    return img if qualities is None else jpeg(img.clamp(0, 1), qualities)


def _check(gt, params, parts):
    if parts not in PARTS:
        raise InputError(f'parts must be one of {", ".join(PARTS)}, got {parts!r}. Use all for the whole chain.')
    if gt.ndim != 4 or gt.shape[1] != 3 or any(length % params.scale or not length for length in gt.shape[-2:]):
        raise InputError(
            f'Expected images (B, 3, H, W) with H and W multiples of the scale {params.scale}, got '
            f'{tuple(gt.shape)}. Crop them first.'
        )
    for one in (params.first, params.second):
        for values in (one.noise and one.noise.levels, one.qualities):
            if values is not None and len(values) != len(gt):
                raise InputError(f'Parameters for a batch of {len(gt)} were expected, but they are for {len(values)}.')
