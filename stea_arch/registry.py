"""One way into BasicSR's registries that tolerates being walked twice, and BasicSR being loaded later or never."""

import sys

from stea_arch import compat

_by_name = []


def register(registry):
    """Class decorator: put a class or function into a BasicSR registry under its own name.

    BasicSR's ``Registry.register`` asserts that a name is new, so a second import of the same module
    (``importlib.reload``, a test that clears ``sys.modules``) would fail. Here the newer definition of the same
    object, known by its module and name, takes the older one's place; a name that belongs to somebody else is
    still refused by BasicSR itself.

    Args:
        registry (basicsr.utils.registry.Registry | str): The registry; or its name, e.g. ``'ARCH_REGISTRY'``, in a
            module that works without BasicSR: the object then enters once BasicSR has been imported.
    """

    def add(obj):
        if isinstance(registry, str):
            _by_name.append((registry, obj))
            if 'basicsr.utils.registry' in sys.modules and compat.is_ours(sys.modules['basicsr'].__path__):
                _add(getattr(sys.modules['basicsr.utils.registry'], registry), obj)
        else:
            _add(registry, obj)
        return obj

    return add


def register_waiting():
    """Put everything that was registered by name into BasicSR's registries; what is there already stays."""
    for name, obj in _by_name:
        _add(getattr(sys.modules['basicsr.utils.registry'], name), obj)


def _add(registry, obj):
    known = dict(iter(registry)).get(obj.__name__)
    if known is not None and known.__module__ == obj.__module__:
        registry._obj_map[obj.__name__] = obj
    else:
        registry.register(obj)
