"""Optional packages: the extras of setup.py."""

import importlib

from stea_arch.system.errors import InputError


def require(package, extra):
    """An optional package; an ImportError says which extra of stea_arch brings it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'This needs the package {package}, which could not be imported: {error}. Install it with pip install '
            f"'stea_arch[{extra}]'."
        ) from error


def require_for_file(package, extra, purpose):
    """The same for what one file of many needs: a ValueError that begins with its ``purpose``."""
    try:
        return require(package, extra)
    except ImportError as error:
        raise InputError(f'{purpose}, install what is missing: pip install "stea_arch[{extra}]"') from error
