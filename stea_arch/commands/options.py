"""``stea-options``: the option files that come with this package."""

import argparse
import sys

from stea_arch.options.shipped import about, copy_option_file, shipped_files


def main(argv=None):
    """Run one subcommand.

    Args:
        argv (list[str] | None): Arguments; None for those of the command line.

    Returns:
        int: Exit status: 0 if all is well, 2 if a file could not be copied.
    """
    parser = argparse.ArgumentParser(
        prog='stea-options',
        description='Show and copy the option files that come with stea_arch. The other commands also take their names '
        'as they are: stea-train -opt train/LabNet-S_x4.yml',
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    commands.add_parser('list', help='their names, and what each is for')
    copy = commands.add_parser('copy', help='copy one, to be changed')
    copy.add_argument('name', metavar='NAME', help='such as train/LabNet-S_x4.yml')
    copy.add_argument('folder', metavar='DIR', nargs='?', default='.', help='where to (default: here)')
    args = parser.parse_args(argv)
    if args.command == 'list':
        names = shipped_files()
        width = max(map(len, names))
        print('\n'.join(f'{name:{width}}  {about(name)}' for name in names))
        return 0
    try:
        print(f'Wrote {copy_option_file(args.name, args.folder)}.')
    except (ValueError, OSError) as error:
        print(f'stea-options: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
