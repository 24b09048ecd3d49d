import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from stea_arch.data.image_io import check_stems, decode, list_images, read_header, stem

PHOTO = astronaut()[:40, 200:256]


def encoded(img, extension):
    return cv2.imencode(extension, img)[1].tobytes()


@pytest.mark.parametrize('extension', ['.png', '.bmp', '.tif', '.webp'])
def test_lossless_formats_decode_exactly(extension):
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if extension == '.webp' else []
    data = cv2.imencode(extension, PHOTO[..., ::-1], options)[1].tobytes()
    img = decode(data, 'photo', allow_gray=False)
    assert img.dtype == np.uint8
    np.testing.assert_array_equal(img, PHOTO)


def test_jpeg_decodes_as_pillow_does(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / 'p.jpg', quality=95, subsampling=0)
    img = decode((tmp_path / 'p.jpg').read_bytes(), 'p.jpg', allow_gray=False)
    assert np.abs(img.astype(int) - np.asarray(Image.open(tmp_path / 'p.jpg'))).max() <= 2


def test_jpeg_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(tmp_path / 'p.jpg', quality=95, subsampling=0, exif=exif)
    assert decode((tmp_path / 'p.jpg').read_bytes(), 'p.jpg', allow_gray=False).shape == (56, 40, 3)
    assert read_header(tmp_path / 'p.jpg') == (56, 40, 3, 8)


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
def test_gray_is_three_equal_channels_or_refused(extension):
    data = encoded(PHOTO[..., 0], extension)
    img = decode(data, 'bridge', allow_gray=True)
    assert img.shape == (40, 56, 3)
    assert (img[..., 0] == img[..., 1]).all() and (img[..., 0] == img[..., 2]).all()
    with pytest.raises(ValueError, match=r'RGB image was expected for training, but bridge is gray.*Convert it'):
        decode(data, 'bridge', allow_gray=False)


def test_refuses_other_kinds():
    with pytest.raises(ValueError, match=r'8 bits a channel was expected, but deep has 16\. Convert'):
        decode(encoded(PHOTO.astype(np.uint16), '.png'), 'deep', allow_gray=True)
    with pytest.raises(ValueError, match=r'8 bits a channel was expected, but deep has 16'):
        decode(encoded(PHOTO[..., 0].astype(np.uint16), '.png'), 'deep', allow_gray=True)
    with pytest.raises(ValueError, match='but clear has 4: transparency cannot be used'):
        decode(encoded(np.dstack([PHOTO, PHOTO[..., :1]]), '.png'), 'clear', allow_gray=True)


@pytest.mark.parametrize('data', [b'', b'text', encoded(PHOTO, '.png')[:60]])
def test_refuses_broken(data):
    with pytest.raises(ValueError, match=r'in some/photo.png, but its \d+ bytes could not be decoded'):
        decode(data, 'some/photo.png', allow_gray=True)


def test_a_header_that_promises_too_much_is_broken_too():
    data = bytearray(encoded(PHOTO, '.png'))
    data[16:24] = (1 << 20).to_bytes(4, 'big') * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    with pytest.raises(ValueError, match=r'in huge, but its \d+ bytes could not be decoded'):
        decode(bytes(data), 'huge', allow_gray=True)


def test_lists_images_sorted_without_hidden_ones(tmp_path):
    for name in ('b.PNG', 'a.v2.jpg', '.hidden.png', 'notes.txt', 'c.webp'):
        (tmp_path / name).touch()
    (tmp_path / 'folder.png').mkdir()
    assert list_images(str(tmp_path)) == ['a.v2.jpg', 'b.PNG', 'c.webp']


def test_lists_sub_folders_on_request(tmp_path):
    for name in ('b.png', 'a/c.png', 'a/deep.er/d.png', '.hidden/e.png', 'a/.f.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(str(tmp_path), sub_folders=True) == ['a/c.png', 'a/deep.er/d.png', 'b.png']
    assert list_images(str(tmp_path)) == ['b.png']


def test_links_are_followed_but_not_in_circles_and_lost_images_are_not_forgotten(tmp_path):
    (tmp_path / 'f' / 'sub').mkdir(parents=True)
    (tmp_path / 'f' / 'a.png').touch()
    targets = {
        'b.png': 'a.png',
        'sub/up': '..',
        'other': 'sub',
        'lost.png': 'nowhere',
        'self.png': 'self.png',
        'gone': 'x',
    }
    for link, target in targets.items():
        (tmp_path / 'f' / link).symlink_to(target)
    (tmp_path / 'f' / 'sub' / 'c.png').touch()
    here = ['a.png', 'b.png', 'lost.png', 'self.png']
    assert list_images(str(tmp_path / 'f')) == here
    assert list_images(str(tmp_path / 'f'), sub_folders=True) == sorted([*here, 'sub/c.png', 'other/c.png'])


def test_list_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'A folder of images was expected at .*none'):
        list_images(str(tmp_path / 'none'))
    with pytest.raises(ValueError, match=r'At least one image .* was expected in'):
        list_images(str(tmp_path))
    (tmp_path / 'a.png').touch()
    (tmp_path / 'a.jpg').touch()
    with pytest.raises(ValueError, match=r'has a.jpg and a.png: the result of one would overwrite'):
        list_images(str(tmp_path))


def test_stems_keep_inner_dots():
    assert [stem(name) for name in ('a.b.png', 'a.b', 'a.JPEG', 'x/a.v2.webp')] == ['a.b', 'a.b', 'a', 'x/a.v2']
    check_stems(['a.b.png', 'a.c.png', 'x/a.b.png'], 'list')


def test_a_file_without_a_header_is_named(tmp_path):
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(ValueError, match=r'expected in .*text.png, but it could not be recognised'):
        read_header(tmp_path / 'text.png')
