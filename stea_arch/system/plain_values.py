"""Values written as YAML writes them, read without evaluating anything."""

import re

import yaml

INTEGER = re.compile(r'[+-]?[0-9]+')
FLOAT = re.compile(r'[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?')
WORDS = {'~': None, 'none': None, 'null': None, 'true': True, 'false': False}
PLAIN_TAGS = tuple(f'tag:yaml.org,2002:{name}' for name in ('str', 'int', 'float', 'bool', 'null', 'timestamp'))


def parse_value(text):
    """Read the value of a ``--force_yml`` entry; nothing is evaluated.

    Args:
        text (str): A number (``20``, ``1e-4``, ``!!float 1e-4``), true, false, ~ or none, text with or without quotes,
            or a list of these in brackets.

    Returns:
        int | float | bool | None | str | list: Its value.

    Raises:
        ValueError: Empty, no YAML, or a section in braces.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f'{text!r} is not a value: {getattr(error, "problem", error)}') from None
    if node is None:
        raise ValueError('the value is empty: write ~ for none')
    return _value(node, text)


def _value(node, text):
    if isinstance(node, yaml.SequenceNode) and node.tag.endswith(':seq'):
        return [_value(element, text) for element in node.value]
    if not isinstance(node, yaml.ScalarNode) or node.tag not in PLAIN_TAGS:
        raise ValueError(f'{text!r} is neither a number, text, true, false, ~ nor a list of these')
    if node.style is not None:
        return node.value
    if node.value.lower() in WORDS:
        return WORDS[node.value.lower()]
    if INTEGER.fullmatch(node.value) and not node.tag.endswith(':float'):
        return int(node.value)
    if FLOAT.fullmatch(node.value):
        return float(node.value)
    return node.value
