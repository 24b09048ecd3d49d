"""The samples of a TIFF as they are stored, whatever their number, depth and arrangement.

libtiff decompresses every arrangement, but Pillow asks it only for some, and cuts 16 bits of colour down to 8. So the
file gets another header, by which libtiff finds a gray image in it: of one channel where each has a plane of its own,
else one that is as many times wider as there are channels.
"""

import io
import struct

import numpy as np
from PIL import TiffImagePlugin

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, CHANNELS, ROWS_PER_STRIP, STRIP_BYTES, PLANAR = 273, 277, 278, 279, 284
PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 317, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, XMP, IPTC = 282, 283, 296, 700, 33723
PREDICTED = {5, 8, 32946, 34925, 50000}  # LZW, deflate, deflate, LZMA, Zstandard: with others libtiff has no PREDICTOR
LOSSLESS = {1, 32773, *PREDICTED}  # none and PackBits too
WHITE_IS_ZERO, RGB = 0, 2
PREMULTIPLIED, STRAIGHT = 1, 2  # EXTRA_SAMPLES: the channel after the colours is transparency


def read_tags(file):
    """The header of the first image in a TIFF.

    Args:
        file (BinaryIO): The file, at its start.

    Returns:
        ImageFileDirectory_v2: Values by number of the tag.

    Raises:
        SyntaxError, struct.error, ...: It cannot be read.
    """
    start = file.read(8)
    start += file.read(8) if 0x2B in start[2:4] else b''  # BigTIFF
    tags = TiffImagePlugin.ImageFileDirectory_v2(start)
    file.seek(tags.next)
    tags.load(file)
    return tags


def has_plain_samples(tags):
    """Whether :func:`read_samples` can read the file: gray or RGB, 8 or 16 bits, no lossy compression."""
    bits, formats = tags.get(BITS, (1,)), tags.get(SAMPLE_FORMAT, (1,))
    return (
        set(bits) in ({8}, {16})
        and set(formats) == {1}
        and tags.get(PHOTOMETRIC) in (0, 1, RGB)
        and tags.get(COMPRESSION, 1) in LOSSLESS
        and tags.get(CHANNELS, 1) >= _colours(tags)
    )


def count_channels(tags):
    """How many channels :func:`read_samples` gives."""
    return _colours(tags) + bool(find_alpha(tags))


def find_alpha(tags):
    """What the first channel after the colours is: 0 (nothing to show), PREMULTIPLIED or STRAIGHT transparency."""
    extra = tags.get(EXTRA_SAMPLES, ())
    if not extra and tags.get(CHANNELS, 1) == 4 and _colours(tags) == 3:
        return STRAIGHT  # the file does not say what it is; other programs take it so
    return extra[0] if extra and extra[0] in (PREMULTIPLIED, STRAIGHT) else 0


def read_samples(data, tags):
    """Gray or RGB pixels, with transparency where there is one.

    Args:
        data (bytes): The file.
        tags (Mapping): See :func:`read_tags`.

    Returns:
        ndarray: (H, W, C), uint8 or uint16, as stored: neither turned nor inverted. C is 1, 2 (gray, alpha), 3 or 4.

    Raises:
        ValueError, OSError: The file is damaged.
    """
    shown = count_channels(tags)
    channels, separate = tags.get(CHANNELS, 1), tags.get(PLANAR, 1) == 2
    if not separate:
        return _as_gray(data, tags, channels, slice(None))[..., :shown]
    parts = len(tags[TILE_OFFSETS if TILE_OFFSETS in tags else STRIP_OFFSETS]) // channels
    planes = [_as_gray(data, tags, 1, slice(plane * parts, (plane + 1) * parts)) for plane in range(shown)]
    return np.concatenate(planes, -1)


def _colours(tags):
    return 3 if tags.get(PHOTOMETRIC) == RGB else 1


def _as_gray(data, tags, channels, parts):
    """(H, W, channels): some strips or tiles decoded as a gray image, channels side by side."""
    height, width = tags[LENGTH], tags[WIDTH]
    gray = {WIDTH: width * channels, LENGTH: height, BITS: tags[BITS][0], PHOTOMETRIC: 1, CHANNELS: 1}
    gray |= {tag: tags[tag] for tag in (COMPRESSION, FILL_ORDER, ROWS_PER_STRIP, TILE_LENGTH) if tag in tags}
    gray |= {tag: tags[tag][parts] for tag in (STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES) if tag in tags}
    tiled = TILE_OFFSETS in tags
    if tiled:
        gray[TILE_WIDTH] = tags[TILE_WIDTH] * channels
    order = '<' if data[:2] == b'II' else '>'
    start = struct.pack(f'{order}2sHI', data[:2], 42, len(data))
    with TiffImagePlugin.TiffImageFile(io.BytesIO(start + data[8:] + _header(gray, order, len(data)))) as img:
        samples = np.asarray(img).reshape(height, width, channels)
    samples = samples.astype(np.uint16 if tags[BITS][0] == 16 else np.uint8)  # in the order of this machine
    if tags.get(PREDICTOR, 1) == 2 and tags.get(COMPRESSION, 1) in PREDICTED:
        return _undo_predictor(samples, tags[TILE_WIDTH] if tiled else width)
    return samples


def _header(tags, order, at):
    """The bytes of a header of whole numbers, which will stand at a place of the file (TIFF 6.0, section 2)."""
    entries, longer = struct.pack(f'{order}H', len(tags)), b''
    at += 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f'{order}{len(values)}I', *values)
        entries += struct.pack(f'{order}HHI', tag, 4, len(values))
        entries += packed if len(values) == 1 else struct.pack(f'{order}I', at + len(longer))
        longer += packed if len(values) > 1 else b''
    return entries + bytes(4) + longer


def _undo_predictor(samples, span):
    """Each sample is stored as its difference from the one on its left, anew in each tile (TIFF 6.0, section 14)."""
    for left in range(0, samples.shape[1], span):
        part = samples[:, left : left + span]
        np.cumsum(part, 1, dtype=samples.dtype, out=part)
    return samples
