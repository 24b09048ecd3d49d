"""Pixels as an image file, with the colour profile and EXIF data that belong to them."""

import io
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


def encode_photo(photo, extension):
    """The bytes of a file.

    PNG and TIFF keep 16 bits; JPEG and WebP get 8. PNG and TIFF are lossless, JPEG and WebP are of quality 95.

    Args:
        photo (Photo): The image.
        extension (str): A key of ``FORMATS``.

    Raises:
        ValueError: A JPEG cannot be transparent; or the image is larger than the format allows.
    """
    kind, pixels = FORMATS[extension.lower()], photo.pixels
    if kind == 'JPEG' and pixels.shape[2] in (2, 4):
        raise InputError('a JPEG cannot hold its transparency; choose another format (--format png)')
    deep = pixels.dtype == np.uint16
    if deep and kind in ('JPEG', 'WEBP'):
        pixels, deep = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8), False
    if pixels.shape[2] < 3 and (kind == 'WEBP' or (deep and kind == 'TIFF' and pixels.shape[2] == 2)):
        pixels = pixels[..., [0, 0, 0, 1][: pixels.shape[2] + 2]]  # these hold no gray, or none with transparency
    icc = photo.icc if _fits(photo.icc, pixels.shape[2], kind) else None
    if deep:
        return _encode_deep_png(pixels, icc, photo.exif) if kind == 'PNG' else _encode_deep_tiff(pixels, icc)

    img = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if max(img.size) > WIDEST.get(kind, max(img.size)):
        raise InputError(
            f'a {kind} can be {WIDEST[kind]} pixels wide and high, but the result has {img.width}x{img.height}; choose '
            'another format (--format png)'
        )
    file = io.BytesIO()
    exif = {'exif': photo.exif} if photo.exif and kind != 'TIFF' else {}
    img.save(file, kind, icc_profile=icc, **exif, **OPTIONS[kind])
    return file.getvalue()


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
