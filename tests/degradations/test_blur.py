import numpy as np
import pytest
from scipy.ndimage import correlate, correlate1d

from stea_arch.degradations.blur import blur, matrix_after_blur
from stea_arch.degradations.gaussian_kernels import isotropic_factor
from stea_arch.degradations.resize import resize_matrix


@pytest.mark.parametrize('shape', [(64, 64, 3), (33, 50, 1), (7, 5, 3), (1, 4, 3)])
@pytest.mark.parametrize('size', [1, 3, 21])
def test_equals_scipy_correlation(shape, size):
    rng = np.random.default_rng(0)
    img, kernel = rng.random(shape, dtype=np.float32), rng.random((size, size))
    kernel /= kernel.sum()
    expected = correlate(img.astype(np.float64), kernel[..., None], mode='mirror')
    np.testing.assert_allclose(blur(img, kernel).transpose(1, 2, 0), expected, rtol=0, atol=2e-6)


def test_broken_values_do_not_reach_the_next_image():
    kernel = np.full((5, 5), 1 / 25)
    blur(np.full((10, 13, 3), np.nan, np.float32), kernel)
    np.testing.assert_allclose(blur(np.ones((10, 13, 3), np.float32), kernel), 1, atol=1e-6)


@pytest.mark.parametrize('length', [4, 12, 60])
def test_matrix_after_blur_equals_blur_then_matrix(length):
    factor, matrix = isotropic_factor(21, 2.3), resize_matrix(length, length // 4)
    signal = np.random.default_rng(0).random(length)
    expected = matrix @ correlate1d(signal, factor, mode='mirror')
    np.testing.assert_allclose(matrix_after_blur(matrix, factor) @ signal, expected, atol=1e-12)
