"""Read-only access to an LMDB of encoded images: many datasets, threads and processes on one file.

LMDB must not be opened twice in one process (py-lmdb refuses it since 2.0), and a forked worker that inherits an open
environment counts as having it open. So each process has one environment per real path, shared by everything in it,
opened on first use; one that came through a fork is closed before it is opened again. With ``lock=False`` closing
touches nothing that the parent relies on.
"""

import os
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

import lmdb

from stea_arch.data.meta_info import read_meta_info
from stea_arch.system.errors import InputError

HEAD, MAGIC = struct.Struct('=16xI20xI92xQQ'), 0xBEEFC0DE

_environments = {}  # real path -> (process id, environment)
_opening = threading.Lock()


def _renew_lock():
    """A thread of the parent may have held the lock at the moment of the fork; here nobody would release it."""
    global _opening
    _opening = threading.Lock()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_renew_lock)


def environment(path):
    """The process's environment of an LMDB folder.

    Args:
        path (str): Folder with ``data.mdb``.

    Raises:
        FileNotFoundError: No such folder, or none with ``data.mdb``.
        ValueError: ``data.mdb`` is not an LMDB.
    """
    path = os.path.realpath(path)
    with _opening:
        pid, env = _environments.get(path, (None, None))
        if pid == os.getpid():
            return env
        if env is not None:
            env.close()
        env = _open(path)
        _environments[path] = os.getpid(), env
        return env


def _open(path):
    data = Path(path) / 'data.mdb'
    if not data.is_file():
        found = 'a folder without data.mdb' if Path(path).is_dir() else 'nothing of the kind'
        raise FileNotFoundError(
            f'An LMDB is a folder with a file data.mdb in it, but at {path} there is {found}. '
            'Check the path (relative ones start where the command is run), make one from a folder of images by '
            'stea-data lmdb, or name the folder (with io_backend: {type: disk} in the options of a training or test).'
        )
    try:
        check_length(data)
        return lmdb.open(path, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise InputError(
            f'{path} was expected to be an LMDB, but it could not be opened: {error}. If the file is '
            'damaged or was not copied completely, make it again by stea-data lmdb; if other code in '
            'this process has it open, close it there first.'
        ) from error


def check_length(data):
    """Refuse a ``data.mdb`` that was cut short: reading what is not there would end the process by SIGBUS.

    Args:
        data (Path): The file. One whose head is not LMDB's is left to lmdb to refuse.

    Raises:
        ValueError: It has fewer pages than its head says.
    """
    present, needed = os.path.getsize(data), needed_length(data)
    if present < needed:
        raise InputError(
            f'{data} was cut short: {needed:,d} bytes were expected, as its head says, got {present:,d}. Copy it '
            'again, or make it again by stea-data lmdb.'
        )


def needed_length(data):
    """The bytes that a ``data.mdb`` has by its head; 0 where that is not LMDB's."""
    with open(data, 'rb') as file:
        pages = [_head(file, 0)]
        if pages[0]:
            pages.append(_head(file, pages[0][1]))
    if not all(pages):
        return 0
    _, page_size, last_page = max(pages)
    return (last_page + 1) * page_size


def _head(file, offset):
    """Transaction, page size and last page of one of the two heads (``MDB_meta`` of lmdb.h); None where it is none."""
    file.seek(offset)
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    magic, page_size, last_page, transaction = HEAD.unpack(head)
    return (transaction, page_size, last_page) if magic == MAGIC else None


@contextmanager
def reading(path):
    """A transaction of the process's environment of an LMDB folder.

    Raises:
        FileNotFoundError, ValueError: See :func:`environment`; or what is read is damaged.
    """
    try:
        with environment(path).begin() as txn:
            yield txn
    except lmdb.Error as error:
        raise InputError(
            f'The LMDB {path} is damaged: {error}. Copy it again, or make it again by stea-data lmdb.'
        ) from error


class LmdbStore:
    """The images of one LMDB by name. Holds no handle: it can be pickled, forked and used from threads.

    The layout is BasicSR's: ``data.mdb`` and, usually, ``meta_info.txt`` with a line ``name.png (h,w,c) level`` for
    each image. The key of an image is its name without extension, ``a.b`` for ``a.b.png``; where that is not there,
    the name up to its first dot (a BasicSR reader looks for it) or the whole name. Without ``meta_info.txt`` the
    database's own keys are the names.

    Args:
        path (str): The folder.
        allow_missing (bool): Leave out names without an image instead of refusing the LMDB.

    Attributes:
        names (list[str]): In the order of ``meta_info.txt``, else sorted.
        shapes (dict[str, tuple[int]]): (h, w, c) of the names whose line has it.

    Raises:
        FileNotFoundError, ValueError: Not an LMDB, an empty one, or a name without an image or with another's.
    """

    def __init__(self, path, allow_missing=False):
        self.path = str(path)
        meta_info = Path(self.path) / 'meta_info.txt'
        with reading(self.path) as txn:
            if txn.stat()['entries'] == 0:
                raise InputError(
                    f'The LMDB {self.path} is empty: at least one image was expected, but it has no keys. '
                    'Make it again by stea-data lmdb from a folder that contains images.'
                )
            if meta_info.is_file():
                self.shapes = read_meta_info(meta_info)
                self._keys = self._find_keys(txn, self.shapes, allow_missing)
                self.shapes = {name: shape for name, shape in self.shapes.items() if shape}
            else:
                self.shapes = {}
                self._keys = {bytes(key).decode(): bytes(key) for key in txn.cursor().iternext(values=False)}
        self.names = list(self._keys)

    def _find_keys(self, txn, names, allow_missing):
        cursor, keys, missing, owners = txn.cursor(), {}, [], {}
        for name in names:
            found = [key for key in _candidates(name) if cursor.set_key(key)]
            if not found:
                missing.append(name)
                continue
            keys[name] = found[0]
            other = owners.setdefault(found[0], name)
            if other != name:
                raise InputError(
                    f'Every name in {self.path}/meta_info.txt should have an image of its own, but '
                    f'{other} and {name} share the key {found[0].decode()}: one has overwritten the '
                    'other when the LMDB was made. Make it again by stea-data lmdb.'
                )
        if missing and not allow_missing:
            raise InputError(
                f'Every name in {self.path}/meta_info.txt should have an image in the database, but '
                f'{len(missing)} of {len(names)} have none: {", ".join(missing[:5])}'
                f'{", ..." if len(missing) > 5 else ""}. Make the LMDB again by stea-data lmdb, or '
                'remove these lines.'
            )
        return keys

    def __len__(self):
        return len(self.names)

    def resolve(self, name):
        """The name under which the store knows an image: ``name`` itself or ``name`` without its extension.

        Raises:
            KeyError: It knows neither.
        """
        for candidate in (name, os.path.splitext(name)[0]):
            if candidate in self._keys:
                return candidate
        raise KeyError(name)

    def key(self, name):
        """The database key of a name, as text."""
        return self._keys[name].decode()

    def read(self, name):
        """The encoded bytes of an image.

        Raises:
            KeyError: Not one of :attr:`names`.
            ValueError: The database is damaged, or the image has gone from the database since it was listed.
        """
        with reading(self.path) as txn:
            data = txn.get(self._keys[name])
        if data is None:
            raise InputError(
                f'The LMDB {self.path} held an image {name} when it was listed, but has none now: the '
                'file was replaced while in use. Start again, with an LMDB that nobody writes to.'
            )
        return data


class SharedLmdb:
    """An LMDB, or several by their client keys, for BasicSR's ``FileClient``.

    Args:
        db_paths (str | list[str]): Folders.
        client_keys (str | list[str]): What each of them is called.
        unused (object): How BasicSR would open them.
    """

    def __init__(self, db_paths, client_keys='default', **unused):
        paths, keys = ([value] if isinstance(value, str) else value for value in (db_paths, client_keys))
        self.paths = dict(zip(keys, paths, strict=True))

    def get(self, filepath, client_key):
        """The encoded bytes of an image.

        Raises:
            ValueError: There is no such key, or the database is damaged.
        """
        with reading(self.paths[client_key]) as txn:
            data = txn.get(str(filepath).encode())
        if data is None:
            raise InputError(f'The LMDB {self.paths[client_key]} has no image {filepath}, which its list names.')
        return data


def _candidates(name):
    """The keys under which writers may have put ``a.b.png``: ``a.b``, ``a`` and ``a.b.png``, each once."""
    return list(dict.fromkeys(key.encode() for key in (os.path.splitext(name)[0], name.split('.')[0], name) if key))
