"""From text to a dict: YAML read safely, ``--force_yml`` applied without evaluating anything."""

import itertools
import math
import re

import yaml

from stea_arch.options.kinds import is_integer
from stea_arch.options.problems import OptionError, Problems, did_you_mean, join, part
from stea_arch.options.shipped import find_option_file
from stea_arch.system.errors import InputError
from stea_arch.system.imports import import_modules
from stea_arch.system.plain_values import parse_value

MOST_VALUES = 100_000
KEY = re.compile(r'[A-Za-z0-9_]+')


def read_options(path, force=(), is_train=True, check_files=True, loose=False):
    """Read an option file, apply ``--force_yml``, import what it names and check everything.

    Args:
        path (str | Path): The YAML file, or the name of one that comes with this package.
        force (Iterable[str]): Entries ``'train:optim_g:lr=1e-4'``. A new key may be set where the schema knows it; its
            section must be in the file, as BasicSR makes no new ones.
        is_train (bool | None): Whether it will be trained with, or tested. None: trained if it has a train section.
        check_files (bool): Also check that data and weights named in it are on the disk.
        loose (bool): Only warn of keys that nothing reads.

    Returns:
        dict: The content, as BasicSR's ``parse_options`` starts from.

    Raises:
        FileNotFoundError: No such file.
        OptionError: All problems, each with its line in the file.
    """
    opt, origins = read_file(path)
    problems = Problems()
    for entry in force:
        apply_force(problems, opt, entry, origins)
    if is_train is None:
        is_train = command_for(opt) == 'stea-train'
    check_command(opt, 'stea-train' if is_train else 'stea-test')
    import_named(problems, opt, origins)

    from stea_arch.options.check import check_options  # here: it loads BasicSR and torch, which takes seconds

    try:
        check_options(opt, is_train, check_files, loose)
    except OptionError as error:
        problems.found += error.problems
    if problems.found:
        raise OptionError(problems.found, origins)
    return opt


def command_for(opt):
    """The command that takes an option file of this content; None where that does not show."""
    if 'networks' in opt and 'network_g' not in opt:
        return 'stea-compare'
    if 'train' in opt or 'train' in part(opt, 'datasets'):
        return 'stea-train'
    return 'stea-test' if 'network_g' in opt else None


def check_command(opt, command):
    """Raise an OptionError of one sentence where an option file is for another command."""
    right = command_for(opt)
    if right not in (command, None):
        kind = {
            'stea-compare': 'a comparison',
            'stea-train': 'a training',
            'stea-test': 'a test, without a train section',
        }
        raise OptionError([('', f'this is an option file of {kind[right]}: start it with {right} -opt FILE')])


def import_named(problems, opt, origins):
    """Import plugins and the modules that an option file names in ``imports``.

    Raises:
        OptionError: One of them cannot be imported, beside the problems so far: what it registers may be missed next.
    """
    names = opt.get('imports')
    try:
        import_modules(name for name in (names if isinstance(names, list) else ()) if isinstance(name, str))
    except InputError as error:
        raise OptionError([*problems.found, ('imports', str(error))], origins) from None


def read_file(path):
    """The content of an option file, unchecked, and the line of each key; see :func:`load`.

    Raises:
        FileNotFoundError: No such file.
        OptionError: As :func:`load`, or what it holds are not keys and values.
    """
    opt, origins = load(find_option_file(path).read_bytes())
    if not isinstance(opt, dict):
        raise OptionError([('', f'expected keys and values (name: ..., datasets: ...), got {type(opt).__name__}')])
    return opt, origins


def load(text):
    """Read YAML of plain values only, with the line of each key.

    Args:
        text (str | bytes): YAML, UTF-8.

    Returns:
        tuple[object, dict[str, str]]: The content and ``{'train.amp': 'line 40', ...}``.

    Raises:
        OptionError: No YAML, a tag that would build Python objects, a key given twice in one section, or a section
            that two keys share (BasicSR changes sections in place).
    """
    problems, origins = Problems(), {}
    try:
        loader = yaml.SafeLoader(text.decode() if isinstance(text, bytes) else text)
        node = loader.get_single_node()
        if node is not None and _size(node, {}) > MOST_VALUES:
            raise OptionError(
                [('', f'aliases (*) make more than {MOST_VALUES:,d} values of it: write out what is meant')]
            )
        _inspect(problems, origins, node, '', set(), loader)
        problems.raise_if_any()
        content = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        where = f'line {error.problem_mark.line + 1}: ' if error.problem_mark else ''
        what = ', '.join(text for text in (error.context, error.problem) if text)
        hint = '. Only plain values are allowed, nothing is executed' if 'constructor' in what else ''
        raise OptionError([('', f'{where}{what}{hint}')]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError([('', f'this is not YAML text in UTF-8: {error}. Save it as UTF-8')]) from None
    except RecursionError:
        raise OptionError([('', 'lists or sections are nested too deeply: write it flat')]) from None
    return content, origins


def _size(node, known):
    """How many values a node stands for, those behind aliases counted each time; infinite where it contains itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is known
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = itertools.chain.from_iterable(parts) if isinstance(node, yaml.MappingNode) else parts
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _inspect(problems, origins, node, path, seen, loader):
    if isinstance(node, yaml.ScalarNode):
        _inspect_value(problems, node, path, loader)
    if isinstance(node, yaml.SequenceNode):
        for element in node.value:
            if id(element) not in seen:
                seen.add(id(element))
                _inspect(problems, origins, element, path, seen, loader)
    if not isinstance(node, yaml.MappingNode):
        return
    if id(node) in seen:
        problems.add(path, 'this section is an alias (*) of another one, and BasicSR changes sections: write it out')
        return
    seen.add(id(node))
    lines = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        here = join(path, key)
        if key_node.tag.endswith(':merge'):
            problems.add(here, f'merge keys (<<) cannot be read by BasicSR: write the keys out [line {line}]')
        elif not isinstance(key_node, yaml.ScalarNode):
            problems.add(path, f'a key must be text [line {line}]')
        elif key in lines:
            problems.add(here, f'given twice, in lines {lines[key]} and {line}: only one can count')
        else:
            lines[key] = line
            origins[here] = f'line {line}'
            _inspect_value(problems, key_node, path, loader)
            _inspect(problems, origins, value_node, here, seen, loader)


def _inspect_value(problems, node, path, loader):
    try:
        value = loader.construct_object(node)
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError):
        value = None
        kind = node.tag.rpartition(':')[2]
        problems.add(path, f'{node.value!r:.60} cannot be read as a value of the kind {kind}; quotes make it text')
    if isinstance(value, int) and not is_integer(value) and not isinstance(value, bool):
        problems.add(path, f'expected a whole number of at most 64 bits, got one of {value.bit_length()} bits')


def apply_force(problems, opt, entry, origins):
    """Set one value from the command line.

    Args:
        problems (Problems): Gets an entry where ``entry`` is refused.
        opt (dict): Changed in place.
        entry (str): ``'train:optim_g:lr=1e-4'``.
        origins (dict[str, str]): Notes that the value came from the command line.
    """
    path = f'--force_yml {entry}'
    if entry.count('=') != 1:
        reason = 'expected KEY:KEY=VALUE' if '=' not in entry else 'BasicSR takes no value that contains = itself'
        problems.add(path, f'{reason}; edit the option file for that')
        return
    left, written = (side.strip() for side in entry.split('='))
    *sections, last = keys = left.split(':')
    for key in keys:
        if not KEY.fullmatch(key):
            problems.add(path, f'expected levels joined by colons, such as train:optim_g:lr=1e-4, got {entry!r}')
            return
    section = opt
    for depth, key in enumerate(sections):
        known = section if isinstance(section, dict) else {}
        if not isinstance(known.get(key), dict):
            where = join(*keys[: depth + 1])
            problems.add(path, f'the file has no section {where}{did_you_mean(key, known)}, and none can be made here')
            return
        section = section[key]
    if not isinstance(section, dict):
        problems.add(path, 'the file has no keys')
        return
    try:
        section[last] = parse_value(written)
    except ValueError as error:
        problems.add(path, str(error))
        return
    forced = join(*keys)
    for known in [k for k in origins if k == forced or k.startswith(forced + '.')]:
        del origins[known]
    origins[forced] = '--force_yml'
