import io
import struct
import sys

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from stea_arch.images import encode
from stea_arch.images.decode import ORIENTATION, Photo, decode_photo, read_header, read_photo
from stea_arch.images.encode import encode_photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
GRAY_PROFILE = SRGB[:16] + b'GRAY' + SRGB[20:]  # the colour space stands there, ICC.1:2010, 7.2


def make_pixels(height=9, width=14, channels=3, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)


def smooth_pixels(channels):
    ramp = np.linspace(30, 220, 64).astype(np.uint8)
    planes = [np.tile(ramp, (48, 1)), np.tile(ramp[:48, None], (1, 64)), np.full((48, 64), 90, np.uint8)]
    return np.stack([*planes, np.tile(ramp, (48, 1))][:channels], -1)


def read_bytes(data, tmp_path, name):
    (tmp_path / name).write_bytes(data)
    return read_photo(tmp_path / name)


@pytest.mark.parametrize('extension', ['.png', '.tif'])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_lossless_files_come_back_exactly(tmp_path, channels, dtype, extension):
    pixels = make_pixels(channels=channels, dtype=dtype)
    photo = read_bytes(encode_photo(Photo(pixels), extension), tmp_path, f'a{extension}')
    expected = pixels
    if (dtype, channels, extension) == (np.uint16, 2, '.tif'):  # written as RGBA, as Pillow cannot read the other
        expected = pixels[..., [0, 0, 0, 1]]
    assert photo.pixels.dtype == dtype
    np.testing.assert_array_equal(photo.pixels, expected)


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
@pytest.mark.parametrize('large', [False, True])
def test_other_programs_read_our_16_bits(monkeypatch, channels, large):
    if large:
        monkeypatch.setattr(encode, 'IDAT_BYTES', 100)
        monkeypatch.setattr(encode, 'BIG_TIFF', 100)
    pixels = make_pixels(channels=channels, dtype=np.uint16)
    data = encode_photo(Photo(pixels), '.png')
    lengths = [int.from_bytes(part[-4:], 'big') for part in data.split(b'IDAT')[:-1]]
    assert (len(lengths) > 1) == large and (max(lengths) <= 100 or not large)
    png = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    np.testing.assert_array_equal(png.reshape(9, 14, -1), pixels[..., order])
    data = encode_photo(Photo(pixels), '.tiff')
    assert struct.unpack_from('<H', data, 2)[0] == (43 if large else 42)  # of BigTIFF, and of TIFF 6.0
    tiff = tifffile.imread(io.BytesIO(data))
    np.testing.assert_array_equal(tiff.reshape(9, 14, -1), pixels[..., [0, 0, 0, 1]] if channels == 2 else pixels)


@pytest.mark.parametrize('extension', ['.jpg', '.jpeg', '.webp', '.avif', '.JPG'])
@pytest.mark.parametrize('channels', [1, 3])
def test_lossy_files_come_back_closely(tmp_path, channels, extension):
    pixels = smooth_pixels(channels)
    for photo in (Photo(pixels), Photo(pixels.astype(np.uint16) * 257)):
        found = read_bytes(encode_photo(photo, extension), tmp_path, f'a{extension}').pixels
        assert found.dtype == np.uint8
        if extension in ('.webp', '.avif'):
            assert found.shape[2] == 3  # they know no gray
        else:
            assert found.shape == pixels.shape
        assert np.abs(found.astype(int) - pixels).mean() < 2


def test_webp_keeps_transparency_and_jpeg_refuses_it(tmp_path):
    pixels = smooth_pixels(4)
    found = read_bytes(encode_photo(Photo(pixels), '.webp'), tmp_path, 'a.webp').pixels
    np.testing.assert_array_equal(found[..., 3], pixels[..., 3])
    for channels in (2, 4):
        with pytest.raises(ValueError, match=r'JPEG cannot hold its transparency.*--format png'):
            encode_photo(Photo(make_pixels(channels=channels)), '.jpg')
        opaque = np.dstack([smooth_pixels(channels - 1), np.full((48, 64), 255, np.uint8)])
        assert read_bytes(encode_photo(Photo(opaque), '.jpg'), tmp_path, 'a.jpg').pixels.shape == (48, 64, channels - 1)


@pytest.mark.parametrize(('extension', 'width'), [('.jpg', 65501), ('.webp', 16384), ('.avif', 65537)])
def test_what_a_format_cannot_hold_is_said(extension, width):
    with pytest.raises(ValueError, match=rf'can be {width - 1} pixels wide.* has {width}x1; .*--format png'):
        encode_photo(Photo(np.zeros((1, width, 3), np.uint8)), extension)


@pytest.mark.parametrize('extension', ['.png', '.jpg', '.webp', '.avif', '.tif'])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_profile_and_exif_survive(tmp_path, extension, dtype):
    exif = Image.Exif()
    exif[0x010F], exif[ORIENTATION] = 'Maker', 1  # 0x010F: who made the camera
    exif.get_ifd(0x8769).update({0x9003: '2024:05:06 07:08:09', 0xA002: 14})  # when, and how many pixels wide
    pixels = make_pixels(dtype=dtype)
    data = encode_photo(Photo(pixels, SRGB, exif.tobytes()), extension)
    photo = read_bytes(data, tmp_path, f'a{extension}')
    assert photo.icc == SRGB
    again = Image.open(io.BytesIO(encode_photo(photo, extension)))
    assert again.info['icc_profile'] == SRGB
    if extension != '.tif':
        assert again.getexif()[0x010F] == 'Maker'
        assert dict(again.getexif().get_ifd(0x8769)) == {0x9003: '2024:05:06 07:08:09'}
        assert ORIENTATION not in again.getexif()


XMP = (
    b'<x:xmpmeta><rdf:Description tiff:Orientation="8" dc:title="x"/><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
)
IPTC = b'\x1c\x02\x78\0\5words'
METADATA = {  # what each format has a place for
    '.png': {'xmp', 'dpi', 'gamma'},
    '.jpg': {'xmp', 'dpi', 'iptc'},
    '.webp': {'xmp'},
    '.avif': {'xmp'},
    '.tif': {'xmp', 'dpi', 'iptc'},
    '.bmp': {'dpi'},
}


@pytest.mark.parametrize('extension', METADATA)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_other_programs_read_our_metadata_and_so_do_we(extension, dtype):
    given = {
        'xmp': XMP,
        'iptc': IPTC,
        'dpi': (300.0, 150.0),
        'gamma': (0.5, (0.31, 0.33, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)),
    }
    data = encode_photo(Photo(make_pixels(dtype=dtype), **given), extension)
    if dtype == np.uint8 or extension != '.tif':  # of 16 bits of colour Pillow reads no TIFF
        img = Image.open(io.BytesIO(data))
        xmp = img.tag_v2.get(700) if extension == '.tif' else img.info.get('xmp')
        assert (xmp == XMP) == ('xmp' in METADATA[extension])
        if extension == '.jpg':
            assert img.info['photoshop'][0x0404] == IPTC
        if extension == '.tif':
            assert img.tag_v2[33723] == IPTC
        if 'dpi' in METADATA[extension]:
            assert img.info['dpi'] == pytest.approx((300, 150), abs=0.02)
        if extension == '.png':
            assert (img.info['gamma'], img.info['chromaticity']) == given['gamma']
    photo = decode_photo(data)
    upright = XMP.replace(b'"8"', b'"1"').replace(b'>6<', b'>1<')  # for pixels that stand upright now
    assert photo.xmp == (upright if 'xmp' in METADATA[extension] else b'')
    assert photo.iptc == (IPTC if 'iptc' in METADATA[extension] else b'')
    assert photo.dpi == (pytest.approx((300, 150), abs=0.02) if 'dpi' in METADATA[extension] else None)
    assert photo.gamma == (given['gamma'] if extension == '.png' else None)


def test_captions_of_phones_that_keep_several_pictures_in_a_jpeg():
    img, file = Image.fromarray(smooth_pixels(3)), io.BytesIO()
    img.save(file, 'MPO', save_all=True, append_images=[img])
    marked = encode_photo(Photo(smooth_pixels(3), iptc=IPTC), '.jpg')
    start = marked.index(b'\xff\xed')
    segment = marked[start : start + 2 + struct.unpack_from('>H', marked, start + 2)[0]]
    data = file.getvalue()[:2] + segment + file.getvalue()[2:]
    assert Image.open(io.BytesIO(data)).format == 'MPO' and decode_photo(data).iptc == IPTC


def test_a_jpeg_leaves_out_what_is_too_long_for_it():
    for name in ('exif', 'xmp', 'iptc'):
        data = encode_photo(Photo(smooth_pixels(3), **{name: b'Exif\0\0' + bytes(2**16)}), '.jpg')
        assert len(data) < 2**15
        Image.open(io.BytesIO(data)).load()


@pytest.mark.parametrize('extension', METADATA)
@pytest.mark.parametrize('gamma', [(1e5, None), (0.5, (1e5,) * 8)])
def test_numbers_that_are_too_large_for_a_format_are_left_out(extension, gamma):
    photo = decode_photo(encode_photo(Photo(make_pixels(dtype=np.uint8), dpi=(300, 5e9), gamma=gamma), extension))
    assert photo.gamma is None and photo.dpi in (None, pytest.approx((96, 96), abs=0.02))  # what Pillow takes in a BMP


def test_a_profile_stands_in_for_gamma():
    data = encode_photo(Photo(make_pixels(), SRGB, gamma=(0.5, None)), '.png')
    assert b'gAMA' not in data and b'iCCP' in data


@pytest.mark.parametrize('kind', ['HEIF', 'JXL', 'AVIF', 'BMP'])
@pytest.mark.parametrize('orientation', [1, 6])
def test_phones_and_new_formats(tmp_path, kind, orientation):
    import pillow_heif
    import pillow_jxl  # noqa: F401

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x010F], exif[ORIENTATION] = 'Maker', orientation
    pixels = smooth_pixels(3)
    options = {} if kind == 'BMP' else {'quality': 95, 'exif': exif.tobytes()}
    Image.fromarray(pixels).save(tmp_path / 'a', kind, **options)
    photo, header = read_photo(tmp_path / 'a'), read_header(tmp_path / 'a')
    turned = orientation == 6 and kind in ('HEIF', 'AVIF')  # JPEG XL has an orientation of its own, and EXIF's is idle
    expected = np.rot90(pixels, -1) if turned else pixels
    assert photo.pixels.shape == expected.shape == (header.height, header.width, header.channels)
    assert np.abs(photo.pixels.astype(int) - expected).mean() < 2
    assert kind == 'BMP' or b'Maker' in photo.exif


@pytest.mark.parametrize(('start', 'kind'), [(b'\0\0\0\x18ftypheic', 'HEIC'), (b'\xff\x0a', 'JPEG XL')])
def test_a_package_that_is_missing_is_named(monkeypatch, start, kind):
    for module in ('pillow_heif', 'pillow_jxl'):
        monkeypatch.setitem(sys.modules, module, None)
    for read in (decode_photo, read_header):
        with pytest.raises(ValueError, match=rf'to read {kind}, install .*: pip install "stea_arch\[formats\]"'):
            read(start + bytes(40))


@pytest.mark.parametrize(
    ('channels', 'extension', 'profile', 'kept'),
    [
        (1, '.png', GRAY_PROFILE, True),
        (1, '.png', SRGB, False),  # PNG forbids it
        (1, '.jpg', SRGB, True),
        (1, '.webp', GRAY_PROFILE, False),  # as it becomes RGB
        (1, '.webp', SRGB, True),
        (3, '.png', SRGB, True),
    ],
)
def test_a_profile_stands_only_where_it_fits(channels, extension, profile, kept):
    data = encode_photo(Photo(smooth_pixels(channels), profile), extension)
    assert Image.open(io.BytesIO(data)).info.get('icc_profile') == (profile if kept else None)


def test_lab_becomes_opaque_rgb(tmp_path):
    Image.new('LAB', (8, 8), (128, 128, 128)).save(tmp_path / 'gray.tif')
    pixels = read_photo(tmp_path / 'gray.tif').pixels
    assert pixels.shape == (8, 8, 3)
    np.testing.assert_allclose(pixels, 119, atol=2)  # L* = 50.2 in sRGB


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_premultiplied_transparency_becomes_straight(tmp_path, dtype):
    largest = np.iinfo(dtype).max
    straight, alpha = make_pixels(dtype=dtype), make_pixels(channels=1, dtype=dtype, seed=1)
    alpha = np.maximum(alpha, largest // 2)
    alpha[0] = 0
    multiplied = (straight.astype(np.float64) * alpha / largest).round().astype(dtype)
    pixels = np.concatenate([multiplied, alpha], -1)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='rgb', extrasamples=['assocalpha'])
    found = read_photo(tmp_path / 'a.tif').pixels
    np.testing.assert_array_equal(found[..., 3:], alpha)
    np.testing.assert_allclose(found[1:, :, :3], straight[1:], atol=3)


def broken_files():
    png = encode_photo(Photo(make_pixels(40, 40)), '.png')
    jpg = encode_photo(Photo(smooth_pixels(3)), '.jpg')
    deep = encode_photo(Photo(make_pixels(40, 40, dtype=np.uint16)), '.png')
    huge = png[:16] + struct.pack('>II', 60000, 60000) + png[24:]
    long = encode_photo(Photo(np.zeros((2**20 + 1, 1, 1), np.uint16)), '.png')  # OpenCV has an exception of its own
    tiff = encode_photo(Photo(make_pixels()), '.tif').replace(struct.pack('<HHI', 256, 4, 1), bytes(8), 1)
    return {
        'empty': b'',
        'text': b'no image',
        'cut png': png[:1500],
        'cut jpg': jpg[:600],
        'cut deep': deep[:60],
        'half deep': deep[: len(deep) // 2],
        'deep without its end': deep[:-200],
        'huge': huge,
        'long deep': long,
        'tiff without a width': tiff,
    }


@pytest.mark.parametrize('case', broken_files())
def test_broken_files_are_refused(tmp_path, case):
    with pytest.raises(ValueError, match=r'not readable as PNG, JPEG, WebP, AVIF, TIFF or BMP|could not be decoded'):
        read_bytes(broken_files()[case], tmp_path, 'a.png')


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(make_pixels(seed=seed)) for seed in (0, 1)]
    frames[0].save(tmp_path / 'a.webp', save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r'still image was expected.* 2 frames'):
        read_photo(tmp_path / 'a.webp')


@pytest.mark.parametrize(
    ('dtype', 'bits', 'found'),
    [
        (np.float32, 32, '32 bits in floating point'),
        (np.float16, 16, '16 bits in f'),
        (np.uint32, 32, '32'),
        (None, 12, '12'),
    ],
)
@pytest.mark.parametrize('channels', [1, 3])
def test_the_bits_that_are_refused_are_named(dtype, bits, found, channels):
    file, kind, shape = io.BytesIO(), *(('rgb', (8, 8, 3)) if channels == 3 else ('minisblack', (8, 8)))
    tifffile.imwrite(file, np.ones(shape, dtype or np.uint16), photometric=kind)
    data = file.getvalue()
    if bits == 12:  # what tifffile cannot write: its header says 16
        old, new = (struct.pack(f'<{channels}H', *[value] * channels) for value in (16, 12))
        place = data.index(struct.pack('<HHI', 258, 3, channels)) + 8
        place = struct.unpack_from('<I', data, place)[0] if channels == 3 else place
        assert data[place : place + len(old)] == old
        data = data[:place] + new + data[place + len(old) :]
    for read in (decode_photo, read_header):
        with pytest.raises(ValueError, match=f'8 or 16 bits a channel were expected, got {found}'):
            read(data)
