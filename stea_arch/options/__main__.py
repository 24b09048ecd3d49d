"""``python -m stea_arch.options FILE...``: check option files without starting a run; ``--schema``: for editors."""

import argparse
import json
import sys

from stea_arch.options import OptionError, read_options
from stea_arch.system.console import set_up_console
from stea_arch.system.errors import InputError
from stea_arch.system.imports import add_flag, import_modules
from stea_arch.system.threads import wait_passively


def main(argv=None):
    """Print ``FILE: ok`` or what is wrong with it, for each file; or the JSON schema.

    Args:
        argv (list[str] | None): Command line without the program's name. Default: ``sys.argv[1:]``.

    Returns:
        int: 0 when every file is fine, otherwise 1.
    """
    parser = argparse.ArgumentParser(
        prog='python -m stea_arch.options', description='Check BasicSR option files without starting a run.'
    )
    parser.add_argument('files', nargs='*', metavar='FILE', help='option file; it trains if it has a train section')
    parser.add_argument('--schema', action='store_true', help='print the JSON schema of option files')
    parser.add_argument('--loose', action='store_true', help='only warn of keys that nothing reads')
    add_flag(parser)
    parser.add_argument('--no-files', action='store_true', help='leave out whether data and weights are on the disk')
    args = parser.parse_args(argv)
    wait_passively()
    set_up_console()
    if args.schema:
        from stea_arch.options.json_schema import json_schema

        print(json.dumps(json_schema()))
        return 0
    if not args.files:
        parser.error('expected option files, or --schema')

    failed = False
    for path in args.files:
        try:
            import_modules(args.imports)
            read_options(path, is_train=None, check_files=not args.no_files, loose=args.loose)
        except (OptionError, InputError, OSError) as error:
            failed = True
            print(f'{path}: {error}')
        else:
            print(f'{path}: ok')
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
