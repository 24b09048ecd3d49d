"""A section against its table of keys, or against the signature of what it becomes the arguments of."""

import inspect
import warnings

from stea_arch.options.kinds import MODEL, PIPELINE, Key, integer, like, like_any, mismatch
from stea_arch.options.problems import did_you_mean, join, listed
from stea_arch.options.schema import ARGUMENTS, COMMON_ARGUMENTS, DEAD

JUDGED = ('basicsr', 'stea_arch', 'torch')
NO_DEFAULT = inspect.Parameter.empty


def is_judged(target):
    """Whether a class or function is known here; those of other people may read keys that nobody knows."""
    return target.__module__.split('.')[0] in JUDGED


def check_table(problems, path, section, table, phase=None, judged=True, elsewhere=None):
    """Compare a section with its table.

    Args:
        problems (Problems): Gets an entry for each unknown, missing, mistyped or useless key.
        path (str): Path of the section.
        section (object): Passed over where it is not a dict: whoever holds it has complained about its kind.
        table (dict[str, Key]): The keys that it may have.
        phase (str | None): train, val or test; None for files of a single phase.
        judged (bool): False for a section of another plugin, which may have keys of its own.
        elsewhere (Callable | None): ``elsewhere(path, key)`` may say where an unknown key is at home.

    Returns:
        bool: Whether its values can be relied on.
    """
    before = len(problems.found)
    if not isinstance(section, dict):
        return False
    for key, value in section.items():
        known = table.get(key)
        if known is None:
            if key in DEAD:
                warnings.warn(f'{join(path, key)}: {DEAD[key]}', stacklevel=2)
            elif judged:
                hint = did_you_mean(key, table) or f'. Known here are: {listed(table)}'
                problems.add_unread(join(path, key), (elsewhere and elsewhere(path, key)) or f'unknown key{hint}')
        elif phase and phase not in known.only:
            reason = f' ({known.why})' if known.why else ''
            problems.add_unread(join(path, key), f'nothing reads this key in the {phase} phase{reason}: remove it')
        elif problem := mismatch(known.kind, value):
            problems.add(join(path, key), problem)
    for key, known in table.items():
        here = not phase or phase in known.only
        if key not in section and here and known.required in (PIPELINE, judged and MODEL):
            advice = f'; {known.why}' if known.why else ''
            problems.add(join(path, key), f'missing, expected {known.kind.expected}{advice}')
    return len(problems.found) == before


def registered(registry, name):
    """What BasicSR finds under a name of one of its registries; None where there is nothing, or it is not a text."""
    if not isinstance(name, str):
        return None
    known = dict(iter(registry))
    return known.get(name) or known.get(f'{name}_basicsr')


def defaults_of(target, supplied=()):
    """The arguments of a class or function by name, with their defaults, without those that the caller fills in."""
    usable = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(target).parameters.values()
    return {p.name: p.default for p in parameters if p.kind in usable and p.name not in supplied}


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
    target = registered(registry, name)
    if target is None:
        names = {n.removesuffix('_basicsr') for n, _ in registry}
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
    named = defaults_of(target, supplied)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())
    judged, label = is_judged(target), target.__name__
    note = problems.add_unread if takes_any else problems.add  # without, BasicSR would fail on them

    for key, value in section.items():
        if key == 'type':
            continue
        if key in named or key in extra:
            default = named.get(key, NO_DEFAULT)
            kind = argument_key(label, key, default).kind if judged or key in extra else like_any(default)
            if problem := mismatch(kind, value):
                problems.add(join(path, key), problem)
        elif judged or not takes_any:
            known = [*named, *extra]
            hint = did_you_mean(key, known) or f'. It takes: {listed(known)}'
            note(join(path, key), f'{label} has no such argument{hint}')
    for name, default in named.items():
        if default is NO_DEFAULT and name not in section:
            problems.add(join(path, name), f'{label} needs this argument and it is missing')


def argument_key(label, name, default):
    """What is known of an argument: by the table, by its usual meaning, or by its default value."""
    key = ARGUMENTS.get(label, {}).get(name) or COMMON_ARGUMENTS.get(name)
    if key:
        return key
    return Key(integer(0, 4096) if name.startswith('num_') and isinstance(default, int) else like(default))
