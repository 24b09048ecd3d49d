"""What a value may be, for people, for the check and for an editor; and what is known of a key."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

NUMBER_TEXT = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?')
ONE_WORD = r'[\w.+=@-]+'
PIPELINE = 'pipeline'  # BasicSR's train.py, test.py and parse_options read it without a default
MODEL = 'model'  # the model or dataset reads it without a default
TRAIN_ONLY = ('train',)
VAL_ONLY = ('val', 'test')


@dataclass(frozen=True)
class Kind:
    """``expected`` completes "expected ..."; ``accepts`` takes a value, returns a bool; ``schema`` is for JSON."""

    expected: str
    accepts: Callable[[object], bool]
    schema: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Key:
    """A known key.

    Args:
        kind (Kind): What its value may be.
        required (str): ``PIPELINE`` or ``MODEL``, whoever needs it; empty: may be left out.
        only (tuple[str]): Phases (train, val, test) that read it. Elsewhere it is refused, as it would do nothing.
        why (str): Said when a required key is missing, or when a key stands where nothing reads it.
        doc (str): What it means; BasicSR's own keys have none.
    """

    kind: Kind
    required: str = ''
    only: tuple = ('train', 'val', 'test')
    why: str = ''
    doc: str = ''


def is_number(value):
    """True for a finite int or float; a bool is not a number."""
    return is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def is_integer(value):
    """True for an int of at most 64 bits that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_whole(value):
    """True for a number without a fraction: 5000 and, as BasicSR's own files write it, 5000.0."""
    return is_number(value) and float(value).is_integer()


def _bounded(noun, test, low, high):
    bounds = [f'>= {low}'] * (low is not None) + [f'<= {high}'] * (high is not None)
    return Kind(
        ' '.join([noun, ' and '.join(bounds)]).strip(),
        lambda v: test(v) and (low is None or v >= low) and (high is None or v <= high),
        _limits('number' if test is is_number else 'integer', low, high),
    )


def _limits(name, low, high=None):
    limits = {'type': name, 'minimum': low, 'maximum': high}
    return {key: value for key, value in limits.items() if value is not None}


def integer(low=None, high=None):
    """An int; for keys where BasicSR fails on a float."""
    return _bounded('an integer', is_integer, low, high)


def count(low=None, high=None):
    """A whole number, ``!!float 5e3`` included; for counts of iterations."""
    return _bounded('a whole number', is_whole, low, high)


def number(low=None, high=None):
    """A number within closed bounds."""
    return _bounded('a number', is_number, low, high)


def positive():
    """A number above zero."""
    return Kind('a number > 0', lambda v: is_number(v) and v > 0, {'type': 'number', 'exclusiveMinimum': 0})


def fraction():
    """A number in [0, 1)."""
    schema = {'type': 'number', 'minimum': 0, 'exclusiveMaximum': 1}
    return Kind('a number >= 0 and < 1', lambda v: is_number(v) and 0 <= v < 1, schema)


def multiple(of, high):
    """A multiple of an integer, from it to ``high``."""
    schema = {'type': 'integer', 'minimum': of, 'maximum': high, 'multipleOf': of}
    return Kind(f'a multiple of {of} up to {high}', lambda v: is_integer(v) and of <= v <= high and v % of == 0, schema)


def boolean():
    """true or false."""
    return Kind('true or false', lambda v: isinstance(v, bool), {'type': 'boolean'})


def text():
    """Text that is not empty."""
    return Kind('text', lambda v: isinstance(v, str) and v.strip() != '', {'type': 'string', 'minLength': 1})


def word():
    """Text that can be the name of a folder."""
    return Kind(
        'one word without slashes or blanks that can name a folder',
        lambda v: isinstance(v, str) and re.fullmatch(ONE_WORD, v) is not None and v.strip('.') != '',
        {'type': 'string', 'pattern': f'^{ONE_WORD}$'},
    )


def choice(*names):
    """One of the given values; nothing (~) is 'none', where there is one, as ``--force_yml`` makes nothing of none."""
    values = (*names, None) if 'none' in names else names
    expected = ' or '.join(str(name) for name in names)
    return Kind(expected, lambda v: not isinstance(v, bool) and v in values, {'enum': list(values)})


def sequence(kind, length=None, low=1):
    """A list whose elements are all of one kind."""
    size = f'{length} elements' if length else f'{low} or more elements'
    return Kind(
        f'a list of {size}, each {kind.expected}',
        lambda v: (
            isinstance(v, list)
            and (len(v) == length if length else len(v) >= low)
            and all(kind.accepts(element) for element in v)
        ),
        {'type': 'array', 'items': kind.schema, 'minItems': length or low, **({'maxItems': length} if length else {})},
    )


def span(low, high=None):
    """Two ordered numbers [lo, hi] within bounds."""
    bounds = f'{low} <= lo <= hi' + (f' <= {high}' if high is not None else '')
    pair = sequence(number(low, high), length=2)
    return Kind(f'[lo, hi] with {bounds}', lambda v: pair.accepts(v) and v[0] <= v[1], pair.schema)


def odd(low, high):
    """An odd integer."""
    return Kind(
        f'an odd integer from {low} to {high}',
        lambda v: is_integer(v) and low <= v <= high and v % 2 == 1,
        {**_limits('integer', low, high), 'not': {'multipleOf': 2}},
    )


def mapping():
    """A section of its own."""
    return Kind('a section with keys of its own', lambda v: isinstance(v, dict), {'type': 'object'})


def numbers_by_name():
    """A section whose values are numbers, at least 0."""
    each = number(0)
    return Kind(
        'numbers >= 0 by name',
        lambda v: isinstance(v, dict) and all(map(each.accepts, v.values())),
        {'type': 'object', 'additionalProperties': each.schema},
    )


def anything():
    """Whatever the registered object makes of it."""
    return Kind('a value', lambda v: True)


def optional(kind):
    """``~`` or a value of the given kind."""
    return either(Kind('~', lambda v: v is None, {'type': 'null'}), kind)


def either(*kinds):
    """A value of any of the given kinds."""
    return Kind(
        ' or '.join(k.expected for k in kinds),
        lambda v: any(k.accepts(v) for k in kinds),
        {'anyOf': [k.schema for k in kinds]},
    )


def like(default):
    """The kind a default value suggests: a bool wants a bool, a number a number, a tuple a list."""
    if isinstance(default, bool):
        return boolean()
    if isinstance(default, (int, float)):
        return number()
    if isinstance(default, str):
        return optional(Kind('text', lambda v: isinstance(v, str), {'type': 'string'}))
    if isinstance(default, (tuple, list)):
        return sequence(anything(), low=0)
    return anything()


IMPORTS = Key(
    sequence(text()),
    doc='Python modules to import first, which register networks, datasets and so on: names (`hat.archs`) or files '
    '(`./my_arch.py`), from the working directory',
)


def like_any(default):
    """As :func:`like`, for other people's code: in place of a number they may take a list of them."""
    kind = like(default)
    is_counted = isinstance(default, (int, float)) and not isinstance(default, bool)
    return either(kind, sequence(number())) if is_counted else kind


def mismatch(kind, value):
    """Word what was expected and what was got, with the usual YAML slips explained.

    Returns:
        str | None: None where the value is of the kind.
    """
    if kind.accepts(value):
        return None
    return f'expected {kind.expected}, got {_shown(value)}{_slip(kind, value)}'


def _shown(value):
    if value is None:
        return 'nothing (~)'
    if isinstance(value, dict):
        return 'a section'
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + '...'
    return shown + (' (text)' if isinstance(value, str) else '')


def _slip(kind, value):
    if isinstance(value, str):
        if NUMBER_TEXT.fullmatch(value) and math.isfinite(float(value)):
            if kind.accepts(float(value)):
                return f'; {number_advice(value)}'
            if kind.accepts(int(float(value))):
                return f'; write {int(float(value))}'
        if value.lower() in ('true', 'false') and kind.accepts(value.lower() == 'true'):
            return f'; quotes make it text: write {value.lower()}'
        if value.lower() in ('none', 'null', '~') and kind.accepts(None):
            return '; write ~ without quotes'
    if isinstance(value, list):
        as_numbers = [v for v in value if isinstance(v, str) and NUMBER_TEXT.fullmatch(v)]
        if as_numbers:
            return f'; {number_advice(as_numbers[0])}'
    if is_whole(value) and kind.accepts(int(value)):
        return f'; write {int(value)}'
    return ''


def number_advice(written):
    """Say how to write a number that YAML 1.1 takes for text, e.g. ``1e-4``."""
    if 'e' not in written.lower():
        return f'quotes make {written} text: leave them out'
    mantissa, exponent = re.split('[eE]', written)
    mantissa = mantissa if '.' in mantissa else mantissa + '.0'
    exponent = exponent if exponent[0] in '+-' else '+' + exponent
    return f'{written} is text in YAML 1.1: write {mantissa}e{exponent} or !!float {written}'
