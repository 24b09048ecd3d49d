"""The console command stea-data."""

import argparse
import sys

from data_prep.parallel import cores
from stea_arch.system.console import set_up_console
from stea_arch.system.threads import wait_passively

wait_passively()
set_up_console()

DESCRIPTION = """\
Prepare image data for training and testing. A result appears under its name only when it is complete, and nothing is
overwritten unless --replace asks for it. Interrupted or killed? Run the same command again: it goes on where it was."""

EXAMPLES = """\
examples:
  stea-data df2k --div2k DIV2K --flickr2k Flickr2K --out datasets     the official archives, in datasets/DF2K_sub.lmdb
  stea-data check datasets/DF2K_sub.lmdb --gt-size 256                is all of it usable?
  stea-data check options/train/LabNet_x4.yml                         the option file and all data it names
  stea-data sample datasets/sample/photos                             photographs that need no download
  stea-data subimages photos --out datasets/photos_sub.lmdb           480x480 tiles of other large images
  stea-data lmdb datasets/sample/photos/val --out datasets/val.lmdb   small images in an LMDB as they are
  stea-data gaussian8 Set5 --scale 4 --out datasets/Set5_gaussian8_x4 benchmark pairs as files
  stea-data setting2 DIV2K_valid_HR --scale 4 --out datasets/DIV2K_setting2_x4
  stea-data div2krk DIV2KRK_public --scale 4 --out datasets/DIV2KRK_x4
"""


def main(argv=None):
    """Run one subcommand.

    Args:
        argv (list[str] | None): Arguments; None for those of the command line.

    Returns:
        int: Exit status: 0 if all is well, 1 if ``check`` found a problem, 2 if the work could not be done, 130 if it
            was interrupted.
    """
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        print(f'stea-data {args.command}: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f'\nstea-data {args.command}: interrupted. The same command goes on where it was.', file=sys.stderr)
        return 130


def _sample(args):
    from data_prep.sample import write_sample

    print('\n'.join(write_sample(args.out)))
    print(f'{args.out}/train, {args.out}/val and {args.out}/real are there.')
    return 0


def _df2k(args):
    from data_prep.df2k import write_df2k

    print(write_df2k(args.div2k, args.flickr2k, args.out, _cut(args), _way(args), args.partial, args.folder))
    return 0


def _subimages(args):
    from data_prep.tiles import folder_paths, write_tiles

    _say(write_tiles(folder_paths(args.images), args.out, _cut(args), _way(args)))
    return 0


def _lmdb(args):
    from data_prep.lmdb_writer import write_lmdb

    _say(write_lmdb(args.folders, args.out, args.allow_gray, **vars(_way(args))))
    return 0


def _gaussian8(args):
    from data_prep.benchmark_sets import write_gaussian8

    _say(write_gaussian8(args.images, args.out, args.scale, _way(args)))
    return 0


def _setting2(args):
    from data_prep.benchmark_sets import write_setting2

    _say(write_setting2(args.images, args.out, args.scale, _way(args), args.seed, args.kernel_size))
    return 0


def _div2krk(args):
    from data_prep.div2krk import list_pairs, write_div2krk

    if args.list:
        for gt, lq in list_pairs(args.images, args.scale).values():
            print(f'{gt}\t{lq}')
        return 0
    print('\n'.join(map(str, write_div2krk(args.images, args.out, args.scale, _way(args)))))
    return 0


def _check(args):
    from pathlib import Path

    from data_prep.check import check_images
    from data_prep.check_options import check_option_file
    from data_prep.check_pairs import check_set
    from data_prep.manifest import MANIFEST

    if args.path.endswith(('.yml', '.yaml')):
        report = check_option_file(args.path, args.workers, not args.quiet)
    elif Path(args.path, MANIFEST).is_file():
        report = check_set(args.path, args.workers, not args.quiet)
    else:
        report = check_images(args.path, args.gt_size, args.allow_gray, args.workers, not args.quiet)
    print(report)
    return 1 if report.problems else 0


def _say(outcome):
    """Print what came of it and, of an LMDB in it, what BasicSR's own readers will not find."""
    from pathlib import Path

    from data_prep.lmdb_writer import unknown_to_basicsr
    from stea_arch.data.meta_info import read_meta_info

    print(outcome)
    lists = [Path(outcome.target, name, 'meta_info.txt') for name in ('', 'gt.lmdb')]  # of an LMDB, of a benchmark set
    foreign = [name for path in lists if path.is_file() for name in unknown_to_basicsr(read_meta_info(path))]
    if foreign:
        print(
            f"BasicSR's own datasets will not find {len(foreign)} of them, as their names have dots or letters beyond "
            f'ASCII: {", ".join(foreign[:5])}{", ..." if len(foreign) > 5 else ""}. ClassicalDegradationDataset does.'
        )


def _cut(args):
    from data_prep.tiles import Cut

    size = args.size or (400 if args.multiscale else 480)
    return Cut(size, args.step or -(-size // 2), args.multiscale, args.level)


def _way(args):
    from data_prep.produce import Way

    return Way(args.workers, not args.quiet, args.skip_broken, args.replace)


def _parser():
    parser = argparse.ArgumentParser(
        prog='stea-data', description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=f'{text[0].upper()}{text[1:]}.')
        sub.set_defaults(run=run)
        return sub

    def out(sub, text):
        sub.add_argument('-o', '--out', required=True, help=text)

    def working(sub):
        sub.add_argument('--workers', type=_positive, default=cores(), help='threads to use (default: all cores)')
        sub.add_argument('--quiet', action='store_true', help='no progress bars')

    def making(sub):
        working(sub)
        sub.add_argument('--skip-broken', action='store_true', help='leave out images that cannot be used, list them')
        sub.add_argument(
            '--replace',
            action='store_true',
            help='take the place of an earlier result of its kind, with all that is in it',
        )

    def cutting(sub):
        sub.add_argument('--multiscale', action='store_true', help="also smaller copies, as Real-ESRGAN's training")
        sub.add_argument('--size', type=_positive, help='side of a tile in pixels (default: 480; multi-scale: 400)')
        sub.add_argument('--step', type=_positive, help='distance between tiles (default: half of the size)')
        sub.add_argument('--level', type=_level, default=1, help='PNG compression, 0 to 9 (default: 1, the fastest)')

    def gray(sub):
        sub.add_argument(
            '--allow-gray',
            action='store_true',
            help='accept images of one channel (evaluation reads them as three equal ones; training refuses them)',
        )

    def images(sub, text='folder of ground-truth images'):
        sub.add_argument('images', metavar='FOLDER', help=text)

    def scale(sub, choices=(2, 3, 4)):
        sub.add_argument('--scale', type=int, choices=choices, required=True)

    df2k = command('df2k', _df2k, 'cut DIV2K and Flickr2K, as unpacked, into tiles in one LMDB')
    df2k.add_argument('--div2k', required=True, help='folder that has DIV2K_train_HR, or that folder')
    df2k.add_argument('--flickr2k', required=True, help='folder that has Flickr2K_HR, or that folder')
    out(df2k, 'folder to write DF2K_sub.lmdb and meta_info_DF2K_sub.txt into')
    df2k.add_argument('--partial', action='store_true', help='accept fewer images than the archives have')
    df2k.add_argument('--folder', action='store_true', help='a folder of PNG files instead of the LMDB')
    cutting(df2k)
    making(df2k)

    subimages = command('subimages', _subimages, 'cut large images into overlapping tiles')
    images(subimages, 'folder of RGB images')
    out(subimages, 'what to make: an LMDB if the name ends in .lmdb, else a folder of PNG files')
    cutting(subimages)
    making(subimages)

    lmdb = command('lmdb', _lmdb, "pack folders of images into one LMDB in BasicSR's layout")
    lmdb.add_argument('folders', metavar='FOLDER', nargs='+', help='folder of images and sub-folders')
    out(lmdb, 'LMDB to make; the name ends in .lmdb')
    gray(lmdb)
    making(lmdb)

    gaussian8 = command('gaussian8', _gaussian8, 'write the pairs of setting 1: eight isotropic kernels')
    setting2 = command('setting2', _setting2, 'write the pairs of setting 2: an anisotropic kernel for each image')
    for sub in (gaussian8, setting2):
        images(sub)
        scale(sub)
        out(sub, 'folder to make, with folders of images, LMDBs of the same and manifest.json')
        making(sub)
    setting2.add_argument('--seed', type=int, default=0, help='of the kernels (default: 0)')
    setting2.add_argument('--kernel-size', type=_positive, help='odd (default: 31; x2: 11)')

    div2krk = command('div2krk', _div2krk, 'pair the images of DIV2KRK, as unpacked, in two LMDBs')
    images(div2krk, 'folder that has gt and lr_x2, lr_x4')
    scale(div2krk, (2, 4))
    wanted = div2krk.add_mutually_exclusive_group(required=True)
    wanted.add_argument('-o', '--out', help='folder to write gt.lmdb and lq.lmdb into')
    wanted.add_argument('--list', action='store_true', help='only print the pairs')
    making(div2krk)

    check = command('check', _check, 'decode every image and report those that cannot be used')
    check.add_argument('path', metavar='PATH', help='option file, LMDB, benchmark set or folder of images')
    check.add_argument('--gt-size', type=_positive, help='side of the training crops: smaller images are reported')
    gray(check)
    working(check)

    sample = command('sample', _sample, "write scikit-image's photographs to OUT/train, OUT/val, OUT/real")
    sample.add_argument('out', metavar='OUT', help='folder to make')
    return parser


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number above 0, got {text}')
    return value


def _level(text):
    value = int(text)
    if not 0 <= value <= 9:
        raise argparse.ArgumentTypeError(f'expected a whole number from 0 to 9, got {text}')
    return value


if __name__ == '__main__':
    sys.exit(main())
