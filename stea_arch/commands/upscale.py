"""The console command stea-upscale."""

import argparse
import hashlib
import sys

from stea_arch.system.allocator import keep_freed_memory
from stea_arch.system.threads import choose_threads, watch_cores
from stea_arch.weights import DEFAULT, shipped

FORMATS = ('png', 'jpg', 'webp', 'avif', 'tiff', 'bmp')
EXAMPLES = """\
examples:
  stea-upscale photo.jpg                        photo_x4.jpg beside it
  stea-upscale photo.jpg --compare html         and a page with a slider, before and after
  stea-upscale holidays                         every image in and below the folder, into holidays_x4
  stea-upscale "scans/**/*.tif" --out large     a pattern
  stea-upscale film.mp4 --skip-existing         film_x4.mp4; goes on where an earlier run was stopped
  stea-upscale photo.png --model net_g_latest.pth --scale 2
"""


def main(argv=None):
    """Upscale files.

    Args:
        argv (list[str] | None): Arguments; None for those of the command line.

    Returns:
        int: Exit status: 0 if all is done, 1 if images failed, 2 if the work could not begin, 130 if interrupted.
    """
    args = _parser().parse_args(argv)
    keep_freed_memory()
    watch_cores()
    try:
        return _upscale(args)
    except (ValueError, OSError, ImportError) as error:
        print(f'stea-upscale: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nInterrupted; what was written is whole. --skip-existing continues.', file=sys.stderr)
        return 130


def _upscale(args):
    # PyTorch takes seconds to load: what can be wrong with the arguments is said before
    from stea_arch.upscaling.batch import check_results, find_images, plan, run
    from stea_arch.weights import find_weights

    images = find_images(args.inputs, args.out, args.suffix, note=print)
    names = args.out, args.suffix, args.format and f'.{args.format}', args.compare
    if args.out:  # then the names do not depend on the network's scale
        plan(images, *names)
    if args.base and args.strength is None:
        raise ValueError('--base needs --strength: 0 gives its weights, 1 those of --model, in between a mixture.')
    weights = [find_weights(model) for model in (args.model, args.base) if model]
    settings = _settings(args, weights)  # before they are loaded: a training may write them anew

    from stea_arch.upscaling import cluster
    from stea_arch.upscaling.progress import Progress
    from stea_arch.upscaling.upscaler import Upscaler

    choose_threads()
    own = ('model', 'device', 'dtype', 'max_memory', 'alpha', 'colours', 'backend', 'base')
    arguments = {name: getattr(args, name) for name in own}
    arguments['strength'] = 1 if args.strength is None else args.strength
    try:
        upscaler = Upscaler(**{**arguments, 'device': 'cpu'} if args.ray else arguments)
    except RuntimeError as error:  # the backend computes something else, or a GPU has not enough memory
        raise ValueError(str(error)) from error
    scale = args.scale or upscaler.scale
    jobs = plan(images, *names, scale)
    left = [job for job in jobs if not (args.skip_existing and job.target.is_file())]
    check_results(left, scale)
    progress = Progress(left, upscaler.network)
    try:
        rest = {
            'done': progress.done,
            'warn': progress.warn,
            'film': {'settings': settings, 'resume': args.skip_existing},
            'quality': args.quality,
            'compression': args.compression,
        }
        if args.ray:
            failed = cluster.run(left, args.ray, arguments, scale, **rest)
        else:
            failed = run(left, lambda pixels: upscaler(pixels, scale), **rest)
    finally:
        progress.close()
    _report(jobs, left, failed)
    return 1 if failed else 0


def _settings(args, weights):
    """What a result depends on beside its source."""
    names = ('strength', 'scale', 'colours', 'dtype', 'backend')
    sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in weights]
    return ' '.join([*sums, *(f'{name}={getattr(args, name)}' for name in names)])


def _report(jobs, left, failed):
    written = len(left) - len(failed)
    if len(jobs) == written == 1:
        print(f'Wrote {jobs[0].target}.')
    else:
        folders = sorted({str(job.target.parent) for job in jobs})
        folders = ', '.join(folders[:3] + ['...'] * (len(folders) > 3))
        there = f' {len(jobs) - len(left)} were there already.' if len(left) < len(jobs) else ''
        print(f'Wrote {written} of {len(jobs)} images{f" to {folders}" if written else ""}.{there}')
    alone = [job for job in set(jobs) - set(left) if job.comparison and not job.comparison.is_file()]
    if alone:
        print(f'{len(alone)} that were there have no comparison: it is made with the result, without --skip-existing.')
    if failed:
        print(f'{len(failed)} failed:', file=sys.stderr)
    for source, reason in failed:
        print(f'  {source}: {reason}', file=sys.stderr)


def _parser():
    parser = argparse.ArgumentParser(
        prog='stea-upscale',
        description='Upscale photographs. An input is never overwritten, and no file is ever half-written.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('inputs', nargs='+', metavar='INPUT', help='files, folders or patterns of images; films')
    add('-o', '--out', help='folder, or file for a single image (default: beside the input, with _x4 in the name)')
    add('--model', default=DEFAULT, help=f'shipped network or checkpoint (default: {DEFAULT})')
    add('--strength', type=_share, metavar='0..1', help='1: the network (default), 0: bicubic, or --base')
    add('--base', metavar='MODEL', help="mix its weights with --model's, not pixels with bicubic ones, by --strength")
    add('--scale', type=_positive, help="another scale than the network's, by resizing its result")
    add('--suffix', help="of the results' names (default: _x4 beside the input, none in --out)")
    add('--format', choices=FORMATS, help="of the results (default: each input's own)")
    add('--quality', type=_whole(1, 100), metavar='1..100', help='of JPEG, WebP and AVIF (default: 95)')
    add('--compression', type=_whole(0, 9), metavar='0..9', help='of PNG; 9 takes longest (default: 1)')
    add('--alpha', choices=['network', 'bicubic'], default='network', help='how transparency is upscaled')
    add('--colours', choices=['input', 'network'], default='input', help="keep the input's, or take the network's own")
    add('--compare', choices=['png', 'html'], help='also write before and after: in one picture, or with a slider')
    add('--skip-existing', action='store_true', help='leave out what has a result already: continues a stopped run')
    add('--device', help='cpu, cuda, cuda:1, mps, ... (default: an NVIDIA GPU if there is one)')
    add(
        '--backend',
        choices=['torch', 'onnxruntime', 'openvino'],
        default='torch',
        help='what computes; the others run on a CPU, and export the network the first time, which takes minutes',
    )
    add('--dtype', choices=['fp32', 'bf16', 'fp16'], default='fp32', help='precision of the convolutions')
    add(
        '--max-memory',
        type=_positive,
        metavar='GIB',
        help='for the network; larger images are computed in strips (default: 80%% of what is free)',
    )
    add(
        '--ray',
        metavar='ADDRESS',
        help="share the files out to the workers of a Ray cluster; 'local': to this machine's",
    )
    add('--list-models', action=_List, nargs=0, help='say which networks are shipped, and end')
    add('--tile', '-t', action=_NoTiles, nargs='?', help=argparse.SUPPRESS)
    return parser


class _List(argparse.Action):
    def __call__(self, parser, *_):
        for name, entry in shipped().items():
            print(f'{name:14} {entry["purpose"]}{" (default)" if name == DEFAULT else ""}')
        parser.exit()


class _NoTiles(argparse.Action):
    def __call__(self, parser, *_):
        parser.error(
            'There are no tiles here, and no seams: what does not fit into the memory is computed in strips, with the '
            'result of the whole; --max-memory GIB sets a lower limit.'
        )


def _number(kind, least, most, expected):
    def number(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f'expected {expected}, got {text}')
        return value

    return number


def _whole(least, most):
    return _number(int, least, most, f'a whole number from {least} to {most}')


_share = _number(float, 0, 1, 'a number from 0 to 1')
_positive = _number(float, sys.float_info.min, sys.float_info.max, 'a number above 0')


if __name__ == '__main__':
    sys.exit(main())
