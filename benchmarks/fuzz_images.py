"""The kind ``images`` of fuzz.py: damaged image files through decoder, encoder, upscaler and data preparation.

    python benchmarks/fuzz.py --minutes 5 --kinds images

A case ends in pixels or in the error that is documented. What the header says must be what the pixels are, all readers
must agree, and what was decoded must be encodable.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import skimage.data
import tifffile
import torch
from PIL import Image, ImageCms

from data_prep.record import file_record
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.data.image_io import decode
from stea_arch.images.decode import Photo, decode_photo, read_header
from stea_arch.images.encode import FORMATS, OPAQUE, encode_photo
from stea_arch.upscaling.upscaler import Upscaler

LARGE = 2**21  # pixels: more are decoded, but not encoded again
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def sound_files():
    """Small files of every kind: name -> bytes."""
    photo = skimage.data.astronaut()[40:73, 200:245]
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = 'Maker', 6
    exif.get_ifd(0x8769).update({0x9003: '2024:05:06 07:08:09', 0x829A: 0.01})
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    rgba = np.dstack([photo, photo[..., 1]])
    files = {}
    for extension in FORMATS:
        for channels, pixels in ((1, photo[..., :1]), (2, rgba[..., 2:]), (3, photo), (4, rgba)):
            for dtype in (np.uint8, np.uint16):
                if FORMATS[extension] in OPAQUE and channels in (2, 4):
                    continue
                made = pixels.astype(dtype) * (257 if dtype == np.uint16 else 1)
                made = Photo(made, srgb, exif.tobytes(), xmp=b'<x/>', iptc=b'\x1c\x02\x78\0\1a', dpi=(300, 300))
                files[f'{extension} {channels} {np.dtype(dtype)}'] = encode_photo(made, extension)

    def save(name, img, kind, **options):
        file = io.BytesIO()
        img.save(file, kind, **options)
        files[name] = file.getvalue()

    img = Image.fromarray(photo)
    save('progressive', img, 'JPEG', progressive=True, exif=exif, icc_profile=srgb)
    save('cmyk', img.convert('CMYK'), 'JPEG', icc_profile=srgb)
    save('palette', img.quantize(200), 'PNG', transparency=3)
    save('bits', img.convert('1'), 'PNG', transparency=0)
    save('few colours', img.quantize(4), 'PNG', bits=2)
    save('lossless', img, 'WEBP', lossless=True, exif=exif)
    save('lzw', img, 'TIFF', compression='tiff_lzw')
    save('jpeg tiff', img, 'TIFF', compression='jpeg')
    save('palette tiff', img.quantize(99), 'TIFF', compression='packbits')
    save('bilevel', img.convert('1'), 'TIFF', compression='group4')
    for dtype in (np.uint8, np.uint16):
        pixels = rgba.astype(dtype)
        for planar, tile, predictor in (('separate', None, None), ('contig', (16, 16), 2), ('separate', (16, 16), 2)):
            file = io.BytesIO()
            stored = pixels.transpose(2, 0, 1) if planar == 'separate' else pixels
            how = {'compression': 'zlib', 'predictor': predictor, 'tile': tile, 'planarconfig': planar}
            tifffile.imwrite(file, stored, photometric='rgb', extrasamples=['unassalpha'], **how)
            files[f'tiff {planar} {tile} {np.dtype(dtype)}'] = file.getvalue()
    return list(files.items())


def damage(rng, files):
    """A file with some of its bytes changed: (name, bytes)."""
    name, data = files[rng.integers(len(files))]
    data = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        # half of the changes go to the first bytes, where headers are
        place = int(rng.integers(min(len(data), 300) if rng.random() < 0.5 else len(data)))
        way = rng.integers(7)
        if way == 0:
            data[place] = rng.integers(256)
        elif way == 1:
            order, size = rng.choice(['<', '>']), rng.choice(['B', 'H', 'I'])
            value = int(rng.choice(NUMBERS)) & {'B': 0xFF, 'H': 0xFFFF, 'I': 0xFFFFFFFF}[size]
            packed = struct.pack(order + size, value)
            data[place : place + len(packed)] = packed
        elif way == 2:
            data = data[: max(place, 4)]
        elif way == 3:
            del data[place : place + int(rng.integers(1, 64))]
        elif way == 4:
            data[place:place] = rng.integers(0, 256, int(rng.integers(1, 64)), np.uint8).tobytes()
        elif way == 5:
            other = files[rng.integers(len(files))][1]
            data = data[:place] + other[int(rng.integers(len(other))) :]
        else:
            length = int(rng.integers(1, 200))
            data[place : place + length] = bytes(len(data[place : place + length]))
        if not data:
            data = bytearray(b'\0')
    if data[:8] == b'\x89PNG\r\n\x1a\n' and rng.random() < 0.7:
        data = with_checksums(data)
    return name, bytes(data)


def with_checksums(data):
    """A PNG whose chunks have the right CRC, so that what is in them is looked at."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from('>I', data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into('>I', data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return data


def check(data, path, upscaler):
    """Read one file in every way; a ValueError where all refuse it, an AssertionError where they do not agree."""
    path.write_bytes(data)
    try:
        header = read_header(path)
    except ValueError:
        header = None
    try:
        decode(data, 'file', allow_gray=True)
        file_record(path, 'file.png', allow_gray=True)
        for_training = True
    except ValueError:
        for_training = False
    try:
        photo = decode_photo(data)
    except (ValueError, MemoryError) as error:
        assert not for_training, 'one reader takes it, the other does not'
        raise ValueError(error) from error
    shape, bits = photo.pixels.shape, photo.pixels.dtype.itemsize * 8
    assert header, 'the header is refused, the pixels are read'
    assert (header.height, header.width, header.channels, header.bits) == (*shape, bits), (
        f'{header}, but {shape} {bits}'
    )
    assert for_training == (bits == 8 and shape[2] in (1, 3)), 'one reader takes it, the other does not'
    for extension in ('.png', '.jpg', '.webp', '.tif') if shape[0] * shape[1] <= LARGE else ():
        try:
            encode_photo(photo, extension)
        except ValueError as error:
            assert 'transparency' in str(error) or 'pixels wide' in str(error), error
    result = upscaler(photo.pixels[:9, :9])
    assert result.shape == (min(shape[0], 9) * 2, min(shape[1], 9) * 2, shape[2])


class Images:
    """Small image files of every kind, of which some bytes are changed; see fuzz.py for what a kind is."""

    errors = (ValueError,)

    def __init__(self, folder):
        self.files, self.path = sound_files(), Path(folder, 'image')
        torch.manual_seed(0)
        self.upscaler = Upscaler(LabNet(num_feat=16, num_blocks=(1, 1, 1, 1, 1, 1), upscale=2).eval(), 'cpu')

    def run(self, rng):
        _, data = damage(np.random.default_rng(rng.getrandbits(64)), self.files)
        check(data, self.path, self.upscaler)
