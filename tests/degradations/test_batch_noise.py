import pytest
import torch
from basicsr.data.degradations import generate_gaussian_noise_pt, generate_poisson_noise_pt
from skimage.data import astronaut

from stea_arch.degradations.batch_noise import gaussian_noise, poisson_noise


def photographs(number, size=48):
    crops = [astronaut()[40 * n : 40 * n + size, 150 : 150 + size].copy() for n in range(number)]
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
    img = photographs(1)
    noise = ours(img, (2.5,), (gray,), seeded(5))
    torch.manual_seed(5)  # BasicSR draws the gray field first, then the coloured one
    expected = basicsr(img, torch.tensor([2.5]), torch.tensor([float(gray)]))
    torch.testing.assert_close(noise, expected, atol=1e-6, rtol=0)
    assert torch.equal(noise[:, 0], noise[:, 1]) == gray and noise.std() > 0


def test_coloured_batch_equals_basicsr():
    img = photographs(3)
    noise = gaussian_noise(img, (1.0, 10.0, 30.0), (False,) * 3, seeded(2))
    torch.manual_seed(2)
    expected = generate_gaussian_noise_pt(img, torch.tensor([1.0, 10.0, 30.0]), torch.zeros(3))
    torch.testing.assert_close(noise, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize('kind', [gaussian_noise, poisson_noise])
def test_samples_have_fields_of_their_own(kind):
    img = photographs(1).expand(3, -1, -1, -1)
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
    img = photographs(2)
    img[0, 1, 2, 3] = float('nan')
    noisy = img + kind(img, (1.0, 1.0), (False, True), seeded(0))
    assert (~noisy.isfinite()).nonzero().tolist() == [[0, 1, 2, 3]]
