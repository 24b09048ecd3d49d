"""Results as JSON that every parser takes: an infinite PSNR is the text ``"inf"``, and there is no NaN."""

import json
import math
from pathlib import Path

from stea_arch.system.files import whole_or_nothing


def dumps(value, indent=None):
    """A result as JSON text.

    Raises:
        ValueError: There is a NaN or -inf in it.
    """
    return json.dumps(_replace(value, math.inf, 'inf'), indent=indent, allow_nan=False)


def loads(text):
    """What :func:`dumps` made text of."""
    return _replace(json.loads(text), 'inf', math.inf)


def write_json(value, path):
    """Write so that the file holds all of it or what it held before; folders above are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(path) as partial:
        partial.write_text(dumps(value, 1) + '\n', encoding='utf-8')


def read_json(path):
    """What :func:`write_json` has written, or None where there is no such file."""
    path = Path(path)
    return loads(path.read_text(encoding='utf-8')) if path.is_file() else None


def _replace(value, old, new):
    if isinstance(value, dict):
        return {key: _replace(entry, old, new) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace(entry, old, new) for entry in value]
    return new if value == old else value
