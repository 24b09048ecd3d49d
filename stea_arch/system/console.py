"""Consoles of few letters."""

import sys


def print_any_name():
    """Print what the console's encoding lacks as an escape: a name in another script must not stop a program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):  # not where a notebook or a test has put something else in its place
            stream.reconfigure(errors='backslashreplace')
