"""How problems are collected, worded and raised."""

import difflib
import warnings


class OptionError(ValueError):
    """One or more problems in an option file.

    Args:
        problems (list[tuple[str, str]]): Path of the key (``datasets.train.gt_size``, may be empty) and what is wrong.
        origins (dict[str, str]): Where the value at a path came from, e.g. ``{'train.amp': 'line 40'}``.

    Attributes:
        problems (list[tuple[str, str]]): As given.
        lines (list[str]): Each in a line, with path and origin.
    """

    def __init__(self, problems, origins=None):
        self.problems, origins = list(problems), origins or {}
        self.lines = []
        for path, text in self.problems:
            origin = f' [{origins[path]}]' if path in origins else ''
            self.lines.append(f'{path}: {text}{origin}' if path else f'{text}{origin}')
        count = f'{len(self.lines)} problem{"s" if len(self.lines) > 1 else ""}'
        super().__init__('\n  '.join([f'{count} in the options:', *self.lines]))


class Problems:
    """Collects problems while the checks go on.

    Args:
        loose (bool): Only warn of keys that nothing reads.
    """

    def __init__(self, loose=False):
        self.found, self.loose = [], loose

    def add(self, path, text):
        """Note a problem once.

        Args:
            path (str): Full path of the key, joined by dots; empty for the file as a whole.
            text (str): What was expected, what was got, what to do.
        """
        if (path, text) not in self.found:
            self.found.append((path, text))

    def add_unread(self, path, text):
        """Note a key that nothing reads."""
        if self.loose:
            warnings.warn(f'{path}: {text}', stacklevel=2)
        else:
            self.add(path, text)

    def raise_if_any(self):
        """Raise ``OptionError`` with everything that was noted."""
        if self.found:
            raise OptionError(self.found)


def join(*parts):
    """Join the parts of a path by dots, leaving out empty ones."""
    return '.'.join(str(part) for part in parts if part != '')


def did_you_mean(name, known):
    """``" (did you mean 'gt_size'?)"`` for the nearest known name, or nothing where none is near."""
    names = {str(k).lower(): str(k) for k in known}
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.6)
    return f" (did you mean '{names[near[0]]}'?)" if near else ''


def listed(names):
    """``a, b, c`` of sorted names, or ``none``."""
    return ', '.join(sorted(str(name) for name in names)) or 'none'


def part(opt, *names):
    """A nested section, or an empty dict where it is absent or not a section."""
    for name in names:
        opt = opt.get(name)
        if not isinstance(opt, dict):
            return {}
    return opt
