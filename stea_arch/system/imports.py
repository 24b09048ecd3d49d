"""Other people's networks, datasets, models, losses and metrics: imported modules register them with BasicSR."""

import functools
import importlib
import os
import sys
import traceback
import warnings
from importlib.metadata import entry_points
from pathlib import Path

from stea_arch.system.errors import InputError

GROUP = 'stea_arch.plugins'


def add_flag(parser):
    """The argument ``--import MODULE`` of the commands; it may be given several times."""
    parser.add_argument(
        '--import',
        dest='imports',
        action='append',
        default=[],
        metavar='MODULE',
        help='Python module to import first, which registers networks, datasets, ...: hat.archs, or ./my_arch.py; '
        'repeatable',
    )


def import_modules(names):
    """Import modules, and before them once the plugins that are installed.

    Args:
        names (Iterable[str]): Dotted names, also of modules in the working directory; or files, ending in .py,
            relative to the working directory. A file's folder is searched first from then on, as by ``python FILE``,
            so that processes that are started later find it too.

    Raises:
        InputError: One of them cannot be imported.
    """
    _import_plugins()
    for name in names:
        _import_file(name) if name.endswith('.py') else _import(name)


@functools.cache
def _import_plugins():
    """Import what installed packages name in their entry points; one that fails is left out, with a warning."""
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except (Exception, SystemExit) as error:
            warnings.warn(f'The plugin {point.name} of {point.dist.name} is left out: {_reason(error)}', stacklevel=2)


def _import(name):
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f'{name}.'.startswith(f'{error.name}.'):
            raise InputError(
                f'there is no module {name}: install it, start in the folder that holds it, or give a file (./name.py)'
            ) from error
        raise InputError(f'{name} cannot be imported: {_reason(error)}') from error
    except (Exception, SystemExit) as error:
        raise InputError(f'{name} cannot be imported: {_reason(error)}') from error


def _import_file(name):
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise InputError(f'there is no file {name} (seen from {Path.cwd()})')
    if str(path.parent) not in sys.path[:1]:
        sys.path.insert(0, str(path.parent))
    found = getattr(_import(path.stem), '__file__', None)
    if found is None or Path(found).resolve() != path:
        raise InputError(f'{name} cannot be imported: another module is called {path.stem} ({found}); rename the file')


def _reason(error):
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith('<frozen')]
    return f'{type(error).__name__}: {error} ({frames[-1].filename}, line {frames[-1].lineno})'
