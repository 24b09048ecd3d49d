"""``stea-compare -opt FILE``: networks side by side on one page."""

import argparse
import io
import sys
from pathlib import Path

from stea_arch.options import OptionError
from stea_arch.options.reading import read_file
from stea_arch.system.allocator import keep_freed_memory
from stea_arch.system.errors import InputError
from stea_arch.system.files import whole_or_nothing
from stea_arch.system.imports import add_flag, import_modules
from stea_arch.system.threads import choose_threads, watch_cores


def main(argv=None):
    """Check the option file, run what is not finished, write ``report.md``, ``picture.png`` and ``index.html``.

    Args:
        argv (list[str] | None): Command line without the program's name. Default: ``sys.argv[1:]``.

    Returns:
        int: 0 if all went well, 1 if a network failed somewhere (the pages show the rest) or the
            disk is full, 2 for a wrong option file.
    """
    parser = argparse.ArgumentParser(
        prog='stea-compare',
        description='Test several networks on several sets; one JSON each, one table, one picture of crops and one '
        'HTML page. What is finished and has not changed is not computed again.',
    )
    parser.add_argument('-opt', required=True, metavar='FILE', help='option file (YAML), see options/compare')
    parser.add_argument('--out', type=Path, metavar='DIR', help='default: results/compare/<name>')
    add_flag(parser)
    args = parser.parse_args(argv)
    keep_freed_memory()
    watch_cores()
    try:
        return _compare(args.opt, args.out, args.imports)
    except (OptionError, InputError, FileNotFoundError) as error:
        print(f'{args.opt}: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nInterrupted. The same command continues with what is not finished.', file=sys.stderr)
        return 130
    except OSError as error:
        print(
            f'stea-compare: {error.filename or "the results"} could not be written: {error.strerror or error}. What is '
            'there is complete. Make room, or choose another folder (--out): the same command continues.',
            file=sys.stderr,
        )
        return 1


def _compare(file, out, imports):
    read_file(file)  # PyTorch takes seconds to load: what is not an option file at all is said before
    import_modules(imports)

    from stea_arch.compare.crops import draw_picture
    from stea_arch.compare.markdown import as_markdown
    from stea_arch.compare.options import read_compare_options
    from stea_arch.compare.page import as_html
    from stea_arch.compare.run import compare, failures

    opt = read_compare_options(file)
    choose_threads()
    out = out or Path('results', 'compare', opt['name'])
    out.mkdir(parents=True, exist_ok=True)
    comparison = compare(opt, out)
    text, picture = as_markdown(comparison), draw_picture(comparison)
    _write(out / 'report.md', text.encode())
    if picture:
        data = io.BytesIO()
        picture.save(data, 'PNG', optimize=True)
        _write(out / 'picture.png', data.getvalue())
    _write(out / 'index.html', as_html(comparison).encode())
    print(f'\n{text}\nTable:   {out / "report.md"}')
    if picture:
        print(f'Picture: {out / "picture.png"}')
    print(f'Page:    {out / "index.html"}')
    failed = failures(comparison)
    if failed:
        print('\nFailed:\n' + '\n'.join(f'  {line}' for line in failed), file=sys.stderr)
    return int(bool(failed))


def _write(path, data):
    with whole_or_nothing(path) as partial:
        partial.write_bytes(data)


if __name__ == '__main__':
    sys.exit(main())
