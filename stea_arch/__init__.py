"""LabNet and RealNet as a plugin for BasicSR: importing this package fills BasicSR's registries."""
from stea_arch import compat

compat.apply()

from stea_arch import archs, data, models  # noqa: E402, F401  (the registries are filled on import)

__version__ = "0.1.0"
