import hashlib

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from data_prep.record import encode_png, file_record

PHOTO = astronaut()[:60, 180:250]


@pytest.mark.parametrize('level', [0, 1, 3, 9])
def test_png_is_exact_at_every_level(level):
    for img in (PHOTO, PHOTO[..., 0]):
        read = cv2.imdecode(np.frombuffer(encode_png(img, level), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read if img.ndim == 2 else read[..., ::-1], img)


def test_levels_shrink():
    sizes = [len(encode_png(PHOTO, level)) for level in (0, 1, 9)]
    assert sizes[0] > PHOTO.nbytes > sizes[1] > sizes[2]
    plain = cv2.imencode('.png', PHOTO[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].nbytes
    assert sizes[1] < 1.05 * plain


def test_file_as_it_is(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.b.jpg'), PHOTO[..., ::-1])
    data = (tmp_path / 'a.b.jpg').read_bytes()
    record = file_record(tmp_path / 'a.b.jpg', 'sub/a.b.jpg')
    assert (record.name, record.key, record.shape, record.level) == ('sub/a.b.jpg', 'sub/a.b', (60, 70, 3), 1)
    assert record.data == data and record.digest == hashlib.sha256(data).hexdigest()


def test_gray_stays_gray(tmp_path):
    cv2.imwrite(str(tmp_path / 'g.png'), PHOTO[..., 0])
    with pytest.raises(ValueError, match=r'g\.png is gray'):
        file_record(tmp_path / 'g.png', 'g.png')
    record = file_record(tmp_path / 'g.png', 'g.png', allow_gray=True)
    assert record.shape == (60, 70, 1)
    read = cv2.imdecode(np.frombuffer(record.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, PHOTO[..., 0])
