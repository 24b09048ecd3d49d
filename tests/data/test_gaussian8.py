import numpy as np
import pytest

from stea_arch.data.gaussian8 import gaussian8


@pytest.mark.parametrize(
    ('scale', 'sigmas'),
    [
        (2, [0.80, 0.914286, 1.028571, 1.142857, 1.257143, 1.371429, 1.485714, 1.60]),
        (3, [1.35, 1.50, 1.65, 1.80, 1.95, 2.10, 2.25, 2.40]),
        (4, [1.80, 2.00, 2.20, 2.40, 2.60, 2.80, 3.00, 3.20]),
    ],
)
def test_published_kernels(scale, sigmas):
    kernels = gaussian8(scale)
    assert list(kernels) == [f'sigma{sigma:.2f}' for sigma in sigmas]
    np.testing.assert_allclose([params.sigma_x for params in kernels.values()], sigmas, atol=1e-6)
    assert all(params.separable and params.kernel_size == 21 and not params.noise_sigma for params in kernels.values())


def test_names_stay_apart_and_one_kernel_is_possible():
    assert list(gaussian8(4, sigma_range=[1, 1.01], num_kernels=3)) == ['sigma1.000', 'sigma1.005', 'sigma1.010']
    assert list(gaussian8(4, sigma_range=[2.6, 2.6], num_kernels=1)) == ['sigma2.60']


@pytest.mark.parametrize(
    'options',
    [
        {'num_kernels': 0},
        {'num_kernels': 2.0},
        {'num_kernels': 1},
        {'sigma_range': [2, 2]},
    ],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=r'num_kernels must be a whole number above 1, .*got'):
        gaussian8(4, **options)
