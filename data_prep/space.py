"""How much a result will take, and whether the disk has it."""

import os
import shutil
from pathlib import Path

from data_prep.output import part_of

LOSSY_BYTES = 1.8  # a pixel of a photograph as PNG; 1.3 on average and 2.1 at most in 430 measured ones
PNG_GROWTH = 1.15  # fast PNG over the official archives' own
RECORD_BYTES = 4096  # the last page of a record is half empty, and its lines in the lists


def expected_bytes(images):
    """Estimate a result of PNGs cut from images.

    Args:
        images (Iterable[tuple]): For each the path, its pixels, and number and pixels of the pieces.

    Returns:
        int: Bytes. A PNG shows by its own size how well it compresses; others are taken as photographs.
    """
    total = 0
    for path, pixels, pieces, piece_pixels in images:
        lossless = str(path).lower().endswith('.png')
        density = min(os.path.getsize(path) / pixels * PNG_GROWTH, 3.1) if lossless else LOSSY_BYTES
        total += pieces * (piece_pixels * density + RECORD_BYTES)
    return int(total)


def check_space(target, needed, say=True):
    """Say what will be written and what is free.

    Args:
        target (str): What will be made.
        needed (int): Bytes, counted from nothing; what an interrupted run has written is taken off.
        say (bool): Print it.

    Raises:
        OSError: Less is free than needed.
    """
    folder = Path(target).absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    part = part_of(target)
    written = sum(file.stat().st_size for file in part.rglob('*') if file.is_file()) if part.exists() else 0
    missing = max(0, needed - written)
    if say:
        print(f'{target} will take about {_size(needed)}; {_size(free)} are free in {folder}.')
    if missing > free:
        raise OSError(
            f'{target} will take about {_size(needed)}, of which {_size(missing)} are yet to be written, but only '
            f'{_size(free)} are free in {folder}. Free some space, or choose another disk by --out.'
        )


def _size(count):
    for unit, factor in (('GB', 1e9), ('MB', 1e6)):
        if count >= factor:
            return f'{count / factor:.1f} {unit}'
    return f'{count / 1e3:.0f} kB'
