"""The decoder, mode by mode: what other programs wrote from known pixels comes back exactly, for both of its users."""

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from stea_arch.data.image_io import decode
from stea_arch.images.decode import ORIENTATION, Photo, decode_photo, read_header
from stea_arch.images.encode import encode_photo

HEIGHT, WIDTH = 37, 45  # no multiple of a tile's 16
ICC = b'a profile'
UPRIGHT = {  # what EXIF 2.32 (table 6) says of rows and columns, undone with plain flips and turns
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def noise(channels, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (HEIGHT, WIDTH, channels)).astype(dtype)


def write_tiff(pixels, channels=None, planar='contig', **arguments):
    """By tifffile; the channels after ``channels`` colours are ``extrasamples``."""
    file = io.BytesIO()
    colours = channels or pixels.shape[2]
    stored = pixels[..., 0] if pixels.shape[2] == 1 else pixels.transpose(2, 0, 1) if planar == 'separate' else pixels
    arguments = {'photometric': 'rgb' if colours == 3 else 'minisblack', 'metadata': None, **arguments}
    if pixels.shape[2] > 1:
        arguments['planarconfig'] = planar
    tifffile.imwrite(file, stored, **arguments)
    return file.getvalue()


def check(data, expected, tmp_path):
    """The upscaler's reader, its header and, where they take such an image, the data's reader agree on it."""
    photo = decode_photo(data)
    assert photo.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(photo.pixels, expected)
    (tmp_path / 'file').write_bytes(data)
    header = read_header(tmp_path / 'file')
    assert (header.height, header.width, header.channels) == expected.shape
    assert header.bits == expected.dtype.itemsize * 8
    if expected.dtype == np.uint8 and expected.shape[2] in (1, 3):
        np.testing.assert_array_equal(
            decode(data, 'file', allow_gray=True), np.broadcast_to(expected, (*expected.shape[:2], 3))
        )
    else:
        with pytest.raises(ValueError, match=r'8 bits a channel was expected|three channels'):
            decode(data, 'file', allow_gray=True)
    return photo


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('channels', [1, 2, 3, 4])
@pytest.mark.parametrize('planar', ['contig', 'separate'])
@pytest.mark.parametrize('tile', [None, (16, 32)])
def test_tiffs(tmp_path, dtype, channels, planar, tile):
    pixels = noise(channels, dtype)
    alpha = ['unassalpha'] if channels in (2, 4) else None
    for order, compression, predictor, rows in itertools.product('<>', (None, 'zlib'), (None, 2), (None, 7)):
        if (compression is None and predictor) or (tile and rows):
            continue
        data = write_tiff(
            pixels,
            channels - (alpha is not None),
            planar,
            tile=tile,
            extrasamples=alpha,
            compression=compression,
            predictor=predictor,
            byteorder=order,
            rowsperstrip=rows,
        )
        check(data, pixels, tmp_path)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('planar', ['contig', 'separate'])
@pytest.mark.parametrize('colours', [1, 3])
def test_a_channel_that_a_tiff_does_not_call_transparency_is_none(tmp_path, dtype, planar, colours):
    pixels = noise(colours + 2, dtype)
    for count, extra in ((1, ['unspecified']), (2, ['unspecified', 'unassalpha'])):
        data = write_tiff(pixels[..., : colours + count], colours, planar, extrasamples=extra)
        check(data, pixels[..., :colours], tmp_path)
    data = write_tiff(pixels, colours, planar, extrasamples=['unassalpha', 'unspecified'])
    check(data, pixels[..., : colours + 1], tmp_path)


@pytest.mark.parametrize('orientation', UPRIGHT)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_every_format_is_turned_as_its_camera_says(tmp_path, dtype, orientation):
    pixels, exif = noise(3, dtype), Image.Exif()
    exif[ORIENTATION] = orientation
    expected = UPRIGHT[orientation](pixels)
    check(write_tiff(pixels, extratags=[(ORIENTATION, 'H', 1, orientation, True)]), expected, tmp_path)
    check(encode_photo(Photo(pixels, exif=exif.tobytes()), '.png'), expected, tmp_path)
    if dtype == np.uint8:
        for kind, options in (('WEBP', {'lossless': True}), ('PNG', {}), ('TIFF', {})):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, kind, exif=exif.tobytes(), **options)
            photo = check(file.getvalue(), expected, tmp_path)
            again = encode_photo(photo, f'.{kind.lower()}')
            assert decode_photo(again).pixels.shape == expected.shape  # not turned a second time
        palette = io.BytesIO()
        Image.fromarray(pixels).quantize(9).save(palette, 'TIFF', tiffinfo={ORIENTATION: orientation})
        assert decode_photo(palette.getvalue()).pixels.shape == expected.shape


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_tiffs_of_opencv_with_lzw_and_predictor(tmp_path, dtype):
    for channels, order in ((1, [0]), (3, [2, 1, 0]), (4, [2, 1, 0, 3])):
        pixels = noise(channels, dtype)
        data = cv2.imencode('.tif', pixels[..., order], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
        check(data, pixels, tmp_path)


@pytest.mark.parametrize(
    'compression', [None, 'packbits', 'tiff_lzw', 'tiff_adobe_deflate', 'tiff_deflate', 'lzma', 'zstd']
)
def test_a_predictor_counts_where_other_programs_read_it(tmp_path, compression):
    file = io.BytesIO()
    Image.fromarray(noise(3)).save(file, 'TIFF', compression=compression, tiffinfo={317: 2})  # as Pillow takes it
    with Image.open(io.BytesIO(file.getvalue())) as img:
        assert img.tag_v2[317] == 2
        np.testing.assert_array_equal(img, noise(3))
    check(file.getvalue(), noise(3), tmp_path)


def test_large_tiffs_of_64_bit_offsets(tmp_path):
    for dtype in (np.uint8, np.uint16):
        check(write_tiff(noise(3, dtype), bigtiff=True, compression='zlib'), noise(3, dtype), tmp_path)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_tiffs_in_which_0_is_white(tmp_path, dtype):
    pixels, largest = noise(1, dtype), np.iinfo(dtype).max
    for order in '<>':
        check(write_tiff(pixels, photometric='miniswhite', byteorder=order), largest - pixels, tmp_path)
    pixels = noise(2, dtype)
    data = write_tiff(pixels, 1, photometric='miniswhite', extrasamples=['unassalpha'])
    check(data, np.dstack([largest - pixels[..., 0], pixels[..., 1]]), tmp_path)


def write_png(rows, bits, colour_type, *chunks):
    """``rows``: (H, samples), each below 2**bits; by the PNG specification, third edition."""
    if bits == 16:
        lines = [row.astype('>u2').tobytes() for row in rows]
    else:
        places = np.unpackbits(rows.astype(np.uint8)[..., None], -1)[..., 8 - bits :]
        lines = [np.packbits(row.reshape(-1)).tobytes() for row in places]
    width = rows.shape[1] // {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    parts = [
        (b'IHDR', struct.pack('>IIBBBBB', width, len(rows), bits, colour_type, 0, 0, 0)),
        *chunks,
        (b'IDAT', zlib.compress(b''.join(b'\0' + line for line in lines))),
        (b'IEND', b''),
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(map(chunk, parts))


def chunk(part, crc=0):
    kind, content = part
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content) ^ crc)


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
@pytest.mark.parametrize('transparent', [False, True])
def test_gray_pngs(tmp_path, bits, transparent):
    largest = 2**bits - 1
    rows = np.random.default_rng(1).integers(0, largest + 1, (HEIGHT, WIDTH))
    level = int(rows[3, 4])
    chunks = [(b'tRNS', struct.pack('>H', level))] if transparent else []
    dtype = np.uint16 if bits == 16 else np.uint8
    full = np.iinfo(dtype).max
    expected = (rows * (full // largest)).astype(dtype)[..., None]
    if transparent:
        alpha = np.where(rows == level, 0, full).astype(dtype)[..., None]
        expected = np.concatenate([expected, alpha], -1)
    check(write_png(rows, bits, 0, *chunks), expected, tmp_path)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_coloured_pngs(tmp_path, dtype):
    bits, full = np.dtype(dtype).itemsize * 8, np.iinfo(dtype).max
    for colour_type, channels in ((2, 3), (4, 2), (6, 4)):
        pixels = noise(channels, dtype)
        check(write_png(pixels.reshape(HEIGHT, -1), bits, colour_type), pixels, tmp_path)
    pixels = noise(3, dtype)
    pixels[5:9, 7:20] = colour = pixels[0, 0]
    alpha = np.where((pixels == colour).all(-1), 0, full).astype(dtype)
    data = write_png(pixels.reshape(HEIGHT, -1), bits, 2, (b'tRNS', struct.pack('>HHH', *map(int, colour))))
    check(data, np.dstack([pixels, alpha]), tmp_path)


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_pngs_of_a_palette(tmp_path, bits):
    rng = np.random.default_rng(2)
    rows, palette = rng.integers(0, 2**bits, (HEIGHT, WIDTH)), rng.integers(0, 256, (2**bits, 3)).astype(np.uint8)
    check(write_png(rows, bits, 3, (b'PLTE', palette.tobytes())), palette[rows], tmp_path)
    alphas = rng.integers(0, 255, 2**bits).astype(np.uint8)
    data = write_png(rows, bits, 3, (b'PLTE', palette.tobytes()), (b'tRNS', alphas.tobytes()))
    check(data, np.dstack([palette[rows], alphas[rows]]), tmp_path)


@pytest.mark.parametrize('kind', ['LZW', 'deflate', 'uncompressed', '16 bits', 'palette', 'planar'])
def test_half_destroyed_tiffs_are_refused_by_both(kind):
    """Otherwise the rows that are lost would come out black."""
    if kind in ('uncompressed', 'planar'):
        planar = {'planar': 'separate', 'compression': 'zlib'} if kind == 'planar' else {}
        damaged = write_tiff(noise(3), **planar)[: -HEIGHT * WIDTH // 2]
    else:
        img = Image.fromarray(noise(1, np.uint16)[..., 0] if kind == '16 bits' else noise(3))
        file, img = io.BytesIO(), img.quantize(200) if kind == 'palette' else img
        img.save(file, 'TIFF', compression='tiff_adobe_deflate' if kind == 'deflate' else 'tiff_lzw')
        damaged = bytearray(file.getvalue())
        damaged[HEIGHT * WIDTH // 3 : HEIGHT * WIDTH // 2] = b'\xff' * (HEIGHT * WIDTH // 2 - HEIGHT * WIDTH // 3)
        damaged = bytes(damaged)
    for read in (decode_photo, lambda data: decode(data, 'a.tif', allow_gray=True)):
        with pytest.raises(ValueError, match=r'not readable as|could not be decoded'):
            read(damaged)


def test_what_has_no_8_or_16_bits_is_refused(tmp_path):
    for dtype in (np.int8, np.int16, np.uint32, np.float16, np.float32):
        data = write_tiff(np.ones((8, 8, 3), dtype))
        for read in (decode_photo, lambda data: decode(data, 'a.tif', allow_gray=True)):
            with pytest.raises(ValueError, match=r'not readable as|8 or 16 bits a channel were expected'):
                read(data)
    data = write_tiff(np.ones((8, 8, 4), np.uint16), photometric='separated')  # CMYK
    with pytest.raises(ValueError, match=r'8 or 16 bits a channel were expected.*CMYK'):
        decode_photo(data)


def make_cmyk(icc):
    file = io.BytesIO()
    Image.new('CMYK', (8, 8), (0, 255, 255, 0)).save(file, 'JPEG', quality=100, icc_profile=icc)
    return file.getvalue()


@pytest.mark.parametrize('icc', [ICC, b''])
def test_cmyk_is_converted_without_a_profile_that_is_wrong(icc):
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()  # of colours that CMYK has not
    for wrong in (icc, srgb):
        photo = decode_photo(make_cmyk(wrong))
        np.testing.assert_allclose(photo.pixels, np.full((8, 8, 3), [255, 0, 0]), atol=2)
        assert photo.icc is None
        assert photo.warnings == (('its colour profile is damaged and was left out',) if wrong else ())
        np.testing.assert_array_equal(decode(make_cmyk(wrong), 'a.jpg', allow_gray=False), photo.pixels)


@pytest.mark.parametrize('kind', ['JPEG', 'WEBP', 'PNG'])
def test_damaged_exif_does_not_cost_the_picture(kind):
    exif, img = Image.Exif(), Image.fromarray(noise(3)[:8, :8])
    exif[0x010F], exif[0x0132] = 'Maker', '2024:05:06 07:08:09'
    exif.get_ifd(0x8769).update({0x9003: '2024:05:06 07:08:09', 0xA002: 14, 0x829A: 0.01})
    exif.get_ifd(0x8825).update({1: 'N', 2: (1.0, 2.0, 3.0)})
    warnings = []
    for seed in range(200):
        rng, damaged, file = np.random.default_rng(seed), bytearray(exif.tobytes()), io.BytesIO()
        for place in rng.integers(6, len(damaged), 3):
            damaged[place] = rng.integers(256)
        img.save(file, kind, exif=bytes(damaged))
        photo = decode_photo(file.getvalue())
        assert photo.pixels.shape == (8, 8, 3)
        assert encode_photo(photo, '.jpg')
        warnings += photo.warnings
    assert set(warnings) == {'its EXIF is damaged and was left out'}


def test_a_png_with_damaged_metadata_is_read():
    pixels = noise(3)
    texts = [
        chunk((b'tEXt', b'Title\0something'), crc=1),
        chunk((b'zTXt', b'Title\0\0' + zlib.compress(bytes(2**27)))),  # 128 MiB of text in 128 KiB
        chunk((b'gAMA', b'x'), crc=1),
    ]
    sound = write_png(pixels.reshape(HEIGHT, -1), 8, 2)
    for text in texts:
        photo = decode_photo(sound[:33] + text + sound[33:])
        np.testing.assert_array_equal(photo.pixels, pixels)
        assert photo.warnings == ('damaged metadata were left out',)
        assert read_header(sound[:33] + text + sound[33:]).channels == 3
        photo = decode_photo(sound[:-12] + text + sound[-12:])  # behind the pixels
        np.testing.assert_array_equal(photo.pixels, pixels)
    damaged = bytearray(sound)
    damaged[200] ^= 1
    with pytest.raises(ValueError, match='not readable as PNG'):
        decode_photo(bytes(damaged))


@pytest.mark.parametrize('kind', ['PNG', '16 bits', 'AVIF', 'HEIF'])
@pytest.mark.parametrize(
    ('points', 'like'), [((1, 13), True), ((1, 1), True), ((2, 2), True), ((12, 13), False), ((9, 16), False)]
)
def test_colours_that_are_named_and_not_those_of_srgb_are_said(kind, points, like):
    import pillow_heif

    pillow_heif.register_heif_opener()
    file, icc = io.BytesIO(), ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    if kind in ('PNG', '16 bits'):
        bits = 8 if kind == 'PNG' else 16
        pixels = noise(3, np.uint8 if bits == 8 else np.uint16)
        data, profiled = (
            write_png(pixels.reshape(HEIGHT, -1), bits, 2, (b'cICP', bytes([*points, 0, 1])), *more)
            for more in ([], [(b'iCCP', b'x\0\0' + zlib.compress(icc))])
        )
        assert decode_photo(profiled).warnings == ()  # by which the colours are known
    else:
        img = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))
        names = dict(zip(('color_primaries', 'transfer_characteristics'), points))
        img.save(file, kind, **({} if kind == 'AVIF' else {**names, 'save_nclx_profile': True}))
        data = file.getvalue()
        if kind == 'AVIF':  # Pillow writes sRGB's
            assert data.count(b'colrnclx\0\1\0\x0d') == 1
            data = data.replace(b'colrnclx\0\1\0\x0d', b'colrnclx' + struct.pack('>HH', *points))
    said = (
        f'its colours (primaries {points[0]}, transfer {points[1]} of H.273) were taken for sRGB; convert it to sRGB to'
    )
    assert decode_photo(data).warnings == (() if like else (f'{said} keep them',))


@pytest.mark.parametrize(
    'segment',
    [
        (0xE0, b'JFIF\0'),
        (0xE2, b'ICC_PROFILE\0'),
        (0xE2, b'ICC_PROFILE\0\1'),
        (0xEE, b'Adobe\0'),
    ],
)
def test_a_jpeg_with_damaged_metadata_is_read(segment):
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = 6
    Image.fromarray(noise(3)).save(file, 'JPEG', exif=exif)
    sound = file.getvalue()
    marker, content = segment
    damaged = sound[:2] + struct.pack('>BBH', 0xFF, marker, len(content) + 2) + content + sound[2:]
    np.testing.assert_array_equal(decode_photo(damaged).pixels, decode_photo(sound).pixels)
    np.testing.assert_array_equal(decode(damaged, 'a.jpg', False), decode_photo(sound).pixels)
    assert decode_photo(damaged).warnings and read_header(damaged) == read_header(sound)
