"""One way into BasicSR's registries that tolerates being walked twice."""


def register(registry):
    """Class decorator: put a class or function into a BasicSR registry under its own name.

    BasicSR's ``Registry.register`` asserts that a name is new, so a second import of the same module
    (``importlib.reload``, a test that clears ``sys.modules``) would fail. Here the newer definition of the same
    object, known by its module and name, takes the older one's place; a name that belongs to somebody else is
    still refused by BasicSR itself.

    Args:
        registry (basicsr.utils.registry.Registry): e.g. ``ARCH_REGISTRY``.
    """

    def add(obj):
        known = dict(iter(registry)).get(obj.__name__)
        if known is not None and known.__module__ == obj.__module__:
            registry._obj_map[obj.__name__] = obj
        else:
            registry.register(obj)
        return obj

    return add
