"""Large images -> overlapping tiles, so that reading a training crop does not decode a whole photograph."""

import os
import re
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from data_prep.multiscale import copies, copy_sizes
from data_prep.produce import produce, usable
from data_prep.record import FAST, Record, encode_png
from data_prep.space import check_space, expected_bytes
from stea_arch.data.image_io import decode, list_images, read_header, stem

SCALE = re.compile(r'(?<=\d)x[2348]$')  # as DIV2K and Flickr2K mark their low-quality images


@dataclass(frozen=True)
class Cut:
    """How images are cut.

    Attributes:
        size (int): Side of a tile in pixels.
        step (int): Distance between the starts of neighbouring tiles, at most ``size``.
        multiscale (bool): Cut smaller copies of each image too; see :mod:`data_prep.multiscale`.
        level (int): PNG compression level.

    Raises:
        ValueError: Impossible sizes.
    """

    size: int = 480
    step: int = 240
    multiscale: bool = False
    level: int = FAST

    def __post_init__(self):
        if not 1 <= self.step <= self.size:
            raise ValueError(
                f'The step between tiles must be between 1 and their size {self.size}, or pixels would be lost, '
                f'got {self.step}. Half of the size is usual.'
            )

    def tiles_of(self, height, width):
        """How many tiles an image of this size gives, with its copies."""
        sizes = [(height, width)]
        if self.multiscale:
            sizes += [size for _, size in copy_sizes(height, width, self.size)]
        return sum(
            len(tile_starts(rows, self.size, self.step)) * len(tile_starts(columns, self.size, self.step))
            for rows, columns in sizes
        )


def tile_starts(length, size, step):
    """Where the tiles start along one axis: every ``step`` pixels, and one that ends at the border.

    BasicSR's extract_subimages.py does the same where its ``thresh_size`` is 0, its value for ground truth of DF2K.
    """
    starts = list(range(0, length - size + 1, step))
    if starts[-1] + size < length:
        starts.append(length - size)
    return starts


def write_tiles(paths, target, cut, way):
    """Cut every image into square tiles, called ``NAME_s001.png``, ``NAME_s002.png``, ... row by row. Of the name of a
    low-quality image (``0001x4.png``) the scale is left out, so that tiles of pairs have the same names.

    The last tile of a row or column is moved back to end at the border, so every pixel is in some tile. Tiles of the
    copies are called ``NAMET0_s001.png`` and so on.

    Args:
        paths (dict[str, Path]): Name, with extension -> file of an RGB image.
        target (str): LMDB to make, if it ends in .lmdb, else folder.
        cut (Cut): How to cut.
        way (Way): How to work.

    Returns:
        Outcome: What came of it.

    Raises:
        FileExistsError: ``target`` exists and is something else.
        ValueError: Images that are smaller than a tile, broken or not RGB, or whose tiles would have the same names.
        OSError: Too little space.
    """
    paths, lost = usable(paths, way)
    shapes, unfit = _headers(paths, cut, way)
    _check_names(shapes, cut)
    paths = {name: path for name, path in paths.items() if name in shapes}
    size = expected_bytes(
        (path, height * width, cut.tiles_of(height, width), cut.size**2)
        for path, (height, width) in zip(paths.values(), shapes.values())
    )
    check_space(target, size, way.progress)
    return produce(paths, partial(_cut, cut), target, way, size, [*lost, *unfit], kind='tiles', **asdict(cut))


def folder_paths(folder):
    """The images of a folder as a dictionary of names and files; errors of :func:`list_images`."""
    return {name: Path(folder, name) for name in list_images(folder)}


def _headers(paths, cut, way):
    """Sizes by name, and what is wrong with the others; a ValueError if something is and nothing may be skipped."""
    shapes, small, unreadable = {}, [], []
    for name, path in paths.items():
        try:
            height, width = read_header(path)[:2]
        except ValueError as error:
            unreadable.append(f'{name}: {error}')
            continue
        if min(height, width) < cut.size:
            small.append(f'{name} ({height}x{width})')
        else:
            shapes[name] = height, width
    if (small or unreadable) and not (way.skip_broken and shapes):
        where = os.path.commonpath([os.path.dirname(path) or '.' for path in paths.values()])
        problems = []
        if small:
            shown = ', '.join(small[:5]) + (', ...' if len(small) > 5 else '')
            problems.append(f'{len(small)} of {len(paths)} are smaller: {shown}')
        found = ' | '.join([*problems, *unreadable[:20]]).removesuffix('.')
        raise ValueError(
            f'Images of at least {cut.size}x{cut.size} pixels were expected (the tiles have {cut.size} pixels), but in '
            f'{where} {found}. Leave them out by --skip-broken, or ask for smaller tiles by --size.'
        )
    return shapes, [f'{what}: smaller than a tile' for what in small] + unreadable


def _check_names(shapes, cut):
    """Raise a ValueError that names two images whose tiles would overwrite each other; ``shapes`` is (h, w) by name."""
    owners = {}
    for name, (height, width) in shapes.items():
        for suffix in ('', *(suffix for suffix, _ in copy_sizes(height, width, cut.size) if cut.multiscale)):
            other = owners.setdefault(f'{_own(name)}{suffix}', name)
            if other != name:
                raise ValueError(
                    f'Tiles of different images need different names, but those of {other} and {name} would both be '
                    f'called {_own(name)}{suffix}_s001.png and so on. Rename one, or cut them into two results.'
                )


def _own(name):
    return SCALE.sub('', stem(name))


def _cut(cut, name, path):
    img = decode(Path(path).read_bytes(), str(path), allow_gray=False)
    records = []
    for suffix, whole in [('', img), *(copies(img, cut.size) if cut.multiscale else ())]:
        corners = [
            (top, left)
            for top in tile_starts(whole.shape[0], cut.size, cut.step)
            for left in tile_starts(whole.shape[1], cut.size, cut.step)
        ]
        for number, (top, left) in enumerate(corners, 1):
            tile = whole[top : top + cut.size, left : left + cut.size]
            records.append(
                Record(f'{_own(name)}{suffix}_s{number:03d}.png', tile.shape, cut.level, encode_png(tile, cut.level))
            )
    return records
