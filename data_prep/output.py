"""Results appear under their final name only when they are complete, and an interrupted one can be taken up again.

A result NAME is written in ``.NAME.part`` beside it and renamed at the end. A killed process leaves that folder, which
nothing takes for the result; the next run with the same identity goes on in it.
"""

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stea_arch.system.files import whole_or_nothing

IDENTITY = '.prepared.json'  # in a result: what it was made of and how


@contextmanager
def resumable(target, identity, replace=False, same=('settings', 'sources')):
    """Give the folder to write into, with what an interrupted run left in it.

    On success it becomes ``target``; on an exception, or a kill, it stays for the next run.

    Args:
        target (str | Path): Folder to make.
        identity (dict): What it is made of and how; see :func:`identity_of`.
        replace (bool): Put the new folder in the place of an old one; between two renames the name is free.
        same (tuple[str]): Parts of the identity in which the interrupted run must agree; else what it left is removed.

    Yields:
        Path: The folder to write into.

    Raises:
        FileExistsError: ``target`` exists and is not to be replaced.
        BlockingIOError: Another process is writing the same result.
    """
    target = Path(target)
    if not replace:
        refuse_existing(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    with _locked(part):
        if part.exists() and any((_read(part) or {}).get(key) != identity[key] for key in same):
            shutil.rmtree(part)
        part.mkdir(exist_ok=True)
        _write(part, identity)
        yield part
        old = target.with_name(f'.{target.name}.old')
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            if not replace:
                refuse_existing(target)
            os.rename(target, old)
        os.rename(part, target)
        shutil.rmtree(old, ignore_errors=True)


def part_of(target):
    """Where a result is written until it is complete."""
    target = Path(target)
    if target.name in ('', '..'):  # the working directory or one above, when a check looks for what was left there
        target = target.resolve()
    return target.with_name(f'.{target.name}.part')


def is_complete(target, identity):
    """Whether ``target`` is there and was made of the same images in the same way."""
    return Path(target).is_dir() and _read(Path(target)) == identity


def stamp_of(path):
    """Size and time of change of a file: [bytes, nanoseconds]."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def identity_of(stamps, **settings):
    """What a result is made of: settings, and name, size and time of change of every source.

    Args:
        stamps (dict[str, list[int]]): Source name -> :func:`stamp_of` the file.
        settings: Everything else that decides what comes out; JSON values.

    Returns:
        dict: ``settings`` and ``sources`` (number and hash); of one size for any number of sources.
    """
    digest = hashlib.sha256()
    for name, (size, time) in stamps.items():
        digest.update(f'{name}\0{size}\0{time}\n'.encode())
    return {'settings': settings, 'sources': f'{len(stamps)}: {digest.hexdigest()}'}


def refuse_existing(target):
    """Raise a FileExistsError if there is anything at ``target``."""
    if Path(target).exists():
        raise FileExistsError(
            f'The result is to be written to {target}, a name that must be free, but something is '
            'there already and nothing is overwritten. Choose another name, or remove or rename '
            'what is there.'
        )


def write_whole(path, lines):
    """Write a text file that is complete or absent, also after a kill; returns the number of lines it got."""
    count = 0
    with whole_or_nothing(path) as new, open(new, 'w', encoding='utf-8') as file:
        for line in lines:
            file.write(line)
            count += 1
    return count


def _read(folder):
    try:
        return json.loads((folder / IDENTITY).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None


def _write(folder, identity):
    write_whole(folder / IDENTITY, [json.dumps(identity, indent=2), '\n'])


@contextmanager
def _locked(part):
    """Hold the folder alone; the lock goes with the process, however it ends."""
    lock = Path(f'{part}.lock')
    try:
        with FileLock(lock, timeout=0):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise BlockingIOError(
            f'Only one process can write a result, but another one is at work in {part}. Wait until it is done, '
            'or stop it first.'
        ) from None
