"""Folders of images -> one LMDB in BasicSR's layout (see :mod:`data_prep.sinks`).

BasicSR's own readers cut a name at its first dot and know ASCII only, ours cut at the last dot and know all letters: an
image ``a.b.png`` or ``über.png`` is found by ours alone.
"""

import os
from pathlib import Path

from data_prep.produce import Way, produce
from data_prep.record import file_record
from data_prep.space import RECORD_BYTES, check_space
from stea_arch.data.image_io import list_images, stem

LONGEST_KEY = 511  # bytes, LMDB's limit


def write_lmdb(folders, target, allow_gray=False, **way):
    """Make an LMDB of all images of some folders and their sub-folders.

    Args:
        folders (list[str]): Folders of images. An image ``sub/a.png`` gets the key ``sub/a``.
        target (str): Folder to make; BasicSR wants its name to end in .lmdb. It exists only when it is complete.
        allow_gray (bool): Accept images of one channel, as evaluation does.
        way: How to work: fields of :class:`data_prep.produce.Way`.

    Returns:
        Outcome: What came of it.

    Raises:
        FileExistsError: ``target`` exists and is something else.
        FileNotFoundError: A folder does not.
        ValueError: No ``.lmdb`` at the end, two images of one name, broken or unsuitable images.
    """
    way = Way(**way)
    if not str(target).endswith('.lmdb'):
        raise ValueError(
            f'The name of an LMDB must end in .lmdb, because BasicSR asks for it, got {target}. Write {target}.lmdb.'
        )
    paths = _paths_by_name(folders)
    needed = sum(path.stat().st_size + RECORD_BYTES for path in paths.values() if path.exists())
    check_space(target, needed, way.progress)

    def make(name, path):
        return [file_record(path, name, allow_gray)]

    return produce(paths, make, target, way, needed, kind='files', allow_gray=allow_gray)


def unknown_to_basicsr(names):
    """Those of some image names whose keys BasicSR's own readers would not find."""
    return [name for name in names if '.' in stem(name) or not name.isascii()]


def _paths_by_name(folders):
    paths, keys = {}, {}
    for folder in folders:
        for name in list_images(folder, sub_folders=True):
            path, key = Path(folder, name), stem(name)
            if key in keys:
                raise ValueError(
                    f'The images of one LMDB need different names, but {keys[key]} and {path} are both '
                    f'called {key}. Rename one, or make two LMDBs.'
                )
            if len(os.fsencode(key)) > LONGEST_KEY:
                raise ValueError(
                    f'The name of an image in an LMDB can have {LONGEST_KEY} bytes, but that of {path} has '
                    f'{len(os.fsencode(key))}. Shorten it.'
                )
            keys[key] = paths[name] = path
    return paths
