import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from stea_arch.images.decode import Photo
from stea_arch.results.picture import MARGIN
from stea_arch.upscaling.compare import make_comparison


def photos(channels=3, dtype=np.uint8):
    rng = np.random.default_rng(3)
    largest = np.iinfo(dtype).max
    return [Photo(rng.integers(0, largest + 1, (h, w, channels)).astype(dtype)) for h, w in ((60, 90), (120, 180))]


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_both_side_by_side(channels, dtype):
    before, after = photos(channels, dtype)
    picture = np.asarray(Image.open(io.BytesIO(make_comparison(before, after, 'png', 'name'))))
    assert picture.shape[1] == 360 + 3 * MARGIN
    left, right = (picture[MARGIN : MARGIN + 120, x : x + 180] for x in (MARGIN, 180 + 2 * MARGIN))
    if channels == 3:
        eight_bits = [np.round(photo.pixels / (257 if dtype == np.uint16 else 1)) for photo in (before, after)]
        np.testing.assert_array_equal(right, eight_bits[1])
        enlarged = Image.fromarray(eight_bits[0].astype(np.uint8)).resize((180, 120), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(left, enlarged)
    assert (picture[MARGIN + 120 :] < 128).any()  # the text


def test_transparency_lies_on_white():
    clear = [Photo(np.zeros((size, size, 4), np.uint8)) for size in (10, 20)]
    picture = np.asarray(Image.open(io.BytesIO(make_comparison(*clear, 'png', ''))))
    assert (picture[: MARGIN + 20] == 255).all()


def test_the_page_holds_both_images_and_needs_nothing_else():
    before, after = photos()
    page = make_comparison(before, after, 'html', '<b>.png').decode()
    assert '{{' not in page and 'http' not in page
    assert '<title>&lt;b&gt;.png</title>' in page
    assert 'width="180" height="120"' in page
    inside = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]
    found = [np.asarray(Image.open(io.BytesIO(data))) for data in inside]
    np.testing.assert_array_equal(found[0], after.pixels)
    np.testing.assert_array_equal(found[1], before.pixels)
