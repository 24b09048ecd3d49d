import numpy as np
import pytest
import torch
from basicsr.utils.img_process_util import filter2D
from scipy.ndimage import correlate, correlate1d

from stea_arch.degradations.blur import blur, blur_batch, matrix_after_blur
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


def kernels(number, size, seed=0):
    """Random weights without any symmetry: a flipped or shifted kernel would show."""
    weights = torch.rand(number, size, size, generator=torch.Generator().manual_seed(seed))
    return weights / weights.sum((1, 2), keepdim=True)


@pytest.mark.parametrize('size', [7, 21])
@pytest.mark.parametrize('shape', [(2, 3, 40, 33), (3, 1, 22, 47), (1, 3, 31, 31)])
def test_equals_basicsr(size, shape):
    img = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    weights = kernels(shape[0], size)
    assert (blur_batch(img, weights) - filter2D(img, weights)).abs().max() < 2e-6


def test_one_kernel_for_all_and_any_memory_layout():
    img = torch.rand(3, 24, 26, 3).permute(0, 3, 1, 2)
    weights = kernels(1, 9)
    assert (blur_batch(img, weights) - filter2D(img.contiguous(), weights)).abs().max() < 2e-6


@pytest.mark.parametrize('shape', [(5, 8), (1, 12), (3, 1)])
def test_images_smaller_than_the_kernel(shape):
    img, weights = torch.rand(2, 3, *shape), kernels(2, 21)
    for blurred, sample, kernel in zip(blur_batch(img, weights), img, weights):
        expected = correlate(sample.double().numpy(), kernel.double().numpy()[None], mode='mirror')
        np.testing.assert_allclose(blurred.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize('wrong', [(2, 21, 21), (3, 20, 20), (21, 21)])
def test_refuses_other_shapes(wrong):
    with pytest.raises(ValueError, match=r'one kernel \(K, K\) for each, K odd, got'):
        blur_batch(torch.rand(3, 3, 32, 32), torch.rand(wrong))
