"""Which code a network or a metric consists of."""

import ast
import importlib.util
import inspect
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def find_sources(one):
    """The file that defines a class or function, and all that it imports, as far as that is not installed.

    Import statements are read, also those inside of functions, so it does not matter what has been loaded, nor what
    else lies in the folder. This package, installed ones and the standard library are not followed.

    Args:
        one (type | Callable): Of a module that has been imported.

    Returns:
        tuple[set[Path], set[str]]: The files, and the modules of other installed packages that they are of or import.
    """
    module = sys.modules[one.__module__]
    first = Path(inspect.getsourcefile(one))
    if _is_closed(first):
        return {first}, {module.__name__.partition('.')[0]} - {PACKAGE.name}
    files, installed, seen = {first}, set(), set()
    waiting = [module.__name__, *_imports(first, module.__package__)]
    while waiting:
        for spec in _locate(waiting.pop()):
            if spec.name in seen:
                continue
            seen.add(spec.name)
            if not spec.has_location:  # a folder without __init__.py
                continue
            file = Path(spec.origin)
            if _is_closed(file):
                installed.add(spec.name.partition('.')[0])
                break
            files.add(file)
            waiting += _imports(file, spec.parent)
    return files, installed - {PACKAGE.name}


def _is_closed(file):
    return not {'site-packages', 'dist-packages'}.isdisjoint(file.parts) or file.resolve().is_relative_to(PACKAGE)


def _imports(file, package):
    """Dotted names in a file's import statements; the last part of one may be no module but something in it."""
    tree = ast.Module([], [])
    with suppress(SyntaxError, ValueError):  # edited since it was loaded, or compiled
        tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError):  # beyond the outermost package
                base = importlib.util.resolve_name('.' * node.level + (node.module or ''), package)
                yield from (f'{base}.{alias.name}' for alias in node.names)


def _locate(name):
    """The specs of a dotted name's packages and of itself, as far as there are such modules; nothing is imported."""
    parts, folders = name.split('.'), None
    for end in range(1, len(parts) + 1) if parts[0] not in sys.stdlib_module_names else ():
        part = '.'.join(parts[:end])
        spec = getattr(sys.modules.get(part), '__spec__', None) or PathFinder.find_spec(part, folders)
        if spec is None:
            return
        yield spec
        folders = spec.submodule_search_locations
        if folders is None:
            return
