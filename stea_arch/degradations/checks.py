"""Checks of options that the samplers of degradations share; the messages name the option."""

import math

from stea_arch.system.errors import InputError

SCALES = (2, 3, 4)


class BadArgument(InputError):
    """An argument, or the option of the same name, whose value cannot be used.

    Args:
        name (str): Of the argument.
        reason (str): What was expected, what was got and what to do; its sentence begins with the name.
    """

    def __init__(self, name, reason):
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self):
        return f'{self.name} {self.reason}'


def check_scale(scale):
    """Raise a ValueError unless ``scale`` is 2, 3 or 4."""
    if scale not in SCALES:
        raise BadArgument('scale', f'must be 2, 3 or 4, got {scale!r}. Set scale at the top of the option file.')


def check_kernel_size(kernel_size):
    """Raise a ValueError unless ``kernel_size`` is an odd whole number above 0."""
    if type(kernel_size) is not int or kernel_size < 1 or kernel_size % 2 == 0:
        reason = (
            f'must be an odd whole number of pixels, got {kernel_size!r}. Give 21 (setting 1) or 31 (setting 2 at x4).'
        )
        raise BadArgument('kernel_size', reason)


def check_side(name, size, scale):
    """Raise a ValueError unless the side of a patch, the option ``name``, is a whole multiple of the scale."""
    if type(size) is not int or size < scale or size % scale:
        reason = (
            f'must be a whole multiple of the scale {scale}, got {size!r}. For inputs of 64 pixels give {64 * scale}.'
        )
        raise BadArgument(name, reason)


def check_range(name, values, above_zero):
    """Return ``values`` as two floats, lowest first; raise a ValueError that names the option if they are not."""
    values = tuple(values) if isinstance(values, list | tuple) else (values,)
    good = len(values) == 2 and all(map(is_number, values)) and values[0] <= values[1]
    if not good or values[0] < 0 or (above_zero and values[0] == 0):
        lowest = 'above 0' if above_zero else 'at least 0'
        raise BadArgument(name, f'must be two numbers [lowest, highest], both {lowest}, got {list(values)}.')
    return tuple(map(float, values))


def check_probability(name, value):
    """Raise a ValueError unless ``value`` is a number from 0 to 1; return it."""
    if not is_number(value) or not 0 <= value <= 1:
        raise BadArgument(name, f'must be a probability from 0 to 1, got {value!r}. Give 0 to switch it off.')
    return value


def check_weights(name, values, length):
    """Return ``length`` weights that sum to 1; raise a ValueError unless they are numbers >= 0, not all of them 0."""
    values = list(values) if isinstance(values, list | tuple) else [values]
    good = len(values) == length and all(is_number(value) and value >= 0 for value in values)
    if not good or not sum(values):
        raise BadArgument(name, f'must be {length} weights of at least 0, not all of them 0, got {values}.')
    return tuple(value / sum(values) for value in values)


def is_number(value):
    """Whether ``value`` is a finite number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
