"""Results appear under their final name only when they are complete."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def complete_or_absent(target):
    """Give a new folder to write into; on success it becomes ``target``, on an exception it is removed.

    It lies beside ``target`` and its name starts with ``.<name>.part-``: what a killed process leaves behind is never
    taken for the result.

    Args:
        target (str | Path): Folder that must not exist.

    Yields:
        Path: The folder to write into.

    Raises:
        FileExistsError: ``target`` exists; nothing is ever overwritten.
    """
    target = Path(target)
    refuse_existing(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f'.{target.name}.part-', dir=target.parent))
    try:
        yield part
        part.chmod(0o777 & ~_umask())  # mkdtemp makes private folders
        refuse_existing(target)
        os.rename(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def refuse_existing(target):
    """Raise a FileExistsError if there is anything at ``target``."""
    if Path(target).exists():
        raise FileExistsError(
            f'The result is to be written to {target}, a name that must be free, but something is '
            'there already and nothing is overwritten. Choose another name, or remove or rename '
            'what is there.'
        )


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
