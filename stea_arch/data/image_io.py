"""Files and bytes become 8-bit RGB arrays, or an error that names the image.

What is accepted: 8 bits a channel, three channels. A single channel (gray) is read as three equal ones where the
caller allows it: in evaluation, because benchmark sets contain gray images, but not in training, where gray pictures
among colour ones are a mistake in the data more often than a wish. More bits and transparency are refused everywhere:
dropping either silently would change what is measured.
"""

import os
from pathlib import Path

import numpy as np

from stea_arch.images.decode import decode_photo
from stea_arch.images.decode import read_header as read_photo_header
from stea_arch.system.errors import InputError
from stea_arch.system.files import whole_or_nothing

EXTENSIONS = ('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tif', '.tiff')
GRAY_HELP = 'Convert it to RGB, or leave it out by listing the other images in a file given as meta_info.'


def list_images(folder, sub_folders=False):
    """The image files of a folder, sorted by name, and no hidden files.

    Links are followed, but not to a folder that they lie in. One that leads nowhere and has the name of an image counts
    as one that cannot be read.

    Args:
        folder (str): Path.
        sub_folders (bool): Also those of its sub-folders, hidden ones left out.

    Returns:
        list[str]: File names without the folder, sub-folders parted by ``/``.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: No image in it, or two files that differ only by extension (their results would overwrite each
            other).
    """
    if not os.path.isdir(folder):
        found = 'that is a file' if os.path.isfile(folder) else 'there is none'
        kind = 'An LMDB' if str(folder).endswith('.lmdb') else 'A folder of images'
        raise FileNotFoundError(
            f'{kind} was expected at {folder}, but {found}. Check the path; relative ones start where the command is '
            'run.'
        )
    names = sorted(_images_below(folder, '', sub_folders))
    if not names:
        raise InputError(
            f'At least one image ({", ".join(EXTENSIONS)}) was expected in {folder}, but there is none'
            f'{"" if sub_folders else "; sub-folders are not searched"}. Check the path.'
        )
    check_stems(names, folder)
    return names


def _images_below(folder, prefix, sub_folders, above=()):
    above = (*above, os.path.realpath(folder))
    for entry in os.scandir(folder):
        if entry.name.startswith('.'):
            continue
        lost = entry.is_symlink() and not os.path.exists(entry.path)
        if (lost or entry.is_file()) and entry.name.lower().endswith(EXTENSIONS):
            yield prefix + entry.name
        elif sub_folders and not lost and entry.is_dir() and os.path.realpath(entry.path) not in above:
            yield from _images_below(entry.path, f'{prefix}{entry.name}/', sub_folders, above)


def check_stems(names, where):
    """Raise a ValueError if two of ``names`` differ only by their extension; ``where`` says where they stand."""
    stems = {}
    for name in names:
        other = stems.setdefault(stem(name), name)
        if other != name:
            raise InputError(
                f'Images should differ in more than their extension, but {where} has {other} and {name}: '
                'the result of one would overwrite that of the other. Rename one.'
            )


def decode(data, name, allow_gray):
    """Decode an image.

    Args:
        data (bytes): An encoded file.
        name (str): What errors call it.
        allow_gray (bool): Read one channel as three equal ones instead of refusing it.

    Returns:
        ndarray: (H, W, 3), uint8, RGB.

    Raises:
        ValueError: Broken, gray where that is not allowed, transparent, or of more than 8 bits.
    """
    try:
        pixels = decode_photo(data).pixels
    except (ValueError, MemoryError) as error:
        raise InputError(
            f'An encoded image (png, jpg, webp, bmp, tif) was expected in {name}, but its {len(data)} '
            f'bytes could not be decoded: {error}. Replace it or leave it out; stea-data check finds every such image.'
        ) from error
    check_kind(name, pixels.shape[2], pixels.dtype.itemsize * 8, allow_gray)
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, 2)


def check_kind(name, channels, bits, allow_gray):
    """Raise a ValueError unless an image has 8 bits and three channels (or one, where gray is allowed)."""
    if bits != 8:
        raise InputError(
            f'An image of 8 bits a channel was expected, but {name} has {bits}. Convert it to 8 bits, or leave it out.'
        )
    if channels == 1 and not allow_gray:
        raise InputError(f'An RGB image was expected for training, but {name} is gray (one channel). {GRAY_HELP}')
    if channels not in (1, 3):
        raise InputError(
            f'An image of three channels (RGB) was expected, but {name} has {channels}: transparency '
            'cannot be used. Paint it onto a background or remove the alpha channel.'
        )


def read_header(path):
    """Shape and depth of an image file without decoding its pixels.

    Args:
        path (str): A file.

    Returns:
        tuple[int]: height, width, channels, bits a channel.

    Raises:
        ValueError: No image can be recognised.
    """
    try:
        header = read_photo_header(path)
    except (ValueError, OSError) as error:
        raise InputError(
            f'An encoded image was expected in {path}, but it could not be recognised: {error}. Replace '
            'the file or leave it out; stea-data check finds every such image.'
        ) from error
    return header.height, header.width, header.channels, header.bits


def stem(name):
    """An image's name without the extension of an image; other dots stay, so ``a.b.png`` and ``a.b`` are ``a.b``."""
    head, extension = os.path.splitext(name)
    return head if extension.lower() in EXTENSIONS else name


def write_png(img, path):
    """Write an image that is whole or absent.

    Args:
        img (ndarray): (H, W, 3), uint8, BGR.
        path (str | Path): Target; its folder is made.
    """
    import cv2  # here: who only upscales need not wait for it

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(path) as partial:
        partial.write_bytes(cv2.imencode('.png', img)[1])
