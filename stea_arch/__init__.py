"""LabNet and RealNet as a plugin for BasicSR: after importing this package, BasicSR's registries hold them.

Importing it is quick, as BasicSR is not loaded for it: that takes seconds, which who only upscales a photo need not
wait for. The registries are filled as soon as BasicSR is imported (or at once, where it has been), see ``plugin``.
"""

import importlib

from stea_arch import plugin

__version__ = '0.1.0'
__all__ = ['load_network', 'load_published', 'to_published', 'upscale']

_HOMES = {
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
