import copy
import dataclasses
import io
import random

import numpy as np
import pytest
import torch
from basicsr.data.degradations import generate_gaussian_noise_pt, generate_poisson_noise_pt
from basicsr.data.transforms import paired_random_crop
from basicsr.utils import DiffJPEG, USMSharp
from PIL import Image
from skimage.data import astronaut

from stea_arch.degradations import batch_steps
from stea_arch.degradations.batch_steps import gaussian_noise, jpeg, paired_crop, poisson_noise, usm_sharpen
from stea_arch.degradations.second_order import SecondOrderSampler


def photographs(height=48, width=48, number=3):
    crops = [astronaut()[30 * n : 30 * n + height, 150 : 150 + width].copy() for n in range(number)]
    return torch.stack([torch.from_numpy(crop) for crop in crops]).permute(0, 3, 1, 2).float() / 255


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ('ours', 'basicsr'),
    [
        (gaussian_noise, generate_gaussian_noise_pt),
        (poisson_noise, generate_poisson_noise_pt),
    ],
)
@pytest.mark.parametrize('gray', [False, True])
def test_equals_basicsr_with_the_same_random_numbers(ours, basicsr, gray):
    img = photographs(number=1)
    noise = ours(img, (2.5,), (gray,), seeded(5))
    torch.manual_seed(5)  # BasicSR draws the gray field first, then the coloured one
    expected = basicsr(img, torch.tensor([2.5]), torch.tensor([float(gray)]))
    torch.testing.assert_close(noise, expected, atol=1e-6, rtol=0)
    assert torch.equal(noise[:, 0], noise[:, 1]) == gray and noise.std() > 0


def test_coloured_batch_equals_basicsr():
    img = photographs(number=3)
    noise = gaussian_noise(img, (1.0, 10.0, 30.0), (False,) * 3, seeded(2))
    torch.manual_seed(2)
    expected = generate_gaussian_noise_pt(img, torch.tensor([1.0, 10.0, 30.0]), torch.zeros(3))
    torch.testing.assert_close(noise, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize('kind', [gaussian_noise, poisson_noise])
def test_samples_have_fields_of_their_own(kind):
    img = photographs(number=1).expand(3, -1, -1, -1)
    noise = kind(img, (1.0,) * 3, (True, True, False), seeded(0))
    assert torch.equal(noise[0, 0], noise[0, 2]) and not torch.equal(noise[2, 0], noise[2, 2])
    fields = noise[:, 0].flatten(1)
    assert torch.corrcoef(fields)[~torch.eye(3, dtype=bool)].abs().max() < 0.1


def test_moments():
    img = torch.full((2, 3, 256, 256), 0.25)
    img[:, :, :128] = torch.arange(256.0) / 255  # all 256 values occur: 256 photons
    flat = gaussian_noise(img, (5.0, 20.0), (False, True), seeded(1))
    assert flat[0].std() * 255 == pytest.approx(5, rel=0.02) and flat[1].std() * 255 == pytest.approx(20, rel=0.02)
    shot = poisson_noise(img, (1.0, 3.0), (False, True), seeded(1))[:, :, 128:]
    variance = (round(0.25 * 255) / 255) / 256  # of a Poisson variable: its mean
    assert shot.mean().abs() < 1e-3
    assert shot[0].var() == pytest.approx(variance, rel=0.05) and shot[1].var() == pytest.approx(9 * variance, rel=0.05)


@pytest.mark.parametrize(('values', 'photons'), [(1, 1), (2, 2), (3, 4), (5, 8), (255, 256), (256, 256)])
def test_photons_of_white_follow_the_number_of_values(values, photons):
    steps = torch.arange(3 * 64 * 64).reshape(1, 3, 64, 64) % values
    img = steps.float() / 255
    noisy = img + poisson_noise(img, (1.0,), (False,), seeded(3))
    counts = noisy * photons
    assert (counts - counts.round()).abs().max() < 1e-4
    if values > 4:
        assert ((noisy * photons / 2) - (noisy * photons / 2).round()).abs().max() > 0.4


@pytest.mark.parametrize('kind', [gaussian_noise, poisson_noise])
def test_nan_reaches_the_result_and_no_other_sample(kind):
    img = photographs(number=2)
    img[0, 1, 2, 3] = float('nan')
    noisy = img + kind(img, (1.0, 1.0), (False, True), seeded(0))
    assert (~noisy.isfinite()).nonzero().tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize('shape', [(48, 64), (37, 50), (5, 3)])
def test_jpeg_equals_basicsr(shape):
    img = photographs(*shape)
    qualities = (30.0, 49.99, 95.0)
    with torch.no_grad():
        expected = DiffJPEG(differentiable=False)(img, quality=torch.tensor(qualities))
    result = jpeg(img, qualities)
    assert torch.equal(result, expected)
    assert result.is_contiguous() and not result.requires_grad


def test_jpeg_of_quality_100_has_the_tables_of_libjpeg():
    file, expected = io.BytesIO(), copy.deepcopy(DiffJPEG(differentiable=False)).requires_grad_(False)
    Image.fromarray(astronaut()).save(file, 'JPEG', quality=100)
    for name, table in expected.named_parameters():
        if name.endswith('_table'):
            table.copy_(torch.tensor(Image.open(file).quantization[name.endswith('c_table')]).view(8, 8))
    img = photographs(48, 64)
    for qualities in ((100.0, 95.0, 100.0), (100.0, 100.0, 100.0)):
        result = jpeg(img, qualities)
        for sample, quality, found in zip(img.split(1), qualities, result.split(1)):
            codec, arguments = (
                (expected, {'quality': 50}) if quality == 100 else (DiffJPEG(False), {'quality': quality})
            )
            assert torch.equal(found, codec(sample, **arguments))  # 50: the tables as they are


def test_tables_of_other_codecs_stay_where_they_are():
    other = DiffJPEG(differentiable=False)
    jpeg(photographs(16, 16), (50.0, 50.0, 50.0))
    ours = {id(parameter) for parameter in batch_steps._codec(torch.device('cpu'), False).parameters()}
    assert ours.isdisjoint(map(id, other.parameters()))


@pytest.mark.parametrize('arguments', [{}, {'weight': 1.0, 'threshold': 3}])
def test_sharpening_equals_basicsr(arguments):
    img = torch.from_numpy(astronaut()[:72, 170:260].copy()).permute(2, 0, 1)[None].float() / 255
    expected = USMSharp()(img, **arguments)
    assert (expected - img).abs().max() > 0.05
    assert (usm_sharpen(img, **arguments) - expected).abs().max() < 1e-4  # a pixel at the threshold may go either way


def test_flat_images_are_not_sharpened():
    img = torch.rand(2, 3, 1, 1).expand(-1, -1, 60, 60)
    torch.testing.assert_close(usm_sharpen(img), img)


@pytest.mark.parametrize('scale', [2, 4])
def test_crop_equals_basicsr_at_the_same_place(scale, monkeypatch):
    lq = torch.rand(2, 3, 20, 17)
    gt = torch.rand(2, 3, 20 * scale, 17 * scale)
    rng = np.random.default_rng(0)
    for _ in range(20):
        params = SecondOrderSampler(scale).draw(2, 12 * scale, rng)
        (small, same), (large,) = paired_crop([lq, lq + 1], [gt], params)
        places = iter([int(params.top * 9), int(params.left * 6)])
        monkeypatch.setattr(random, 'randint', lambda low, high, places=places: next(places))
        expected_gt, expected_lq = paired_random_crop(gt, lq, 12 * scale, scale)
        assert torch.equal(small, expected_lq) and torch.equal(large, expected_gt) and torch.equal(same, small + 1)


def test_crop_reaches_every_place():
    lq, gt = torch.arange(30.0).view(1, 1, 5, 6), torch.zeros(1, 1, 10, 12)
    params = SecondOrderSampler(2).draw(1, 6, np.random.default_rng(0))
    ends = [
        dataclasses.replace(params, top=top, left=left)
        for top in (0.0, 0.4, 0.9999)
        for left in (0.0, 0.3, 0.6, 0.9999)
    ]
    assert {paired_crop([lq], [gt], place)[0][0][0, 0, 0, 0].item() for place in ends} == {
        row * 6 + column for row in range(3) for column in range(4)
    }


def test_crop_refuses():
    params = SecondOrderSampler(4).draw(1, 64, np.random.default_rng(0))
    with pytest.raises(ValueError, match='images 4 times as large as the low-quality ones of 20x20, got one of'):
        paired_crop([torch.zeros(1, 3, 20, 20)], [torch.zeros(1, 3, 80, 76)], params)
    with pytest.raises(ValueError, match=r'at least 16x16 \(gt_size 64 / scale 4\), got 12x20'):
        paired_crop([torch.zeros(1, 3, 12, 20)], [torch.zeros(1, 3, 48, 80)], params)
