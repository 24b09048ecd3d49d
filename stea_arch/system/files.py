"""No file is ever half-written."""

import os
from contextlib import contextmanager
from pathlib import Path


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
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        yield partial
        with open(partial, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
