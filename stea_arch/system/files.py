"""No file is ever half-written."""

import functools
import hashlib
import os
import platform
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def whole_or_nothing(path):
    """A neighbouring name to write to; what is there afterwards takes the name ``path`` in one step.

    Its bytes are flushed to the disk before, so ``path`` never holds a part of them. On an exception they are removed.

    Args:
        path (str | Path): Target; replaced if it exists.

    Yields:
        Path: The name to write to; no reader looks for it.
    """
    path = Path(path)
    remove_partials(path.parent)
    partial = path.with_name(f'.{_short(path.name)}.{_short(platform.node())}.{os.getpid()}.partial')
    try:
        yield partial
        with open(partial, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@functools.cache
def remove_partials(folder):
    """Remove what processes of this machine that are dead left unfinished in a folder; once a process and folder."""
    for file in Path(folder).glob(f'.*.{_short(platform.node())}.*.partial'):
        process = file.name.split('.')[-2]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            file.unlink(missing_ok=True)


def _short(name):
    """16 letters for any name, so that the name of the partial file is never too long."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
