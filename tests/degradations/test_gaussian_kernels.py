import cv2
import numpy as np
import pytest
from basicsr.data.degradations import bivariate_Gaussian
from scipy.stats import multivariate_normal

from stea_arch.degradations.gaussian_kernels import anisotropic_kernel, disturb, isotropic_factor, isotropic_kernel


@pytest.mark.parametrize('size', [1, 3, 11, 21, 31])
@pytest.mark.parametrize('sigma', [0.2, 1.8, 4.0])
def test_isotropic_equals_opencv(size, sigma):
    factor = cv2.getGaussianKernel(size, sigma)
    np.testing.assert_allclose(isotropic_factor(size, sigma), factor[:, 0], atol=1e-12)
    np.testing.assert_allclose(isotropic_kernel(size, sigma), factor @ factor.T, atol=1e-12)


@pytest.mark.parametrize('theta', [0.0, 0.4, 1.3, 3.0])
@pytest.mark.parametrize('sigmas', [(0.6, 5.0), (3.0, 1.2), (2.0, 2.0)])
def test_anisotropic_equals_basicsr_and_scipy(theta, sigmas):
    kernel = anisotropic_kernel(21, *sigmas, theta)
    np.testing.assert_allclose(kernel, bivariate_Gaussian(21, *sigmas, theta, isotropic=False), atol=1e-12)
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    density = multivariate_normal([0, 0], turn @ np.diag(np.square(sigmas)) @ turn.T)
    x, y = np.meshgrid(np.arange(-10, 11), np.arange(-10, 11))
    weights = density.pdf(np.stack([x, y], -1))
    np.testing.assert_allclose(kernel, weights / weights.sum(), atol=1e-10)


def test_disturbance_is_bounded_seeded_and_normalised():
    kernel = isotropic_kernel(21, 3.0)
    disturbed = disturb(kernel, 0.25, np.random.default_rng(3))
    ratio = disturbed / kernel
    assert disturbed.sum() == pytest.approx(1, abs=1e-12)
    assert 1.2 < ratio.max() / ratio.min() <= 1.25
    np.testing.assert_array_equal(disturbed, disturb(kernel, 0.25, np.random.default_rng(3)))
    np.testing.assert_allclose(disturb(kernel, 0, np.random.default_rng(3)), kernel, atol=1e-15)


@pytest.mark.parametrize('size', [0, -1, 20])
def test_refuses_size_without_centre(size):
    for make in (lambda: isotropic_kernel(size, 1.0), lambda: anisotropic_kernel(size, 1.0, 2.0, 0.0)):
        with pytest.raises(ValueError, match=f'odd whole number of pixels.* got {size}'):
            make()


@pytest.mark.parametrize('sigma', [0, -1.0, float('nan'), float('inf')])
def test_refuses_impossible_sigma(sigma):
    for make in (lambda: isotropic_factor(21, sigma), lambda: anisotropic_kernel(21, 1.0, sigma, 0.0)):
        with pytest.raises(ValueError, match='positive number of pixels'):
            make()


def test_refuses_impossible_angle_and_level():
    with pytest.raises(ValueError, match=r'finite angle in radians, got nan'):
        anisotropic_kernel(21, 1.0, 2.0, float('nan'))
    with pytest.raises(ValueError, match=r'at least 0, got -0.1'):
        disturb(isotropic_kernel(3, 1.0), -0.1, np.random.default_rng(0))
