"""Sections that become the arguments of something registered: found by name, compared with its signature."""

import inspect

from stea_arch.options.kinds import integer, like, mismatch
from stea_arch.options.problems import did_you_mean, join, listed
from stea_arch.options.schema_arguments import ARGUMENTS, COMMON_ARGUMENTS

JUDGED = ('basicsr', 'stea_arch', 'torch')
NO_DEFAULT = inspect.Parameter.empty


def find(problems, path, registry, name):
    """Look a name up as BasicSR does, without its printing.

    Args:
        problems (Problems): Gets an entry where there is nothing of that name.
        path (str): Path of the ``type`` key.
        registry (basicsr.utils.registry.Registry): Where to look.
        name (str): As written in the option file.

    Returns:
        object | None: The registered class or function.
    """
    if not isinstance(name, str):
        return None  # the kind of the key has been complained about
    known = dict(iter(registry))
    target = known.get(name) or known.get(f'{name}_basicsr')
    if target is None:
        names = {n.removesuffix('_basicsr') for n in known}
        hint = did_you_mean(name, names) or f'. Registered are: {listed(names)}'
        problems.add(path, f'no {registry._name} of the name {name!r} is registered{hint}')
    return target


def check_arguments(problems, path, section, target, supplied=(), extra=()):
    """Compare a section with the signature of what it will be handed to.

    Args:
        problems (Problems): Gets an entry for each unknown, missing or mistyped argument.
        path (str): Path of the section.
        section (dict): Arguments and ``type``.
        target (Callable): A class or function. Where it takes ``**kwargs``, BasicSR would swallow a mistyped name, so
            only the named parameters count; foreign ones with ``**kwargs`` cannot be judged, their extra keys pass.
        supplied (tuple[str]): Parameters that the caller fills in.
        extra (tuple[str]): Further keys that somebody else reads from the section.
    """
    parameters = inspect.signature(target).parameters.values()
    usable = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {p.name: p.default for p in parameters if p.kind in usable and p.name not in supplied}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    judged = not takes_any or target.__module__.split('.')[0] in JUDGED
    label = target.__name__

    for key, value in section.items():
        if key == 'type':
            continue
        if key in named or key in extra:
            problem = mismatch(argument_kind(label, key, named.get(key, NO_DEFAULT)), value)
            if problem:
                problems.add(join(path, key), problem)
        elif judged:
            known = [*named, *extra]
            hint = did_you_mean(key, known) or f'. It takes: {listed(known)}'
            problems.add(join(path, key), f'{label} has no such argument{hint}')
    for name, default in named.items():
        if default is NO_DEFAULT and name not in section:
            problems.add(join(path, name), f'{label} needs this argument and it is missing')


def argument_kind(label, name, default):
    """The kind of an argument: by the table, by its usual meaning, or by its default value."""
    table = ARGUMENTS.get(label, {})
    if name in table:
        return table[name]
    if name in COMMON_ARGUMENTS:
        return COMMON_ARGUMENTS[name]
    if name.startswith('num_') and isinstance(default, int):
        return integer(0)
    return like(default)
