"""DIV2K and Flickr2K, from the official archives unpacked as they come -> tiles in one LMDB and a list of them."""

import re
from dataclasses import dataclass
from pathlib import Path

from data_prep.output import write_whole
from data_prep.tiles import write_tiles


@dataclass(frozen=True)
class Archive:
    """What an archive holds once it is unpacked.

    Attributes:
        title (str): What it is called.
        folder (str): Folder of the images; it may be given itself, or a folder that it lies in.
        digits (int): Images are called 0...01.png and so on, with this many digits.
        count (int): How many there are.
    """

    title: str
    folder: str
    digits: int
    count: int


DIV2K = Archive('DIV2K', 'DIV2K_train_HR', 4, 800)
FLICKR2K = Archive('Flickr2K', 'Flickr2K_HR', 6, 2650)


def archive_paths(archive, given, partial=False):
    """The images of an archive.

    Args:
        archive (Archive): Which.
        given (str): Folder that was named.
        partial (bool): Accept fewer images than there are officially.

    Returns:
        dict[str, Path]: Name -> file, by number.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: Other files than the official ones, or some missing.
    """
    folder = next((path for path in (Path(given, archive.folder), Path(given)) if path.is_dir()), None)
    pattern = re.compile(rf'\d{{{archive.digits}}}\.png')
    example = f'{1:0{archive.digits}d}.png'
    if folder is None:
        raise FileNotFoundError(
            f"{archive.title}'s folder {archive.folder} with the images {example} and so on was expected at {given}, "
            'but there is none. Unpack the official archive there, or correct the path.'
        )
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith('.'))
    foreign = [name for name in names if not pattern.fullmatch(name)]
    if foreign:
        raise ValueError(
            f"{archive.title}'s folder should hold images called {example} and so on and nothing else, but {folder} "
            f'also has {", ".join(foreign[:5])}{", ..." if len(foreign) > 5 else ""}. Name the folder of the '
            'high-resolution images as the official archive unpacks it.'
        )
    official = [f'{number:0{archive.digits}d}.png' for number in range(1, archive.count + 1)]
    missing = sorted(set(official) - set(names))
    if missing and (not names or not partial):
        shown = f'{", ".join(missing[:5])}{", ..." if len(missing) > 5 else ""}'
        raise ValueError(
            f'{archive.title} has {archive.count} images, but {folder} lacks {len(missing)} of them: {shown}. Unpack '
            'the archive again, or go on with what is there by --partial.'
        )
    return {name: folder / name for name in names}


def write_df2k(div2k, flickr2k, out, cut, way, partial=False, as_folder=False):
    """Both archives -> ``out/DF2K_sub.lmdb`` and the list ``out/meta_info_DF2K_sub.txt``.

    With multi-scale copies the name is ``DF2K_multiscale_sub``; the names of the two sets' images never meet, as one
    has four digits and the other six.

    Args:
        div2k (str), flickr2k (str): Unpacked archives.
        out (str): Folder to write into.
        cut (data_prep.tiles.Cut): How to cut.
        way (data_prep.produce.Way): How to work.
        partial (bool): Accept fewer images than there are officially.
        as_folder (bool): A folder of PNG files instead of an LMDB.

    Returns:
        Outcome: What came of it.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: As :func:`archive_paths` and :func:`write_tiles`.
    """
    paths = {**archive_paths(DIV2K, div2k, partial), **archive_paths(FLICKR2K, flickr2k, partial)}
    name = 'DF2K_multiscale_sub' if cut.multiscale else 'DF2K_sub'
    target = Path(out, name if as_folder else f'{name}.lmdb')
    outcome = write_tiles(paths, str(target), cut, way)
    _write_list(target, Path(out, f'meta_info_{name}.txt'), cut.size)
    return outcome


def _write_list(target, file, size):
    """``name.png (h,w,c)`` a line, as BasicSR's lists of sub-images."""
    if target.suffix == '.lmdb':
        with open(target / 'meta_info.txt', encoding='utf-8') as meta_info:
            write_whole(file, (line.rpartition(' ')[0] + '\n' for line in meta_info))
    else:
        names = sorted(path.name for path in target.glob('*.png'))
        write_whole(file, (f'{name} ({size},{size},3)\n' for name in names))
