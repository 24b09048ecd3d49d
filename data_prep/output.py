"""Results appear under their final name only when they are complete, and an interrupted one can be taken up again.

A result NAME is written in ``.NAME.part`` beside it and renamed at the end. A killed process leaves that folder, which
nothing takes for the result; the next run with the same identity goes on in it.
"""

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from stea_arch.system.files import whole_or_nothing

IDENTITY = '.prepared.json'  # in a result: what it was made of and how


@contextmanager
def resumable(target, identity, replace=False, same=('settings', 'sources'), sources=()):
    """Give the folder to write into, with what an interrupted run left in it.

    On success it becomes ``target``; on an exception, or a kill, it stays for the next run.

    Args:
        target (str | Path): Folder to make.
        identity (dict): What it is made of and how; see :func:`identity_of`.
        replace (bool): Put the new folder in the place of an earlier result; between two renames the name is free.
        same (tuple[str]): Parts of the identity in which the interrupted run must agree; else what it left is removed.
        sources (Iterable[Path]): Files that it is made of, which no replaced folder may hold.

    Yields:
        Path: The folder to write into.

    Raises:
        FileExistsError: ``target`` exists and is not to be replaced, or is no earlier result of the same command.
        BlockingIOError: Another process is writing the same result.
    """
    target = _named(target)
    check_free = partial(_refuse_foreign, target, identity, sources) if replace else partial(refuse_existing, target)
    check_free()
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
        check_free()
        if target.exists():
            os.rename(target, old)
        os.rename(part, target)
        shutil.rmtree(old, ignore_errors=True)


def part_of(target):
    """Where a result is written until it is complete."""
    target = _named(target)
    return target.with_name(f'.{target.name}.part')


def _named(target):
    target = Path(target)
    return target.resolve() if target.name in ('', '..') else target  # the working directory or one above


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
    if os.path.lexists(target):
        raise FileExistsError(
            f'The result is to be written to {target}, a name that must be free, but something is '
            'there already and nothing is overwritten. Choose another name, or remove or rename '
            'what is there.'
        )


def _refuse_foreign(target, identity, sources):
    """Raise a FileExistsError if what is at ``target`` may be more than an earlier result of the same command."""
    if not os.path.lexists(target):
        return
    inside = os.path.join(os.path.realpath(target), '')
    if target.is_symlink():
        found = 'is a link'
    elif _command(_read(target)) != _command(identity):
        found = 'is none'
    elif held := next((path for path in sources if os.path.realpath(path).startswith(inside)), None):
        found = f'holds {held}, of which the result is to be made'
    else:
        return
    raise FileExistsError(
        f'Only an earlier result of the same command is replaced, but {target} {found}. Nothing was changed. Choose '
        'another name, or remove or rename what is there.'
    )


def _command(identity):
    settings = (identity or {}).get('settings')
    return settings and (settings.get('kind'), settings.get('protocol'))


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
