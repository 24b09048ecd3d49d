"""When BasicSR is imported, it is mended first and its registries are filled after.

``import stea_arch`` installs a finder that waits for ``import basicsr``, whoever asks for it. So the networks, datasets
and models of this package are there for all that can look for them, and a program that needs none of BasicSR does not
pay for loading it. A module of this package that imports BasicSR and that ``fill`` loads, must import it before it
defines anything: a package does so in its first line.
"""

import importlib.util
import sys
import warnings
from importlib.abc import MetaPathFinder

from stea_arch import compat
from stea_arch.system.errors import InputError

LAST = 'basicsr.version'  # of the modules that ``import basicsr`` loads
OUR_COMMANDS = 'stea_arch.commands'


class BasicSRFinder(MetaPathFinder):
    """Finds BasicSR where the other finders do, mends it before and fills it at the end of its loading."""

    searching = False

    def find_spec(self, name, path=None, target=None):
        if name not in ('basicsr', LAST) or self.searching:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching = False
        if spec is None:
            return None
        if name == 'basicsr':
            _prepare(spec.submodule_search_locations)
        elif compat.is_ours(path):
            execute = spec.loader.exec_module

            def execute_and_fill(module):
                execute(module)
                fill(path)

            spec.loader.exec_module = execute_and_fill
        return spec


def install():
    """Wait for BasicSR, also where it is half loaded; or fill its registries at once. Doing it twice is harmless."""
    folders = getattr(sys.modules.get('basicsr'), '__path__', None)
    ours = folders is not None and _prepare(folders)
    if ours and LAST in sys.modules:
        fill(folders)
    elif not any(type(finder).__name__ == BasicSRFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, BasicSRFinder())


def fill(folders):
    """Load every module that registers something, and put stea_arch's counterparts into BasicSR's modules."""
    try:
        from stea_arch import archs, data, metrics, models, registry  # noqa: F401

        registry.register_waiting()
        compat.apply()
    except (ImportError, AttributeError) as error:
        if OUR_COMMANDS in sys.modules:
            raise
        compat.undo()
        _leave_alone(folders, f'{type(error).__name__}: {error}')


def _prepare(folders):
    ours = compat.is_ours(folders)
    if ours:
        compat.prepare()
    else:
        _leave_alone(folders, f'version {compat.VERSION} was expected (pip install basicsr=={compat.VERSION})')
    return ours


def _leave_alone(folders, reason):
    """Warn in programs of others, which may do without us; ours cannot."""
    where = next(iter(folders or ()), 'one file')
    message = f'The BasicSR in {where} is left without the networks, datasets and models of stea_arch: {reason}'
    if OUR_COMMANDS in sys.modules:
        raise InputError(message)
    warnings.warn(message, stacklevel=3)
