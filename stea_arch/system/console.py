"""What the commands print."""

import sys
import warnings
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def set_up_console():
    """Print what the console's encoding lacks as an escape (a name in another script must not stop a program), and
    warnings of ours as a line, without the place in the code; end on Ctrl-C without a traceback, with status 130."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):  # not where a notebook or a test has put something else in its place
            stream.reconfigure(errors='backslashreplace')
    warnings.formatwarning = _format_warning
    sys.excepthook = _report


def _format_warning(message, category, filename, lineno, line=None, usual=warnings.formatwarning):
    ours = Path(filename).is_relative_to(PACKAGE) and category is UserWarning
    return f'Warning: {message}\n' if ours else usual(message, category, filename, lineno, line)


def _report(kind, error, trace):
    if issubclass(kind, KeyboardInterrupt):
        raise SystemExit(130)
    sys.__excepthook__(kind, error, trace)
