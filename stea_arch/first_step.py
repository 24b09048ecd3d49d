"""A training that ends before its first step leaves the disk as it was."""

import glob
import logging
import sys
from contextlib import suppress
from pathlib import Path

_made = []  # (folder, its inode, the older one of its name under its new one, parents that were not there)


def noting(make):
    """Wrap what makes a run's folders in BasicSR, ``make_exp_dirs(opt)`` or ``mkdir_and_rename(path)``, to note it."""

    def noted(what):
        if isinstance(what, dict) and what['rank'] != 0:
            return
        folder = Path(what['path']['experiments_root'] if isinstance(what, dict) else what)
        parents = [parent for parent in folder.parents if not parent.exists()]
        before = _archived(folder)
        try:
            make(what)
        finally:
            _made.append((folder, _inode(folder), _archived(folder) - before, parents))

    return noted


def is_made():
    """Note that there is a step: from now on the run's folders hold what may be wanted."""
    _made.clear()


def undo_start(option_file):
    """Take back what was made, unless there was a step: folders, log and TensorBoard's file. An older run gets back its
    name. A folder in which there is anything else stays, and is named.

    Args:
        option_file (str): Of the run, which BasicSR copies into its folder.
    """
    for handler in logging.getLogger('basicsr').handlers if _made else ():
        handler.close()
    while _made:
        folder, inode, archived, parents = _made.pop()
        if _inode(folder) != inode:  # another process has put its own in this place
            continue
        try:
            if inode:
                _remove(folder, ('*.log', Path(option_file).name, 'events.out.tfevents.*'))
            for old in archived:
                old.rename(folder)
        except OSError as error:
            print(f'{folder} stays, though no step was made ({error.strerror}: {error.filename}).', file=sys.stderr)
        with suppress(OSError):
            for parent in parents:
                parent.rmdir()


def _archived(folder):
    return set(folder.parent.glob(f'{glob.escape(folder.name)}_archived_*'))


def _inode(folder):
    return folder.stat().st_ino if folder.is_dir() else None


def _remove(folder, own):
    """Remove empty folders, then a start's own files where there are no others, then what is empty."""
    for path in folder.iterdir():
        if path.is_dir():
            path.rmdir()
    if all(any(map(path.match, own)) for path in folder.iterdir()):
        for path in folder.iterdir():
            path.unlink()
    folder.rmdir()
