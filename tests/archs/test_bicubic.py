import numpy as np
import pytest
import torch
from basicsr.utils.matlab_functions import imresize

from stea_arch.archs.bicubic_arch import Bicubic

MARGIN = 8  # BasicSR's imresize cannot mirror beyond the image, so the tests mirror for it


@pytest.mark.parametrize('upscale', [2, 3, 4])
@pytest.mark.parametrize('size', [(1, 1), (1, 6), (2, 3), (7, 5), (16, 33)])
def test_equals_matlab(size, upscale):
    rng = np.random.default_rng(0)
    images = rng.random((2, *size, 3))
    lq = torch.from_numpy(images.transpose(0, 3, 1, 2)).float()
    sr = Bicubic(upscale)(lq)
    assert sr.shape == (2, 3, size[0] * upscale, size[1] * upscale)
    border = MARGIN * upscale
    for image, ours in zip(images, sr):
        mirrored = np.pad(image, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode='symmetric')
        theirs = imresize(mirrored, upscale)[border:-border, border:-border].clip(0, 1)
        np.testing.assert_allclose(ours.numpy().transpose(1, 2, 0), theirs, rtol=0, atol=1e-5)


def test_overshoot_is_clipped():
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    sr = Bicubic(4)(edge)
    assert (sr.min(), sr.max()) == (0, 1)


def test_has_no_parameters_and_keeps_precision_under_autocast():
    network = Bicubic(2).eval()
    assert list(network.state_dict()) == []
    lq = torch.rand(1, 3, 9, 10)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = network(lq)
    assert torch.equal(mixed, network(lq))
    assert network(lq.double()).dtype == torch.float64


@pytest.mark.parametrize('upscale', [0, 1.5, '2'])
def test_impossible_scale_is_refused(upscale):
    with pytest.raises(ValueError, match=r'whole number of at least 1, got .*'):
        Bicubic(upscale)
