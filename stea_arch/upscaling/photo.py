"""An image file as pixels and as what has to survive beside them: depth, transparency, colour profile, EXIF.

Pillow reads and writes everything of 8 bits. It would cut 16 bits of colour down to 8, so these pixels go through
OpenCV and tifffile, while the header is Pillow's in both cases.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = {'.png': 'PNG', '.jpg': 'JPEG', '.jpeg': 'JPEG', '.webp': 'WEBP', '.tif': 'TIFF', '.tiff': 'TIFF'}
MODES = ('L', 'LA', 'RGB', 'RGBA')  # by channels, less one
# Level 1 makes PNGs a few percent larger than the default in a third of the time; 4:4:4 keeps the colour's resolution.
OPTIONS = {
    'PNG': {'compress_level': 1},
    'JPEG': {'quality': 95, 'subsampling': 0},
    'WEBP': {'quality': 95},
    'TIFF': {'compression': 'tiff_lzw'},
}
WIDEST = {'JPEG': 65500, 'WEBP': 16383}  # pixels, also high
ORIENTATION, BITS_PER_SAMPLE, PIXEL_SIZE = 0x0112, 0x0102, (0xA002, 0xA003)
PHOTOMETRIC, WHITE_IS_ZERO, EXTRA_SAMPLES, PREMULTIPLIED = 0x0106, 0, 0x0152, 1
EXIF_IFD = 0x8769


@dataclass
class Photo:
    """A decoded image.

    Attributes:
        pixels (ndarray): (H, W, C), uint8 or uint16, upright; C is 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA).
        icc (bytes | None): colour profile, which belongs to the pixels' numbers.
        exif (bytes): camera, date and the like, without orientation and size; empty where there is none.
    """

    pixels: np.ndarray
    icc: bytes | None = None
    exif: bytes = b''


def read_size(path):
    """Height times width from the header of a file; 0 where none can be read."""
    try:
        with Image.open(path) as img:
            return img.width * img.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0


def read_photo(path):
    """:func:`decode_photo` of a file's bytes; OSError where it cannot be read."""
    return decode_photo(Path(path).read_bytes())


def decode_photo(data):
    """Decode an image file.

    Palettes become RGB or RGBA, CMYK becomes sRGB by its profile, and what EXIF says about the orientation is done.

    Args:
        data (bytes): PNG, JPEG, WebP or TIFF.

    Returns:
        Photo: The pixels and what belongs to them.

    Raises:
        ValueError: Broken, of another kind, animated, or of more than 16 bits.
    """
    try:
        with Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values()))) as img:
            if img.format in ('PNG', 'WEBP', 'TIFF') and getattr(img, 'n_frames', 1) > 1:
                raise ValueError(f'a still image was expected, but this one has {img.n_frames} frames')
            if _bits(img, data) == 16:
                return _read_deep(img, data)
            return _read_plain(img)
    except UnidentifiedImageError as error:
        raise ValueError('not readable as PNG, JPEG, WebP or TIFF (its first bytes are of no such file)') from error
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # on damaged bytes decoders fail in ways of their own: TypeError, cv2.error, ...
        raise ValueError(f'not readable as PNG, JPEG, WebP or TIFF ({error})') from error


def _bits(img, data):
    """Bits of a channel; Pillow's mode does not tell for colour, as it reads 16 bits as 8."""
    if img.format == 'PNG':
        return data[24]
    if img.format == 'TIFF':
        return max(img.tag_v2.get(BITS_PER_SAMPLE, (1,)))
    return 8


def _read_plain(img):
    of_tiff = img.format == 'TIFF'
    if img.mode in ('I', 'F') or _bits_of_mode(img.mode) > 8:
        raise ValueError(f'8 or 16 bits a channel were expected, but the pixels are of another type ({img.mode})')
    img.load()
    img = ImageOps.exif_transpose(img)
    exif = b'' if of_tiff else _exif(img)
    icc = img.info.get('icc_profile')
    if img.mode == 'CMYK':
        img, icc = _to_srgb(img, icc), None
    transparent = img.has_transparency_data
    gray = img.mode in ('1', 'L', 'LA', 'La')
    img = img.convert(MODES[transparent if gray else 2 + transparent])
    pixels = np.asarray(img)
    return Photo(pixels.reshape(*pixels.shape[:2], -1), icc, exif)


def _bits_of_mode(mode):
    return 16 if mode.startswith('I;') else 8


def _to_srgb(img, icc):
    from PIL import ImageCms

    if not icc:
        return img.convert('RGB')
    profiles = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile('sRGB')
    try:
        return ImageCms.profileToProfile(img, *profiles, outputMode='RGB')
    except ImageCms.PyCMSError as error:
        raise ValueError(f'its CMYK colours could not be converted to RGB ({error})') from error


def _read_deep(img, data):
    from stea_arch.system.opencv import check_opencv

    check_opencv()
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError(f'its 16-bit pixels could not be decoded ({img.format}, {img.mode})')
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    pixels = pixels.reshape(*pixels.shape[:2], channels)[..., order]
    if img.format == 'TIFF':  # OpenCV has turned it, and otherwise gives the numbers as they are stored
        if img.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            pixels = 65535 - pixels
        if PREMULTIPLIED in img.tag_v2.get(EXTRA_SAMPLES, ()):
            pixels = _divide_by_alpha(pixels)
        return Photo(np.ascontiguousarray(pixels), img.info.get('icc_profile'))
    if data[25] == 4:  # gray with transparency, which OpenCV gives as BGRA
        pixels = pixels[..., [0, 3]]
    pixels = _turn(pixels, img.getexif().get(ORIENTATION, 1))
    return Photo(np.ascontiguousarray(pixels), img.info.get('icc_profile'), _exif(img))


def _divide_by_alpha(pixels):
    colours, alpha = pixels[..., :-1].astype(np.float32), np.maximum(pixels[..., -1:], 1)
    return np.concatenate([np.minimum(colours / alpha * 65535, 65535).round().astype(np.uint16), pixels[..., -1:]], -1)


def _turn(pixels, orientation):
    """Undo an orientation of EXIF (1 to 8): from 5 on rows and columns are exchanged, the others are flips."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return pixels[::rows, ::columns]


def _exif(img):
    """EXIF without what is no longer true. Not of a TIFF, where it is mixed with how the pixels are stored."""
    exif = img.getexif()
    if not exif:
        return b''
    exif.get_ifd(EXIF_IFD)  # read, so that it is written
    for tag in PIXEL_SIZE:
        exif.get_ifd(EXIF_IFD).pop(tag, None)
    exif.pop(ORIENTATION, None)
    return exif.tobytes()


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
        raise ValueError('a JPEG cannot hold its transparency; choose another format (--format png)')
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
        raise ValueError(
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
