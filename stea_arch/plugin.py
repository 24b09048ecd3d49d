"""When BasicSR is imported, it is mended first and its registries are filled after.

``import stea_arch`` installs a finder that waits for ``import basicsr``, whoever asks for it. So the networks, datasets
and models of this package are there for all that can look for them, and a program that needs none of BasicSR does not
pay for loading it. A module of this package that imports BasicSR and that ``fill`` loads, must import it before it
defines anything: a package does so in its first line.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder

from stea_arch import compat


class BasicSRFinder(MetaPathFinder):
    """Finds BasicSR where the other finders do, but wraps its loading into ``compat.prepare`` and ``fill``."""

    searching = False

    def find_spec(self, name, path=None, target=None):
        if name != 'basicsr' or self.searching:
            return None
        self.searching = True
        try:
            compat.prepare()
            spec = importlib.util.find_spec(name)
        finally:
            self.searching = False
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_fill(module):
                execute(module)
                fill()

            spec.loader.exec_module = execute_and_fill
        return spec


def install():
    """Wait for BasicSR, or fill its registries at once where it is loaded. Doing it twice is harmless."""
    if 'basicsr' in sys.modules:
        compat.prepare()
        fill()
    elif not any(type(finder).__name__ == BasicSRFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, BasicSRFinder())


def fill():
    """Load every module that registers something, and put stea_arch's counterparts into BasicSR's modules."""
    from stea_arch import archs, data, metrics, models, registry  # noqa: F401

    registry.register_waiting()
    compat.apply()
