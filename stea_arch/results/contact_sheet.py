"""One patch under many degradations of the second order, and what each of them is in words."""

import math

import numpy as np

from stea_arch.data.patches import to_tensor
from stea_arch.degradations.batch_steps import usm_sharpen
from stea_arch.degradations.second_order import degrade


def draw_samples(number, size, sampler, kernel_sampler, seed):
    """Draw degradations of one patch.

    Args:
        number (int): How many.
        size (int): Side of the patch.
        sampler (SecondOrderSampler), kernel_sampler (KernelSampler): What to draw from.
        seed (int): Sample ``i`` depends on it and ``i`` alone.

    Returns:
        list[tuple[KernelTriple, SecondOrderParams]]: For batches of one image.
    """
    generators = [np.random.default_rng((seed, position)) for position in range(number)]
    return [(kernel_sampler.draw(rng), sampler.draw(1, size, rng)) for rng in generators]


def apply_sample(patch, kernels, params):
    """Sharpen and degrade an 8-bit RGB patch (H, W, 3); 8-bit RGB (H / scale, W / scale, 3)."""
    gt = usm_sharpen(to_tensor(patch)[None].float() / 255)
    lq = degrade(gt, **{name: kernel[None] for name, kernel in kernels.tensors().items()}, params=params)
    return (lq[0] * 255).round().byte().numpy().transpose(1, 2, 0)


def describe(kernels, params):
    """A sample's parameters in the order in which they act, as short lines of text."""
    lines = []
    for number, one, kernel in (('1', params.first, kernels.first), ('2', params.second, kernels.second)):
        steps = _kernel(kernel) if one.blur else ['no blur']
        steps += [f'{one.factor:.2f} x {"size" if number == "1" else "result"}, {one.mode}', _noise(one.noise)]
        steps += [_jpeg(one.qualities)] if number == '1' else []
        lines += _numbered(number, steps)
    shrink = [f'to result, {params.final_mode}', *(_kernel(kernels.final) if kernels.final else ['no sinc'])]
    compress = [_jpeg(params.second.qualities)]
    return lines + _numbered('3', shrink + compress if params.jpeg_last else compress + shrink)


def _numbered(number, steps):
    return [f'{number}   {steps[0]}', *(f'     {step}' for step in steps[1:])]


def _kernel(kernel):
    if kernel.family == 'sinc':
        return [f'sinc {kernel.size}, cut-off {kernel.cutoff / math.pi:.2f} pi']
    shape = f'sigma {kernel.sigma_x:.2f}'
    if kernel.family.endswith('aniso'):
        shape += f' x {kernel.sigma_y:.2f}, {math.degrees(kernel.theta):.0f} deg'
    return [f'{kernel.family} {kernel.size}', shape + (f', beta {kernel.beta:.2f}' if '_' in kernel.family else '')]


def _noise(noise):
    if noise is None:
        return 'no noise'
    return f'{noise.kind} {noise.levels[0]:.2f}, {"gray" if noise.gray[0] else "colour"}'


def _jpeg(qualities):
    return 'no JPEG' if qualities is None else f'JPEG {qualities[0]:.0f}'


def middle(img, size, scale):
    """The middle square of an image, (S, S, 3): S is ``size`` or what fits, cut to a multiple of the scale."""
    side = min(size, *img.shape[:2]) // scale * scale
    top, left = ((length - side) // 2 for length in img.shape[:2])
    return img[top : top + side, left : left + side]
