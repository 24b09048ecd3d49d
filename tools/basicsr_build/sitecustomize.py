"""On PYTHONPATH while pip builds basicsr 1.4.2: its ``setup.py`` looks in ``locals()`` for what ``exec`` has defined.

Since Python 3.13 (PEP 667) that is a ``KeyError: '__version__'``: ``exec`` without namespaces no longer writes to the
local names of its caller. Here it does, as before.
"""

import builtins
import sys

_exec = builtins.exec


def exec_in_caller(source, *namespaces, **options):
    caller = sys._getframe(1)
    _exec(source, *(namespaces or (caller.f_globals, caller.f_locals)), **options)


builtins.exec = exec_in_caller
