"""An image file as pixels and as what has to survive beside them: depth, transparency, colour profile, metadata.

Pillow reads everything of 8 bits. It would cut 16 bits of colour down to 8, so these go through OpenCV (PNG) and
:mod:`stea_arch.images.tiff`, while the header is Pillow's in all cases.
"""

import io
import math
import re
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from stea_arch.images import tiff
from stea_arch.system.errors import InputError
from stea_arch.system.packages import require_for_file

KINDS = ('AVIF', 'BMP', 'JPEG', 'PNG', 'TIFF', 'WEBP')
NAMES = 'PNG, JPEG, WebP, AVIF, TIFF or BMP'
READ_ONLY = ('.heic', '.heif', '.jxl')  # by packages that register themselves with Pillow
MODES = ('L', 'LA', 'RGB', 'RGBA')  # by channels, less one
ORIENTATION, PIXEL_SIZE, EXIF_IFD, ICC_PROFILE = 0x0112, (0xA002, 0xA003), 0x8769, 0x8773
COLOURS = {0: 1, 2: 3, 4: 1, 6: 3}  # channels without transparency, by a PNG's type of colour
HEIF_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'mif1')
JXL_STARTS = (b'\xff\x0a', b'\0\0\0\x0cJXL ')
JPEG_START = b'\xff\xd8'
PNG_START = b'\x89PNG\r\n\x1a\n'
CICP, NCLX = re.compile(rb'\x00{3}\x04cICP(..)', re.DOTALL), re.compile(rb'colrnclx(....)', re.DOTALL)
NAMED_COLOURS = {'PNG': CICP, 'AVIF': NCLX, 'HEIF': NCLX}  # PNG, third edition, 11.3.2.6; ISO/IEC 14496-12, 12.1.5
LIKE_SRGB = (1, 2, 6, 13, 14, 15)  # transfers: of BT.709, BT.601 and BT.2020 too, which are one, and not said
TIFF_STARTS = (b'II\x2a\0', b'MM\0\x2a', b'II\x2b\0', b'MM\0\x2b')


@dataclass
class Photo:
    """A decoded image.

    Attributes:
        pixels (ndarray): (H, W, C), uint8 or uint16, upright; C is 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA).
        icc (bytes | None): colour profile, which belongs to the pixels' numbers.
        exif (bytes): camera, date and the like, without orientation and size; empty where there is none.
        xmp (bytes), iptc (bytes): the same and captions in other languages of metadata, XMP without orientation.
        dpi (tuple[float] | None): pixels an inch, across and down.
        gamma (tuple | None): what a PNG says of its numbers, where it has no profile: the exponent, and eight
            chromaticities or None.
        warnings (tuple[str]): what could not be read beside the pixels and was left out.
    """

    pixels: np.ndarray
    icc: bytes | None = None
    exif: bytes = b''
    warnings: tuple = ()
    xmp: bytes = b''
    iptc: bytes = b''
    dpi: tuple | None = None
    gamma: tuple | None = None


@dataclass(frozen=True)
class Header:
    """What is known of an image without its pixels: size when it stands upright, channels (as in Photo), bits."""

    height: int
    width: int
    channels: int
    bits: int


def read_photo(path):
    """:func:`decode_photo` of a file's bytes; OSError where it cannot be read."""
    return decode_photo(Path(path).read_bytes())


def decode_photo(data):
    """Decode an image file.

    Palettes become RGB or RGBA, CMYK becomes sRGB by its profile, and what EXIF says about the orientation is done.
    Metadata that are damaged do not keep the pixels from being read.

    Args:
        data (bytes): PNG, JPEG, WebP, AVIF, TIFF or BMP; HEIC or JPEG XL where the package for it is installed.

    Returns:
        Photo: The pixels and what belongs to them.

    Raises:
        ValueError: Broken, of another kind, animated, of more than 16 bits, or of more pixels than Pillow believes.
        MemoryError: Too large.
    """
    try:
        return _guarded(_decode, data)
    except ValueError:
        sound = _without_metadata(data)
        if sound == data:
            raise
        photo = _guarded(_decode, sound)
        return replace(photo, warnings=(*photo.warnings, 'damaged metadata were left out'))


def read_header(source):
    """What :func:`decode_photo` would give, without decoding pixels.

    Args:
        source (str | Path | bytes): A file's path, or what is in it.

    Returns:
        Header: Of the decoded image.

    Raises:
        ValueError: Broken, of another kind, ... as far as the header tells.
        OSError: The file cannot be opened.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, 'rb') as file:
        try:
            return _guarded(_header, file)
        except ValueError:
            file.seek(0)
            if not file.read(8).startswith((PNG_START, JPEG_START)):
                raise
            file.seek(0)
            return _guarded(_header, io.BytesIO(_without_metadata(file.read())))


def _guarded(function, argument):
    try:
        return function(argument)
    except UnidentifiedImageError as error:
        raise InputError(f'not readable as {NAMES} (its bytes are of no such file)') from error
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # on damaged bytes decoders fail in ways of their own: TypeError, cv2.error, ...
        reason = ' '.join(str(error).split())
        raise InputError(f'not readable as {NAMES} ({reason or type(error).__name__})') from error


def _decode(data):
    if data[:4] in TIFF_STARTS:
        tags = _tiff_tags(io.BytesIO(data))
        if tiff.has_plain_samples(tags):
            return _read_tiff(data, tags)
    with Image.open(io.BytesIO(data), formats=_kinds(data)) as img:
        bits = _check_kind(img, data)
        img.load()  # of 16 bits, too: OpenCV would give what there is of a file that is cut short
        warnings = []
        orientation = _attempt(_orientation, img, 1, 'EXIF', warnings)
        exif = b'' if img.format == 'TIFF' else _attempt(_exif, img, b'', 'EXIF', warnings)
        beside = _attempt(_beside, img, {}, 'metadata', warnings)
        icc = img.info.get('icc_profile')
        if not icc and (points := _foreign_colours(img.format, data)):
            warnings.append(f'its colours ({points} of H.273) were taken for sRGB; convert it to sRGB to keep them')
        if bits == 16:
            pixels = _deep_png(data, img.info.get('transparency'))
        else:
            if img.mode == 'CMYK':
                img, icc = _to_srgb(img, icc, warnings), None
            pixels = _eight_bits(img, bits)
    return Photo(np.ascontiguousarray(_turn(pixels, orientation)), icc, exif, tuple(warnings), **beside)


def _header(file):
    start = file.read(26)
    file.seek(0)
    if start[:4] in TIFF_STARTS:
        tags = _tiff_tags(file)
        if tiff.has_plain_samples(tags):
            size, turned = (tags[tiff.LENGTH], tags[tiff.WIDTH]), tags.get(ORIENTATION, 1) in (5, 6, 7, 8)
            return Header(*size[:: -1 if turned else 1], tiff.count_channels(tags), tags[tiff.BITS][0])
        file.seek(0)
    with Image.open(file, formats=_kinds(start)) as img:
        bits = _check_kind(img, start)
        turned = _attempt(_orientation, img, 1, 'EXIF', []) >= 5
        channels = _channels(img)
        if bits == 16:  # of which Pillow makes RGBA where it is gray with transparency
            channels = COLOURS[start[25]] + img.has_transparency_data
        return Header(*img.size[:: 1 if turned else -1], channels, 16 if bits == 16 else 8)


def _kinds(start):
    """Pillow's names for what a file may be; a package that Pillow needs for it is loaded."""
    brand = start[8:12] if start[4:8] == b'ftyp' else b''
    if brand in HEIF_BRANDS and not (brand == b'mif1' and b'avif' in start[12:26]):
        require_for_file('pillow_heif', 'formats', 'to read HEIC').register_heif_opener()
        return ['HEIF']
    if start.startswith(JXL_STARTS):
        require_for_file('pillow_jxl', 'formats', 'to read JPEG XL')
        return ['JXL']
    return KINDS


def _beside(img):
    """The metadata that Pillow reads, by their names in :class:`Photo`."""
    info = img.info
    found = {'xmp': info.get('xmp') or info.get('XML:com.adobe.xmp'), 'dpi': info.get('dpi')}
    if img.format in ('JPEG', 'MPO') and isinstance(info.get('photoshop'), dict):
        found['iptc'] = info['photoshop'].get(0x0404)
    if img.format == 'TIFF':
        return _beside_tiff(img.tag_v2)
    if img.format == 'PNG' and 'gamma' in info and 'icc_profile' not in info:
        found['gamma'] = info['gamma'], info.get('chromaticity')
    return _sound(found)


def _beside_tiff(tags):
    unit, sides = tags.get(tiff.RESOLUTION_UNIT, 2), [tags.get(tag) for tag in (tiff.X_RESOLUTION, tiff.Y_RESOLUTION)]
    dpi = [float(side) * {2: 1, 3: 2.54}[unit] for side in sides] if all(sides) and unit in (2, 3) else None
    return _sound({'xmp': tags.get(tiff.XMP), 'iptc': tags.get(tiff.IPTC), 'dpi': dpi})


def _foreign_colours(kind, data):
    """The code points by which a file names colours that are not those of sRGB or BT.709, in words, or None."""
    png = kind == 'PNG'
    head = data[: data.find(b'IDAT')] if png else data
    named = NAMED_COLOURS[kind].search(head) if kind in NAMED_COLOURS else None
    primaries, transfer = struct.unpack('>BB' if png else '>HH', named[1]) if named else (1, 13)
    return None if primaries in (1, 2) and transfer in LIKE_SRGB else f'primaries {primaries}, transfer {transfer}'


def _sound(found):
    """What has the type that it should have; XMP with the orientation of pixels that have been turned."""
    xmp = found['xmp'].encode() if isinstance(found['xmp'], str) else found['xmp']
    kept = {name: value for name, value in (('xmp', xmp), ('iptc', found.get('iptc'))) if isinstance(value, bytes)}
    if 'xmp' in kept:
        kept['xmp'] = re.sub(rb'(tiff:Orientation(?:="|>))[2-8]', rb'\g<1>1', kept['xmp'])
    if found['dpi'] and all(math.isfinite(value) and value > 0 for value in found['dpi']):
        kept['dpi'] = tuple(map(float, found['dpi']))
    return {**kept, 'gamma': found.get('gamma')}


def _tiff_tags(file):
    tags = tiff.read_tags(file)
    if tags.next:
        raise InputError('a still image was expected, but this TIFF has several pages')
    _check_size(tags[tiff.WIDTH], tags[tiff.LENGTH])
    bits, floating = set(tags.get(tiff.BITS, (1,))), 3 in tags.get(tiff.SAMPLE_FORMAT, (1,))
    if floating or not bits <= {1, 2, 4, 8, 16}:
        found = f'{" and ".join(map(str, sorted(bits)))} bits{" in floating point" if floating else ""}'
        raise InputError(f'8 or 16 bits a channel were expected, got {found}: save it as 16 bits')
    return tags


def _check_size(width, height):
    most = 2 * (Image.MAX_IMAGE_PIXELS or math.inf)
    if width * height > most:
        raise InputError(f'it has {width}x{height} pixels, and at most {most:,.0f} are taken for an honest image')


def _check_kind(img, start):
    """Bits of a channel; a ValueError where they, or several frames, cannot be used."""
    if img.format in ('PNG', 'WEBP', 'AVIF') and getattr(img, 'n_frames', 1) > 1:
        raise InputError(f'a still image was expected, but this one has {img.n_frames} frames')
    if img.format == 'PNG':
        return start[24]  # Pillow's mode does not tell, as it reads 16 bits of colour as 8
    bits = img.tag_v2.get(tiff.BITS, (1,)) if img.format == 'TIFF' else (8,)
    if img.mode in ('I', 'F') or img.mode.startswith('I;') or max(bits) > 8:
        raise InputError(f'8 or 16 bits a channel were expected, but the pixels are of another type ({img.mode})')
    return 8


def _channels(img):
    gray = img.mode in ('1', 'L', 'LA', 'La', 'I;16')
    return (1 if gray else 3) + img.has_transparency_data


def _eight_bits(img, bits):
    """(H, W, C), uint8, of an image in any of Pillow's modes of up to 8 bits a channel."""
    level = img.info.get('transparency')
    if img.mode in ('1', 'L') and isinstance(level, int):  # the level that is transparent, as it is stored
        level = 255 * (level > 0) if img.mode == '1' else level * 255 // (2**bits - 1)
        return _with_alpha(np.array(img.convert('L'))[..., None], level)
    pixels = np.array(img.convert(MODES[_channels(img) - 1]))
    return pixels.reshape(*pixels.shape[:2], -1)


def _with_alpha(pixels, colour):
    alpha = np.where((pixels == colour).all(-1, keepdims=True), 0, np.iinfo(pixels.dtype).max)
    return np.concatenate([pixels, alpha.astype(pixels.dtype)], -1)


def _to_srgb(img, icc, warnings):
    from PIL import ImageCms

    def convert(img):
        profiles = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile('sRGB')
        return ImageCms.profileToProfile(img, *profiles, outputMode='RGB')

    plain = img.convert('RGB')
    return _attempt(convert, img, plain, 'colour profile', warnings) if icc else plain


def _deep_png(data, transparent):
    from stea_arch.system.opencv import check_opencv

    check_opencv()
    import cv2

    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise InputError('its 16-bit pixels could not be decoded')
    stored = np.atleast_3d(stored)
    colour_type = data[25]
    # OpenCV gives BGR, and gray with transparency as BGRA; what it makes of a transparent colour depends on the version
    pixels = stored[..., [2, 1, 0] if COLOURS[colour_type] == 3 else [0]]
    if colour_type & 4:
        return np.concatenate([pixels, stored[..., 3:]], -1)
    return pixels if transparent is None else _with_alpha(pixels, transparent)


def _read_tiff(data, tags):
    pixels = tiff.read_samples(data, tags)
    largest = np.iinfo(pixels.dtype).max
    alpha = tiff.find_alpha(tags)
    if tags.get(tiff.PHOTOMETRIC) == tiff.WHITE_IS_ZERO:
        pixels[..., 0] = largest - pixels[..., 0]
    if alpha == tiff.PREMULTIPLIED:
        colours = pixels[..., :-1].astype(np.float32) * largest / np.maximum(pixels[..., -1:], 1)
        pixels[..., :-1] = np.minimum(colours, largest).round()
    icc, warnings = tags.get(ICC_PROFILE), []
    beside = _attempt(_beside_tiff, tags, {}, 'metadata', warnings)
    pixels = np.ascontiguousarray(_turn(pixels, tags.get(ORIENTATION, 1)))
    return Photo(pixels, icc if isinstance(icc, bytes) else None, warnings=tuple(warnings), **beside)


def _turn(pixels, orientation):
    """Undo an orientation of EXIF (1 to 8): from 5 on rows and columns are exchanged, the others are flips."""
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    return pixels[::rows, ::columns]


def _orientation(img):
    if img.format == 'TIFF' or (img.format == 'JXL' and not img.jpeg):  # turned already; JXL counts, not its EXIF
        return 1
    orientation = img.getexif().get(ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


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


def _attempt(function, source, otherwise, what, warnings):
    """``function(source)``; where it fails, whatever the error, ``otherwise`` and a warning: pixels come first."""
    try:
        return function(source)
    except Exception:
        warning = f'its {what} is damaged and was left out'
        if warning not in warnings:
            warnings.append(warning)
        return otherwise


def _without_metadata(data):
    """A PNG or JPEG without what stands beside the pixels and is damaged or may be; another file as it is."""
    if data[:8] == PNG_START:
        return _sound_chunks(data)
    return _needed_segments(data) if data[:2] == JPEG_START else data


def _sound_chunks(data):
    """A PNG without text and without other chunks that are not needed and do not agree with their CRC."""
    kept, at = [PNG_START], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from('>I', data, at)
        chunk = data[at : at + 12 + length]
        kind, content = chunk[4:8], chunk[4:-4]
        ancillary = kind[:1].islower() and kind != b'tRNS'
        sound = chunk[-4:] == struct.pack('>I', zlib.crc32(content)) and kind not in (b'tEXt', b'zTXt', b'iTXt')
        if sound or not ancillary:
            kept.append(chunk)
        at += 12 + length
    return b''.join([*kept, data[at:]])


def _needed_segments(data):
    """A JPEG whose application segments are those of EXIF and Adobe's, which tells how colours are stored."""
    kept, at = [JPEG_START], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:  # where the pixels start
        marker, (length,) = data[at + 1], struct.unpack_from('>H', data, at + 2)
        segment = data[at : at + 2 + length]
        needed = segment[4:10] == b'Exif\0\0' or (segment[4:9] == b'Adobe' and length >= 14)
        if needed or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(segment)
        at += 2 + length
    return b''.join([*kept, data[at:]])
