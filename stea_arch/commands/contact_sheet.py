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
import sys
from pathlib import Path

SHOWN, COLUMNS = 272, 4  # pixels of a tile's side, tiles in a row


def _samplers(args):
    from stea_arch.degradations.second_order import SecondOrderSampler
    from stea_arch.degradations.second_order_kernels import KernelSampler

    if args.opt is None:
        return SecondOrderSampler(args.scale, recipe=args.recipe), KernelSampler()
    from stea_arch.options.problems import part
    from stea_arch.options.reading import read_file

    opt, _ = read_file(args.opt)
    section = part(opt, 'datasets', 'train')
    return SecondOrderSampler.from_options(opt, opt.get('scale')), KernelSampler.from_options(section)


def _read_samples(path):
    """Size, scale and samples of an earlier sheet's JSON."""
    from stea_arch.degradations.second_order import SecondOrderParams
    from stea_arch.degradations.second_order_kernels import KernelTriple

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
    source.add_argument('--recipe', metavar='NAME', help="Real-ESRGAN's ranges: full, or blur_jpeg")
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

    from stea_arch.data.image_io import decode
    from stea_arch.options import OptionError
    from stea_arch.results.contact_sheet import apply_sample, describe, draw_samples, middle
    from stea_arch.results.picture import draw_grid
    from stea_arch.system.versions import get_versions

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
