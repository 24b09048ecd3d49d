"""DIV2KRK as its authors ship it -> pairs with common names.

The archive DIV2KRK_public.zip of KernelGAN (Bell-Kligler et al., NeurIPS 2019) unpacks to

    DIV2KRK_public/DIV2KRK/gt/img_1_gt.png ... img_100_gt.png    DIV2K's validation images
    DIV2KRK_public/DIV2KRK/lr_x2/im_1.png ... im_100.png         reduced under 11x11 kernels (gt_k_x2/kernel_1.mat ...)
    DIV2KRK_public/DIV2KRK/lr_x4/im_1.png ... im_100.png         reduced under 31x31 kernels (gt_k_x4)

whose names BasicSR cannot pair: sorted, or under any filename_tmpl, img_10_gt does not meet im_10. Here both become the
keys img_1 ... img_100 of two LMDBs. PNGs with an opaque fourth channel are written again without it.
"""

import re
from pathlib import Path

import numpy as np

from data_prep.produce import produce
from data_prep.record import FAST, Record, encode_png, file_record
from stea_arch.data.image_io import list_images, read_header
from stea_arch.images.decode import read_photo

NAMES = {'gt': re.compile(r'img_([1-9]\d*)_gt\.png'), 'lq': re.compile(r'im_([1-9]\d*)\.png')}
EXAMPLES = {'gt': 'img_1_gt.png', 'lq': 'im_1.png'}


def list_pairs(root, scale):
    """Find and pair the images.

    Args:
        root (str): Folder that was unpacked, or one inside it down to that of gt.
        scale (int): 2 or 4.

    Returns:
        dict[int, tuple[Path]]: Number -> (gt, lq), in rising order.

    Raises:
        FileNotFoundError: No such folders.
        ValueError: A name that is none of the set's, or an image without its partner.
    """
    roots = (Path(root), Path(root, 'DIV2KRK'), Path(root, 'DIV2KRK_public', 'DIV2KRK'), Path(root, 'DIV2KRK_public'))
    base = next((path for path in roots if (path / 'gt').is_dir() and (path / f'lr_x{scale}').is_dir()), None)
    if base is None:
        raise FileNotFoundError(
            f'The folders gt and lr_x{scale} of DIV2KRK were expected in {root}, but they are not there. Unpack '
            'DIV2KRK_public.zip of KernelGAN and name the folder; there are LR images for the scales 2 and 4.'
        )
    gt, lq = _numbered(base / 'gt', 'gt'), _numbered(base / f'lr_x{scale}', 'lq')
    alone = [str(path) for mine, other in ((gt, lq), (lq, gt)) for n, path in sorted(mine.items()) if n not in other]
    if alone:
        raise ValueError(
            f'Every image of gt should have one of lr_x{scale} and the other way round, but {len(alone)} are alone: '
            f'{", ".join(alone[:5])}{", ..." if len(alone) > 5 else ""}. Unpack the archive again.'
        )
    return {number: (gt[number], lq[number]) for number in sorted(gt)}


def write_div2krk(root, out, scale, way):
    """Pairs as ``out/gt.lmdb`` and ``out/lq.lmdb``.

    Args:
        root (str), scale (int): As for :func:`list_pairs`.
        out (str): Folder to write into.
        way (Way): How to work.

    Returns:
        list[Outcome]: Of both.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: As for any result; a pair of other sizes than the scale asks.
    """
    pairs = list_pairs(root, scale)
    wrong = [text for text in (_wrong_size(*pair, scale) for pair in pairs.values()) if text]
    if wrong:
        raise ValueError(
            f'A gt should be {scale} times as high and wide as its lq, but {len(wrong)} of {len(pairs)} pairs are not: '
            f'{", ".join(wrong[:5])}{", ..." if len(wrong) > 5 else ""}. Unpack the archive again.'
        )
    outcomes = []
    for position, kind in enumerate(('gt', 'lq')):
        paths = {f'img_{number}.png': pair[position] for number, pair in pairs.items()}
        needed = sum(path.stat().st_size + 4096 for path in paths.values())
        outcomes.append(produce(paths, _record, str(Path(out, f'{kind}.lmdb')), way, needed, kind='div2krk'))
    return outcomes


def _numbered(folder, kind):
    found = {name: NAMES[kind].fullmatch(name) for name in list_images(str(folder))}
    foreign = [name for name, match in found.items() if not match]
    if foreign:
        raise ValueError(
            f'Images called {EXAMPLES[kind]} and so on were expected in {folder}, but {len(foreign)} have other names: '
            f'{", ".join(foreign[:5])}{", ..." if len(foreign) > 5 else ""}. Use the folder as DIV2KRK ships it.'
        )
    return {int(match[1]): folder / name for name, match in found.items()}


def _wrong_size(gt, lq, scale):
    (height, width), (rows, columns) = read_header(gt)[:2], read_header(lq)[:2]
    if (height, width) == (rows * scale, columns * scale):
        return None
    return f'{gt.name} ({height}x{width}) beside {lq.name} ({rows}x{columns})'


def _record(name, path):
    img = read_photo(path).pixels
    if img.shape[2] != 4 or img.dtype != np.uint8 or (img[..., 3] != 255).any():
        return [file_record(path, name)]
    img = np.ascontiguousarray(img[..., :3])
    return [Record(name, img.shape, FAST, encode_png(img))]
