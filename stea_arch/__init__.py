"""LabNet and RealNet as a plugin for BasicSR: importing this package fills BasicSR's registries."""

from stea_arch import compat

compat.prepare()

from stea_arch import archs, data, metrics, models  # noqa: E402, F401  (the registries are filled on import)
from stea_arch.archs.published import load_published  # noqa: E402

compat.apply()

__version__ = '0.1.0'
__all__ = ['load_published']
