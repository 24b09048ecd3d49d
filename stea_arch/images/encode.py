"""Pixels as an image file, with the colour profile and EXIF data that belong to them."""

import io
import math
import struct
import zlib

import numpy as np
from PIL import Image

from stea_arch.system.errors import InputError

FORMATS = {'.png': 'PNG', '.jpg': 'JPEG', '.jpeg': 'JPEG', '.webp': 'WEBP', '.tif': 'TIFF', '.tiff': 'TIFF'}
# Level 1 makes PNGs a few percent larger than the default in a third of the time; 4:4:4 keeps the colour's resolution.
OPTIONS = {
    'PNG': {'compress_level': 1},
    'JPEG': {'quality': 95, 'subsampling': 0},
    'WEBP': {'quality': 95},
    'TIFF': {'compression': 'tiff_lzw'},
}
WIDEST = {'JPEG': 65500, 'WEBP': 16383}  # pixels, also high
LONGEST_EXIF = 65533  # bytes of a segment of a JPEG, without those that hold its length
HELP = 'choose another format (--format png)'


def encode_photo(photo, extension):
    """The bytes of a file.

    PNG and TIFF keep 16 bits; JPEG and WebP get 8. PNG and TIFF are lossless, JPEG and WebP are of quality 95. A JPEG
    gets no transparency where nothing is transparent, and no EXIF data that are too long for it.

    Args:
        photo (Photo): The image.
        extension (str): A key of ``FORMATS``.

    Raises:
        ValueError: A JPEG cannot be transparent; or the image is larger than the format allows.
    """
    kind, pixels = FORMATS[extension.lower()], photo.pixels
    if kind == 'JPEG' and pixels.shape[2] in (2, 4):
        if not is_opaque(pixels):
            raise InputError(f'a JPEG cannot hold its transparency; {HELP}')
        pixels = pixels[..., :-1]
    deep = pixels.dtype == np.uint16
    if deep and kind in ('JPEG', 'WEBP'):
        pixels, deep = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8), False
    if pixels.shape[2] < 3 and (kind == 'WEBP' or (deep and kind == 'TIFF' and pixels.shape[2] == 2)):
        pixels = pixels[..., [0, 0, 0, 1][: pixels.shape[2] + 2]]  # these hold no gray, or none with transparency
    icc = photo.icc if _fits(photo.icc, pixels.shape[2], kind) else None
    if deep:
        return _encode_deep_png(pixels, icc, photo.exif) if kind == 'PNG' else _encode_deep_tiff(pixels, icc)

    img = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    check_size(*img.size[::-1], extension)
    file = io.BytesIO()
    fits = kind != 'TIFF' and (kind != 'JPEG' or len(photo.exif) <= LONGEST_EXIF)
    exif = {'exif': photo.exif} if photo.exif and fits else {}
    img.save(file, kind, icc_profile=icc, **exif, **OPTIONS[kind])
    return file.getvalue()


def check_size(height, width, extension):
    """Raise a ValueError where a file of that ending cannot hold so many pixels."""
    kind = FORMATS[extension.lower()]
    if max(height, width) > WIDEST.get(kind, math.inf):
        raise InputError(
            f'a {kind} can be {WIDEST[kind]} pixels wide and high, but the result has {width}x{height}; {HELP}'
        )


def is_opaque(pixels):
    """Whether nothing is transparent in (H, W, 2 or 4)."""
    return bool((pixels[..., -1] == np.iinfo(pixels.dtype).max).all())


def _fits(icc, channels, kind):
    """Whether a profile may stand in the file: a gray one not beside colours, and in a PNG no other beside gray."""
    if not icc:
        return False
    gray = icc[16:20] == b'GRAY'  # the profile's colour space, ICC.1, header
    return gray == (channels < 3) if gray or kind == 'PNG' else True


def _encode_deep_png(pixels, icc, exif):
    """Every row as its difference from the one above (PNG specification, filter 2), big-endian."""
    height, width, channels = pixels.shape
    rows = pixels.astype('>u2').reshape(height, -1).view(np.uint8)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    chunks = [(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))]
    if icc:
        chunks.append((b'iCCP', b'ICC profile\0\0' + zlib.compress(icc)))
    if exif:
        chunks.append((b'eXIf', exif.removeprefix(b'Exif\0\0')))
    chunks += [(b'IDAT', zlib.compress(filtered, 1)), (b'IEND', b'')]
    parts = [
        struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))
        for name, content in chunks
    ]
    return b''.join([b'\x89PNG\r\n\x1a\n', *parts])


def _encode_deep_tiff(pixels, icc):
    import tifffile

    gray = pixels.shape[2] == 1
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels[..., 0] if gray else pixels,
        photometric='minisblack' if gray else 'rgb',
        extrasamples=['unassalpha'] if pixels.shape[2] == 4 else None,
        compression='zlib',
        iccprofile=icc,
        metadata=None,
    )
    return file.getvalue()
