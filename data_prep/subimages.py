"""Large images -> overlapping tiles, so that reading a training crop does not decode a whole photograph."""

from functools import partial
from pathlib import Path

import cv2

from data_prep.output import complete_or_absent
from data_prep.parallel import in_threads
from stea_arch.data.image_io import stem
from stea_arch.data.image_source import ImageSource


def write_subimages(folder, target, size=480, step=240, workers=2, progress=True):
    """Cut every image of a folder into square tiles, saved as ``NAME_s001.png``, ``NAME_s002.png``, ... row by row.

    The last tile of a row or column is moved back to end at the border, so every pixel is in some tile.

    Args:
        folder (str): Folder of RGB images; sub-folders are not searched.
        target (str): Folder to make; it exists only when it is complete.
        size (int): Side of a tile in pixels.
        step (int): Distance between the starts of neighbouring tiles, at most ``size``.
        workers (int): Threads.
        progress (bool): Show a progress bar.

    Returns:
        int: The number of tiles.

    Raises:
        FileExistsError: ``target`` exists.
        FileNotFoundError: ``folder`` does not.
        ValueError: Impossible sizes, or an image that is smaller than a tile, broken or not RGB.
    """
    if not 1 <= step <= size:
        raise ValueError(
            f'The step between tiles must be between 1 and their size {size}, or pixels would be lost, '
            f'but {step} came. Half of the size is usual.'
        )
    source = ImageSource(folder, 'disk')
    source.check(size, f'the tiles have {size} pixels')
    with complete_or_absent(target) as part:
        return sum(in_threads(partial(_cut, source, part, size, step), source.names, workers, progress))


def tile_starts(length, size, step):
    """Where the tiles start along one axis: every ``step`` pixels, and one that ends at the border."""
    starts = list(range(0, length - size + 1, step))
    if starts[-1] + size < length:
        starts.append(length - size)
    return starts


def _cut(source, part, size, step, name):
    img = cv2.cvtColor(source.read(name), cv2.COLOR_RGB2BGR)
    corners = [
        (top, left) for top in tile_starts(img.shape[0], size, step) for left in tile_starts(img.shape[1], size, step)
    ]
    for number, (top, left) in enumerate(corners, 1):
        path = Path(part) / f'{stem(name)}_s{number:03d}.png'
        if not cv2.imwrite(str(path), img[top : top + size, left : left + size]):
            raise OSError(
                f'A tile should have been written to {path}, but OpenCV could not. Check the free space and '
                'the permissions of the folder.'
            )
    return len(corners)
