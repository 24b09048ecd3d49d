"""Pixels as an image file, with the colour profile and the metadata that belong to them."""

import io
import math
import struct
import zlib
from dataclasses import replace

import numpy as np
from PIL import Image

from stea_arch.images import tiff
from stea_arch.system.errors import InputError

FORMATS = {
    '.png': 'PNG',
    '.jpg': 'JPEG',
    '.jpeg': 'JPEG',
    '.webp': 'WEBP',
    '.avif': 'AVIF',
    '.tif': 'TIFF',
    '.tiff': 'TIFF',
    '.bmp': 'BMP',
}
LOSSY = ('JPEG', 'WEBP', 'AVIF')
QUALITY = 95  # of the lossy ones
COMPRESSION = 1  # makes PNGs a few percent larger than the default of 6 in a third of the time
FULL_COLOURS = {'JPEG': {'subsampling': 0}, 'AVIF': {'subsampling': '4:4:4'}}  # as fine as brightness
OPAQUE = ('JPEG', 'BMP')  # hold no transparency
EIGHT_BITS = (*LOSSY, 'BMP')
WIDEST = {'JPEG': 65500, 'WEBP': 16383, 'AVIF': 65536}  # pixels, also high
IDAT_BYTES = 2**20  # in a chunk of a PNG's pixels; the specification allows less than 2**31
BIG_TIFF = 2**32 - 2**25  # bytes of pixels from which on the offsets of a TIFF may need 64 bits
LONGEST_SEGMENT = 65533  # bytes in a JPEG, without those that hold its length
HELP = 'choose another format (--format png)'
METRE = 0.0254  # in inches
LARGEST = 2**31 - 1  # of a number in a PNG or BMP
HIGHEST_DPI = {'PNG': LARGEST * METRE, 'BMP': LARGEST * METRE, 'JPEG': 2**16 - 1, 'TIFF': 2**32 - 1}


def encode_photo(photo, extension, quality=None, compression=None):
    """The bytes of a file.

    PNG and TIFF are lossless and keep 16 bits, BMP is lossless; the others get 8. A JPEG or BMP gets no transparency
    where nothing is transparent. Each holds the metadata that it has a place for, if numbers are not too large for it;
    a JPEG none of more than 64 KiB.

    Args:
        photo (Photo): The image.
        extension (str): A key of ``FORMATS``.
        quality (int | None): 1 to 100, of JPEG, WebP and AVIF; None: 95.
        compression (int | None): 0 (none) to 9 (smallest), of PNG; None: 1.

    Raises:
        ValueError: A JPEG or BMP cannot be transparent; or the image is larger than the format allows.
    """
    kind, pixels = FORMATS[extension.lower()], photo.pixels
    check_size(*pixels.shape[:2], extension)
    if kind in OPAQUE and pixels.shape[2] in (2, 4):
        if not is_opaque(pixels):
            raise InputError(cannot_be_clear(extension))
        pixels = pixels[..., :-1]
    if pixels.dtype == np.uint16 and kind in EIGHT_BITS:
        pixels = to_eight_bits(pixels)
    if pixels.shape[2] < 3 and (
        kind in ('WEBP', 'AVIF') or (kind == 'TIFF' and pixels.shape[2] == 2 and pixels.dtype == np.uint16)
    ):
        pixels = pixels[..., [0, 0, 0, 1][: pixels.shape[2] + 2]]  # these hold no gray, or none with transparency
    if photo.dpi and max(photo.dpi) > HIGHEST_DPI.get(kind, 0):
        photo = replace(photo, dpi=None)
    icc = photo.icc if _fits(photo.icc, pixels.shape[2], kind) else None
    if kind == 'TIFF':
        return _encode_tiff(pixels, icc, photo)
    level = COMPRESSION if compression is None else compression
    if kind == 'PNG' and pixels.dtype == np.uint16:
        return _with_metadata(_encode_deep_png(pixels, level), icc, photo)

    img, file = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), io.BytesIO()
    if kind == 'PNG':
        img.save(file, kind, compress_level=level)
        return _with_metadata(file.getvalue(), icc, photo)
    options = {'dpi': photo.dpi, 'icc_profile': icc, 'exif': photo.exif, 'xmp': photo.xmp}
    if kind == 'JPEG':
        if photo.iptc:
            options['extra'] = _as_segment(photo.iptc)
        for name in ('exif', 'xmp'):
            options[name] = options[name] if len(options[name]) <= LONGEST_SEGMENT - 29 else b''  # XMP's name
    if kind in LOSSY:
        options |= {'quality': quality or QUALITY, **FULL_COLOURS.get(kind, {})}
    img.save(file, kind, **{name: value for name, value in options.items() if value or name == 'subsampling'})
    return file.getvalue()


def check_size(height, width, extension):
    """Raise a ValueError where a file of that ending cannot hold so many pixels."""
    kind = FORMATS[extension.lower()]
    if max(height, width) > WIDEST.get(kind, math.inf):
        raise InputError(
            f'{_article(kind)} can be {WIDEST[kind]} pixels wide and high, but the result has {width}x{height}; {HELP}'
        )


def cannot_be_clear(extension):
    """What to say where a format would lose transparency."""
    return f'{_article(FORMATS[extension.lower()])} cannot hold its transparency; {HELP}'


def _article(kind):
    return f'{"an" if kind == "AVIF" else "a"} {kind}'


def is_opaque(pixels):
    """Whether nothing is transparent in (H, W, 2 or 4)."""
    return bool((pixels[..., -1] == np.iinfo(pixels.dtype).max).all())


def to_eight_bits(pixels):
    """The nearest of 256 levels for 16 bits; 8 bits as they are."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def _fits(icc, channels, kind):
    """Whether a profile may stand in the file: a gray one not beside colours, and in a PNG no other beside gray."""
    if not icc:
        return False
    gray = icc[16:20] == b'GRAY'  # the profile's colour space, ICC.1, header
    return gray == (channels < 3) if gray or kind == 'PNG' else True


def _encode_deep_png(pixels, level):
    """Every row as its difference from the one above (PNG specification, filter 2), big-endian."""
    height, width, channels = pixels.shape
    rows = pixels.astype('>u2').reshape(height, -1).view(np.uint8)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    start = struct.pack('>IIBBBBB', width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    packed = memoryview(zlib.compress(filtered, level))
    chunks = [_chunk(b'IDAT', packed[at : at + IDAT_BYTES]) for at in range(0, len(packed), IDAT_BYTES)]
    return b''.join([b'\x89PNG\r\n\x1a\n', _chunk(b'IHDR', start), *chunks, _chunk(b'IEND', b'')])


def _chunk(name, content):
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))


def _with_metadata(png, icc, photo):
    """A PNG with what belongs to its pixels, between its first chunk and the next."""
    chunks = []
    if icc:
        chunks.append((b'iCCP', b'ICC profile\0\0' + zlib.compress(icc)))
    elif photo.gamma and max([photo.gamma[0], *(photo.gamma[1] or ())]) * 1e5 <= LARGEST:
        gamma, primaries = photo.gamma
        chunks.append((b'gAMA', struct.pack('>I', round(gamma * 1e5))))
        if primaries:
            chunks.append((b'cHRM', struct.pack('>8I', *(round(value * 1e5) for value in primaries))))
    if photo.dpi:
        chunks.append((b'pHYs', struct.pack('>IIB', *(round(value / METRE) for value in photo.dpi), 1)))
    if photo.exif:
        chunks.append((b'eXIf', photo.exif.removeprefix(b'Exif\0\0')))
    if photo.xmp:
        chunks.append((b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + photo.xmp))
    return png[:33] + b''.join(_chunk(*chunk) for chunk in chunks) + png[33:]


def _as_segment(iptc):
    """IPTC data as the resource 0x0404 of Photoshop in a segment of a JPEG; nothing where they are too long."""
    content = struct.pack('>14s4sHHI', b'Photoshop 3.0\0', b'8BIM', 0x0404, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
    return b'\xff\xed' + struct.pack('>H', len(content) + 2) + content if len(content) <= LONGEST_SEGMENT else b''


def _encode_tiff(pixels, icc, photo):
    import tifffile

    gray = pixels.shape[2] < 3
    tags = [(tiff.XMP, 1, photo.xmp), (tiff.IPTC, 7, photo.iptc)]  # bytes, and bytes of no said meaning
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        photometric='minisblack' if gray else 'rgb',
        planarconfig='contig' if pixels.shape[2] > 1 else None,
        extrasamples=['unassalpha'] if pixels.shape[2] in (2, 4) else None,
        compression='zlib',
        bigtiff=pixels.nbytes > BIG_TIFF,  # how small they become is not known
        iccprofile=icc,
        resolution=photo.dpi,
        resolutionunit=2 if photo.dpi else None,  # inches
        extratags=[(tag, kind, len(value), value, True) for tag, kind, value in tags if value],
        metadata=None,
    )
    return file.getvalue()
