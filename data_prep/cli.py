"""The console command stea-data."""

import argparse
import os
import sys

DESCRIPTION = """\
Prepare image data for training and testing. Nothing is ever overwritten, and a result appears under its name only when
it is complete."""

EXAMPLES = """\
examples:
  stea-data sample datasets/sample                                    photographs that need no download
  stea-data lmdb datasets/sample/train -o datasets/sample_train.lmdb  the same in an LMDB
  stea-data subimages DF2K/HR -o DF2K/HR_sub                          480x480 tiles of large images
  stea-data lmdb DF2K/HR_sub -o datasets/DF2K_sub.lmdb
  stea-data check datasets/DF2K_sub.lmdb --gt-size 256                is all of it usable?
"""


def main(argv=None):
    """Run one subcommand.

    Args:
        argv (list[str] | None): Arguments; None for those of the command line.

    Returns:
        int: Exit status: 0 if all is well, 1 if ``check`` found a problem, 2 if the work could not be done.
    """
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        print(f'stea-data {args.command}: {error}', file=sys.stderr)
        return 2


def _sample(args):
    from data_prep.sample import write_sample

    print('\n'.join(write_sample(args.out)))
    print(f'Wrote {args.out}/train and {args.out}/val.')
    return 0


def _subimages(args):
    from data_prep.subimages import write_subimages

    tiles = write_subimages(args.folder, args.out, args.size, args.step, args.workers)
    print(f'Wrote {tiles} tiles to {args.out}.')
    return 0


def _lmdb(args):
    from data_prep.lmdb_writer import write_lmdb

    images = write_lmdb(args.folders, args.out, args.allow_gray, args.workers)
    print(f'Wrote {images} images to {args.out}.')
    return 0


def _check(args):
    from data_prep.check import check_images

    report = check_images(args.path, args.gt_size, args.allow_gray, args.workers)
    print(report)
    return 1 if report.problems else 0


def _parser():
    parser = argparse.ArgumentParser(
        prog='stea-data', description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=f'{text[0].upper()}{text[1:]}.')
        sub.set_defaults(run=run)
        return sub

    def workers(sub):
        sub.add_argument('--workers', type=_positive, default=min(os.cpu_count() or 1, 8), help='threads to use')

    def gray(sub):
        sub.add_argument(
            '--allow-gray',
            action='store_true',
            help='accept images of one channel (evaluation reads them as three equal ones; training refuses them)',
        )

    sample = command('sample', _sample, "write scikit-image's photographs to OUT/train and OUT/val")
    sample.add_argument('out', metavar='OUT', help='folder to make')

    subimages = command('subimages', _subimages, 'cut large images into overlapping tiles')
    subimages.add_argument('folder', metavar='FOLDER', help='folder of RGB images')
    subimages.add_argument('-o', '--out', required=True, help='folder to make')
    subimages.add_argument('--size', type=_positive, default=480, help='side of a tile in pixels (default: 480)')
    subimages.add_argument('--step', type=_positive, default=240, help='distance between tiles (default: 240)')
    workers(subimages)

    lmdb = command('lmdb', _lmdb, "pack folders of images into one LMDB in BasicSR's layout")
    lmdb.add_argument('folders', metavar='FOLDER', nargs='+', help='folder of images; their files are kept as they are')
    lmdb.add_argument('-o', '--out', required=True, help='LMDB to make; the name ends in .lmdb')
    gray(lmdb)
    workers(lmdb)

    check = command('check', _check, 'decode every image and report those that cannot be used')
    check.add_argument('path', metavar='PATH', help='folder of images or LMDB')
    check.add_argument('--gt-size', type=_positive, help='side of the training crops: smaller images are reported')
    gray(check)
    workers(check)
    return parser


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'a whole number above 0 was expected, but {text} came')
    return value


if __name__ == '__main__':
    sys.exit(main())
