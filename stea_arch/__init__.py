"""LabNet and RealNet as a plugin for BasicSR: after importing this package, BasicSR's registries hold them.

Importing it is quick, as BasicSR is not loaded for it: that takes seconds, which who only upscales a photo need not
wait for. The registries are filled as soon as BasicSR is imported (or at once, where it has been), see ``plugin``.
"""

import importlib
from typing import TYPE_CHECKING

from stea_arch import plugin

if TYPE_CHECKING:  # for editors and type checkers; at run time each is loaded when it is asked for
    from stea_arch.archs.labnet_arch import LabNet
    from stea_arch.archs.realnet_arch import RealNet
    from stea_arch.upscaling.upscaler import Upscaler, upscale
    from stea_arch.weights import load_network
    from stea_arch.weights.authors_naming import load_published, to_published

__version__ = '0.1.0'
__all__ = ['LabNet', 'RealNet', 'Upscaler', 'load_network', 'load_published', 'to_published', 'upscale']

_HOMES = {
    'LabNet': 'stea_arch.archs.labnet_arch',
    'RealNet': 'stea_arch.archs.realnet_arch',
    'Upscaler': 'stea_arch.upscaling.upscaler',
    'load_network': 'stea_arch.weights',
    'load_published': 'stea_arch.weights.authors_naming',
    'to_published': 'stea_arch.weights.authors_naming',
    'upscale': 'stea_arch.upscaling.upscaler',
}
_ROOMS = ('archs', 'backends', 'data', 'degradations', 'inference', 'metrics', 'models', 'triton_ops')

plugin.install()


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f'stea_arch.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted({*globals(), *_HOMES, *_ROOMS})
