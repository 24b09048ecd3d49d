"""``python -m stea_arch.commands.contact_sheet``: one patch under many degradations, with their parameters.

    python -m stea_arch.commands.contact_sheet photo.png -opt options/train/FILE.yml --num 16 --out sheet.png
    python -m stea_arch.commands.contact_sheet photo.png --recipe blur_jpeg --scale 4 --out sheet.png
    python -m stea_arch.commands.contact_sheet photo.png --replay sheet.json --out again.png

Beside the picture a JSON of the same name is written, from which --replay makes the same picture again. The patch is
the middle of the image, sharpened before it is degraded, as in Real-ESRGAN.
"""

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path

import numpy as np

from stea_arch.data.image_io import decode
from stea_arch.data.patches import to_tensor
from stea_arch.degradations.batch_steps import usm_sharpen
from stea_arch.degradations.second_order import SecondOrderParams, SecondOrderSampler, degrade
from stea_arch.degradations.second_order_kernels import KernelSampler, KernelTriple
from stea_arch.degradations.second_order_sampling import RECIPES
from stea_arch.options import OptionError
from stea_arch.options.problems import part
from stea_arch.options.reading import read_file
from stea_arch.results.picture import draw_grid
from stea_arch.system.versions import get_versions

SHOWN, COLUMNS = 272, 4  # pixels of a tile's side, tiles in a row


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


def _samplers(args):
    if args.opt is None:
        return SecondOrderSampler(args.scale, recipe=args.recipe), KernelSampler()
    opt, _ = read_file(args.opt)
    section = part(opt, 'datasets', 'train')
    return SecondOrderSampler.from_options(opt, opt.get('scale')), KernelSampler.from_options(section)


def _read_samples(path):
    """Size, scale and samples of an earlier sheet's JSON."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        samples = [
            (KernelTriple.from_dict(sample['kernels']), SecondOrderParams.from_dict(sample['params']))
            for sample in content['samples']
        ]
        return content['size'], content['scale'], samples
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f'{path} should be the JSON that was written beside an earlier sheet, but it could not be read as one '
            f'({type(error).__name__}: {error}). Give that file to --replay.'
        ) from error


def _parser():
    parser = argparse.ArgumentParser(
        prog='python -m stea_arch.commands.contact_sheet',
        description='Show second-order degradations and their parameters.',
    )
    parser.add_argument('image', type=Path, help='an image of 8 bits a channel')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('-opt', type=Path, metavar='FILE', help='option file whose degradation is shown')
    source.add_argument('--recipe', choices=list(RECIPES), help="Real-ESRGAN's ranges: all steps, or blur and JPEG")
    source.add_argument('--replay', type=Path, metavar='JSON', help='the JSON beside an earlier sheet')
    parser.add_argument('--scale', type=int, default=4, help='with --recipe: size of the patch over the result')
    parser.add_argument('--num', type=int, default=16, help='how many degradations')
    parser.add_argument('--size', type=int, default=256, help='side of the patch, taken from the middle')
    parser.add_argument('--seed', type=int, default=0, help='another number gives other degradations')
    parser.add_argument('--out', type=Path, required=True, metavar='PNG', help='the picture; the JSON goes beside it')
    return parser


def main(argv=None):
    """Write the sheet and its JSON; 0, or 2 after a message when that is impossible."""
    args = _parser().parse_args(argv)
    try:
        if args.num < 1:
            raise ValueError(f'--num must be at least 1, got {args.num}. Leave it out for 16.')
        img = decode(args.image.read_bytes(), str(args.image), allow_gray=True)
        if args.replay:
            size, scale, samples = _read_samples(args.replay)
            patch = middle(img, size, scale)
        else:
            sampler, kernel_sampler = _samplers(args)
            patch = middle(img, args.size, sampler.scale)
            samples = draw_samples(args.num, len(patch), sampler, kernel_sampler, args.seed)
        tiles = [('ground truth, before sharpening', patch)]
        tiles += [('\n'.join(describe(*sample)), apply_sample(patch, *sample)) for sample in samples]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_grid([tiles[at : at + COLUMNS] for at in range(0, len(tiles), COLUMNS)], SHOWN, 13).save(args.out)
    except OptionError as error:
        print(f'{args.opt}: {error}', file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    content = {
        'image': str(args.image),
        'size': len(patch),
        'scale': samples[0][1].scale,
        'samples': [{'kernels': dataclasses.asdict(k), 'params': dataclasses.asdict(p)} for k, p in samples],
        'versions': get_versions(),
    }
    args.out.with_suffix('.json').write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    print(f'{args.out} and {args.out.with_suffix(".json")}: {len(samples)} degradations of {args.image}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
