import dataclasses
import json

import numpy as np
import pytest
from basicsr.utils.matlab_functions import imresize as basicsr_imresize
from scipy.ndimage import correlate
from skimage.data import astronaut

from stea_arch.degradations.classical import ClassicalParams, ClassicalSampler, degrade
from stea_arch.degradations.resize import imresize

SETTING_2 = {'kernel_type': 'anisotropic', 'kernel_size': 31, 'kernel_noise': 0.25}


def photograph(height, width):
    return astronaut()[60 : 60 + height, 150 : 150 + width].astype(np.float32) / np.float32(255)


def plainly(gt, params, imresize=basicsr_imresize):
    """Blur by scipy, shrink by BasicSR, without rounding; in 8-bit steps."""
    blurred = correlate(gt.astype(np.float64), params.kernel()[..., None], mode='mirror').astype(np.float32)
    return imresize(blurred, 1 / params.scale).clip(0, 1) * 255


@pytest.mark.parametrize('scale', [2, 3, 4])
@pytest.mark.parametrize('size', [(48, 48), (36, 60), (12, 24)])
@pytest.mark.parametrize('setting', [{}, SETTING_2, {'kernel_noise': 0.1}])
def test_equals_the_plain_way(scale, size, setting):
    gt, rng = photograph(*size), np.random.default_rng(scale)
    for _ in range(3):
        params = ClassicalSampler(scale, **setting)(rng)
        lq = degrade(gt, params)
        expected = plainly(gt, params)
        assert lq.dtype == np.float32 and lq.shape == expected.shape
        assert np.abs(lq * 255 - expected).max() < 0.5 + 1e-3  # rounding, and nothing else
        np.testing.assert_array_equal(lq, np.rint(lq * 255) / np.float32(255))


@pytest.mark.parametrize('size', [(4, 4), (4, 8), (8, 12)])
def test_images_smaller_than_the_kernel(size):
    gt = photograph(*size)
    for params in (ClassicalParams(4, 21, 2.0, 2.0), ClassicalParams(4, 21, 2.0, 3.0, 0.5)):
        expected = plainly(gt, params, imresize)  # BasicSR's cannot shrink what is shorter than its border
        assert np.abs(degrade(gt, params) * 255 - expected).max() < 0.5 + 1e-3


@pytest.mark.parametrize('setting', [{}, {**SETTING_2, 'noise_range': [5, 15]}])
def test_parameters_replay_through_json(setting):
    params = ClassicalSampler(4, **setting)(np.random.default_rng(7))
    again = ClassicalParams(**json.loads(json.dumps(dataclasses.asdict(params))))
    gt = photograph(32, 32)
    assert again == params
    np.testing.assert_array_equal(degrade(gt, params), degrade(gt, again))


def test_sampler_is_seeded_and_covers_its_ranges():
    sampler = ClassicalSampler(4, 'anisotropic', 31, [0.6, 5], 0.25, [0, 15])
    draws = [sampler(np.random.default_rng((1, number))) for number in range(300)]
    assert draws == [sampler(np.random.default_rng((1, number))) for number in range(300)]
    for name, low, high in (('sigma_x', 0.6, 5), ('sigma_y', 0.6, 5), ('theta', 0, np.pi), ('noise_sigma', 0, 15)):
        values = np.array([getattr(params, name) for params in draws])
        tenth = (high - low) / 10
        assert low <= values.min() < low + tenth and high - tenth < values.max() <= high, name
    assert abs(np.corrcoef([(p.sigma_x, p.sigma_y) for p in draws], rowvar=False)[0, 1]) < 0.2
    assert {params.kernel_noise for params in draws} == {0.25}


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_published_defaults(scale):
    assert ClassicalSampler(scale).sigma_range == (0.2, float(scale))
    assert ClassicalSampler(scale, 'anisotropic').sigma_range == (0.6, 5.0)
    params = ClassicalSampler(scale)(np.random.default_rng(0))
    assert params.separable and params.noise_sigma == 0 and params.kernel_size == 21


def test_noise_has_its_sigma_and_comes_before_rounding():
    gt = np.full((256, 256, 3), 0.5, np.float32)
    lq = degrade(gt, ClassicalParams(2, 21, 1.0, 1.0, noise_sigma=10.0, seed=3))
    assert (lq * 255).std() == pytest.approx(10, rel=0.02)
    assert (lq * 255).mean() == pytest.approx(127.5, abs=0.2)
    np.testing.assert_array_equal(lq, np.rint(lq * 255) / np.float32(255))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'scale': 5}, 'scale must be 2, 3 or 4, got 5'),
        ({'kernel_type': 'motion'}, "kernel_type must be one of isotropic, anisotropic, got 'motion'"),
        ({'kernel_size': 20}, 'kernel_size must be an odd whole number of pixels, got 20'),
        ({'kernel_size': 21.0}, 'kernel_size must be an odd whole number'),
        (
            {'sigma_range': [2, 1]},
            r'sigma_range must be two numbers \[lowest, highest\], both above 0, got \[2, 1\]',
        ),
        ({'sigma_range': [0, 1]}, 'sigma_range must be two numbers'),
        ({'sigma_range': 2.0}, 'sigma_range must be two numbers'),
        ({'noise_range': [-1, 1]}, r'noise_range must be two numbers .* at least 0, got \[-1, 1\]'),
        ({'kernel_noise': -0.5}, 'kernel_noise must be a number of at least 0, got -0.5'),
    ],
)
def test_sampler_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ClassicalSampler(**{'scale': 4, **options})


def test_degrade_refuses():
    params = ClassicalParams(4, 21, 2.0, 2.0)
    with pytest.raises(ValueError, match=r'multiples of the scale 4, got an image of 30x32'):
        degrade(np.zeros((30, 32, 3), np.float32), params)
    with pytest.raises(ValueError, match=r'type float32, got .* uint8'):
        degrade(np.zeros((32, 32, 3), np.uint8), params)
