import pytest
import torch
from basicsr.utils import USMSharp
from skimage.data import astronaut

from stea_arch.degradations.usm import usm_sharpen


@pytest.mark.parametrize('arguments', [{}, {'weight': 1.0, 'threshold': 3}])
def test_equals_basicsr(arguments):
    img = torch.from_numpy(astronaut()[:72, 170:260].copy()).permute(2, 0, 1)[None].float() / 255
    expected = USMSharp()(img, **arguments)
    assert (expected - img).abs().max() > 0.05
    assert (usm_sharpen(img, **arguments) - expected).abs().max() < 1e-4  # a pixel at the threshold may go either way


def test_flat_images_stay():
    img = torch.rand(2, 3, 1, 1).expand(-1, -1, 60, 60)
    torch.testing.assert_close(usm_sharpen(img), img)
