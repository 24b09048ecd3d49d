import cv2
import numpy as np
import pytest
import torch
from basicsr.utils import DiffJPEG
from skimage.data import astronaut

from stea_arch.degradations.batch_jpeg import jpeg


def photographs(height, width, number=3):
    crops = [astronaut()[30 * n : 30 * n + height, 150 : 150 + width].copy() for n in range(number)]
    return torch.stack([torch.from_numpy(crop) for crop in crops]).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize('shape', [(48, 64), (37, 50), (5, 3)])
def test_equals_basicsr(shape):
    img = photographs(*shape)
    qualities = (30.0, 49.99, 95.0)
    with torch.no_grad():
        expected = DiffJPEG(differentiable=False)(img, quality=torch.tensor(qualities))
    result = jpeg(img, qualities)
    assert torch.equal(result, expected)
    assert result.is_contiguous() and not result.requires_grad


@pytest.mark.parametrize('quality', [30, 60, 90])
def test_loses_as_much_as_a_real_codec(quality):
    img = photographs(96, 96, 1)
    result = jpeg(img, (float(quality),))[0].permute(1, 2, 0).numpy() * 255
    plain = (img[0].permute(1, 2, 0).numpy()[..., ::-1] * 255).round().astype(np.uint8)
    real = cv2.imdecode(cv2.imencode('.jpg', plain, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    lost = np.abs(real.astype(float) - plain).mean()
    assert np.abs(result[..., ::-1] - plain).mean() == pytest.approx(lost, rel=0.2)
    assert np.abs(result[..., ::-1] - real).mean() < 0.8 * lost


def test_lower_quality_loses_more():
    img = photographs(64, 64, 1).expand(4, -1, -1, -1)
    lost = (jpeg(img, (10.0, 30.0, 60.0, 95.0)) - img).abs().mean((1, 2, 3))
    assert (lost.diff() < 0).all()


def test_tables_of_other_codecs_stay_where_they_are():
    other = DiffJPEG(differentiable=False)
    jpeg(photographs(16, 16), (50.0, 50.0, 50.0))
    from stea_arch.degradations.batch_jpeg import _codec

    ours = {id(parameter) for parameter in _codec(torch.device('cpu')).parameters()}
    assert ours.isdisjoint(map(id, other.parameters()))
