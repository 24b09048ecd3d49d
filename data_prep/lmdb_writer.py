"""Folders of images -> one LMDB in BasicSR's layout, holding the files' own bytes: nothing is encoded again.

    NAME.lmdb/data.mdb, lock.mdb    key: the file name without extension; value: the encoded file
    NAME.lmdb/meta_info.txt         a line ``name.png (h,w,c) 1`` for each image

BasicSR's own readers cut a name at its first dot, ours at its last: an image ``a.b.png`` is found by ours alone.
"""

import os
from functools import partial
from pathlib import Path

import lmdb

from data_prep.output import complete_or_absent
from data_prep.parallel import in_threads
from stea_arch.data.image_io import decode, list_images, read_header, stem
from stea_arch.data.meta_info import meta_info_line

COMMIT_EVERY = 64  # images
PAGE = 4096


def write_lmdb(folders, target, allow_gray=False, workers=2, progress=True):
    """Make an LMDB of all images of some folders.

    Args:
        folders (list[str]): Folders of images; sub-folders are not searched.
        target (str): Folder to make; BasicSR wants its name to end in .lmdb. It must not exist, and does so only when
            it is complete.
        allow_gray (bool): Accept images of one channel, as evaluation does.
        workers (int): Threads that decode, to check every image.
        progress (bool): Show a progress bar.

    Returns:
        int: The number of images.

    Raises:
        FileExistsError: ``target`` exists.
        FileNotFoundError: A folder does not.
        ValueError: No ``.lmdb`` at the end, two images of one name, a broken or unsuitable image.
    """
    if not str(target).endswith('.lmdb'):
        raise ValueError(
            f'The name of an LMDB must end in .lmdb, because BasicSR asks for it, but {target} came. '
            f'Write {target}.lmdb.'
        )
    paths = _paths_by_key(folders)
    shapes = in_threads(partial(_checked_shape, allow_gray), paths.values(), workers, progress)
    with complete_or_absent(target) as part:
        needed = sum(os.path.getsize(path) + 2 * PAGE for path in paths.values())
        with (
            lmdb.open(str(part), map_size=_map_size(needed)) as env,
            open(part / 'meta_info.txt', 'w', encoding='utf-8') as meta_info,
        ):
            _write_images(env, meta_info, paths, shapes)
            env.sync(True)
    return len(paths)


def _paths_by_key(folders):
    paths = {}
    for folder in folders:
        for name in list_images(folder):
            path, key = Path(folder) / name, stem(name)
            if key in paths:
                raise ValueError(
                    f'The images of one LMDB need different names, but {paths[key]} and {path} are both '
                    f'called {key}. Rename one, or make two LMDBs.'
                )
            paths[key] = path
    return paths


def _checked_shape(allow_gray, path):
    height, width = decode(path.read_bytes(), str(path), allow_gray).shape[:2]
    return height, width, read_header(path)[2]


def _write_images(env, meta_info, paths, shapes):
    pending = []
    for shape, (key, path) in zip(shapes, paths.items()):
        meta_info.write(meta_info_line(path.name, shape))
        pending.append((key.encode(), path.read_bytes()))
        if len(pending) == COMMIT_EVERY:
            _commit(env, pending)
            pending = []
    _commit(env, pending)


def _commit(env, images):
    """Write some images, enlarging the map as often as they do not fit."""
    while True:
        try:
            with env.begin(write=True) as txn:
                for key, data in images:
                    txn.put(key, data, overwrite=False)
            return
        except lmdb.MapFullError:
            env.set_mapsize(env.info()['map_size'] * 2)


def _map_size(needed):
    """``needed`` with a margin, in whole pages."""
    return -(-needed * 5 // 4 // PAGE) * PAGE + 64 * PAGE
