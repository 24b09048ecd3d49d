import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from data_prep.multiscale import copies, copy_sizes


def real_esrgan_sizes(width, height):
    """By the rule of Real-ESRGAN's generate_multiscale_DF2K.py; (width, height)."""
    sizes = [(int(width * scale), int(height * scale)) for scale in (0.75, 0.5, 1 / 3)]
    if width < height:
        return [*sizes, (400, int(400 * (height / width)))]
    return [*sizes, (int(400 * (width / height)), 400)]


@pytest.mark.parametrize(('height', 'width'), [(1404, 2040), (2040, 1356), (1000, 1000), (649, 2041), (500, 399)])
def test_sizes_are_real_esrgans(height, width):
    expected = [(f'T{i}', (rows, columns)) for i, (columns, rows) in enumerate(real_esrgan_sizes(width, height))]
    expected = [(name, size) for name, size in expected if min(size) <= min(height, width)]  # no enlargement
    assert copy_sizes(height, width, 1) == expected
    assert copy_sizes(height, width, 400) == [(name, size) for name, size in expected if min(size) >= 400]


def test_pixels_are_pillows_lanczos():
    img = astronaut()
    made = dict(copies(img, 200))
    assert list(made) == ['T0', 'T1', 'T3']  # T2 would have 170 pixels
    for name, side in (('T0', 384), ('T1', 256), ('T3', 400)):
        expected = Image.fromarray(img).resize((side, side), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(made[name], np.asarray(expected))
