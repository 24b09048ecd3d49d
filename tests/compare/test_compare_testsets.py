"""Test sets: the protocols against slow forms, pairs, cropping, fingerprints."""

import math

import cv2
import numpy as np
import pytest
from basicsr.metrics import calculate_psnr
from basicsr.utils import tensor2img
from basicsr.utils.matlab_functions import imresize
from scipy.ndimage import convolve
from skimage import data
from skimage.metrics import structural_similarity

from stea_arch.archs.bicubic_arch import Bicubic
from stea_arch.compare.evaluate import evaluate, metric_options
from stea_arch.compare.testsets import TestSet, pair_names
from stea_arch.data.classical_dataset import ClassicalDegradationDataset
from stea_arch.degradations.classical import ClassicalSampler, degrade


@pytest.fixture
def folder(tmp_path):
    """One photograph of 95x70 pixels."""
    (tmp_path / 'gt').mkdir()
    cv2.imwrite(str(tmp_path / 'gt/coffee.png'), np.ascontiguousarray(data.coffee()[100:195, 200:270, ::-1]))
    return tmp_path / 'gt'


class Enlarger:
    label = 'Bicubic'

    def __init__(self, scale):
        self.net = Bicubic(scale)

    def __call__(self, lq):
        return tensor2img([self.net(lq[None])])


@pytest.mark.parametrize('scale, sigmas', [(3, (1.35, 2.40)), (4, (1.80, 3.20))])
def test_bicubic_under_gaussian8_is_that_of_an_independent_slow_form(folder, scale, sigmas):
    """Everything again from its definition, with scipy, scikit-image and BasicSR's imresize."""
    hr = data.coffee()[100:195, 200:270]
    hr = hr[: 95 // scale * scale, : 70 // scale * scale] / 255
    r2 = np.square(np.arange(-10, 11))[:, None] + np.square(np.arange(-10, 11))
    expected = []
    for sigma in np.linspace(*sigmas, 8):
        kernel = np.exp(-r2 / (2 * sigma**2))
        kernel /= kernel.sum()
        blurred = np.stack([convolve(hr[..., c], kernel, mode='mirror') for c in range(3)], -1)
        lq = np.round(imresize(blurred, 1 / scale).clip(0, 1) * 255) / 255
        sr = np.round(imresize(lq, scale).clip(0, 1) * 255)
        ys = [img @ [65.481, 128.553, 24.966] / 255 + 16 for img in (sr, np.rint(hr * 255))]
        ys = [y[scale:-scale, scale:-scale] for y in ys]
        psnr = 10 * math.log10(255**2 / np.mean((ys[0] - ys[1]) ** 2))
        how = {'gaussian_weights': True, 'sigma': 1.5, 'use_sample_covariance': False, 'data_range': 255, 'full': True}
        ssim = structural_similarity(*ys, **how)[1][5:-5, 5:-5].mean()
        expected.append((psnr, ssim))
    testset = TestSet('photos', {'protocol': 'gaussian8', 'gt': str(folder)}, scale)
    records = evaluate(Enlarger(scale), testset, metric_options(None, scale, True))
    values = [(record['psnr'], record['ssim']) for record in records]
    np.testing.assert_allclose([v[0] for v in values], [e[0] for e in expected], atol=0.02)
    np.testing.assert_allclose([v[1] for v in values], [e[1] for e in expected], atol=2e-4)


def test_gaussian8_is_what_stea_test_measures_on(photo_folder):
    opt = {'name': 'x', 'dataroot_gt': str(photo_folder), 'phase': 'test', 'scale': 4}
    theirs = ClassicalDegradationDataset(opt)
    ours = TestSet('x', {'protocol': 'gaussian8', 'gt': str(photo_folder)}, 4)
    assert len(ours) == len(theirs) == 48
    for index in (0, 7, 8, 47):
        item, other = ours[index], theirs[index]
        assert (item['lq'] == other['lq']).all() and (item['gt'] == other['gt']).all()
        assert ours.cases[index].group == other['group']
        assert f'{ours.cases[index].name}.png' == other['lq_path']


def test_bicubic_does_not_blur(folder):
    item = TestSet('x', {'protocol': 'bicubic', 'gt': str(folder)}, 2)[0]
    gt = item['gt'].numpy().transpose(1, 2, 0)
    assert gt.shape == (94, 70, 3)
    np.testing.assert_allclose(
        item['lq'].numpy().transpose(1, 2, 0) * 255, imresize(gt, 0.5).clip(0, 1) * 255, atol=0.5 + 1e-3
    )


def test_setting2_draws_a_kernel_an_image_from_the_seed(photo_folder, photo_lmdb, tmp_path):
    def make(seed, gt=photo_folder, **changes):
        return TestSet('x', {'protocol': 'setting2', 'gt': str(gt), 'seed': seed, **changes}, 4)

    one, same, other = make(3), make(3), make(4)
    assert [case.params for case in one.cases] == [case.params for case in same.cases]
    assert len({case.params for case in (*one.cases, *other.cases)}) == 12
    params = one.cases[2].params
    assert params.kernel_size == 31 and min(params.sigma_x, params.sigma_y) >= 0.6 and params.kernel_noise == 0.25
    lq, gt = (one[2][name].numpy().transpose(1, 2, 0) for name in ('lq', 'gt'))
    np.testing.assert_array_equal(lq, degrade(gt, params))
    # the seed and the place among all images decide, as in stea-data setting2, whatever is left out
    draw = ClassicalSampler(4, 'anisotropic', 31, kernel_noise=0.25)
    expected = {f'photo{number}': draw(np.random.default_rng((3, number))) for number in range(6)}
    assert {case.image: case.params for case in one.cases} == expected
    (tmp_path / 'list.txt').write_text('photo4.png\nphoto1.png\n')
    for gt in (photo_folder, photo_lmdb):
        for changes in ({'leave_out': make(3, gt).gt.names[:2]}, {'meta_info': str(tmp_path / 'list.txt')}):
            some = {case.image: case.params for case in make(3, gt, **changes).cases}
            assert len(some) in (2, 4) and some == {name: expected[name] for name in some}
    sample = [
        {case.image: case.params for case in make(3, 'scikit-image', leave_out=out).cases}
        for out in ([], ['chelsea.png'])
    ]
    assert sample[1]['coffee'] == sample[0]['coffee'] == expected['photo1']


@pytest.mark.parametrize('names', [('a.png', 'b.png'), ('im_1.png', 'im_2.png')])
def test_pairs_from_folders(tmp_path, folder, names):
    (tmp_path / 'hr').mkdir()
    (tmp_path / 'lr_x2').mkdir()
    img = cv2.imread(str(folder / 'coffee.png'))
    for number, name in enumerate(names, 1):
        gt = name if 'im' not in name else f'img_{number}_gt.png'
        cv2.imwrite(str(tmp_path / 'hr' / gt), img[:, ::number][:94, :34])
        cv2.imwrite(str(tmp_path / 'lr_x2' / name), img[:47, :17] // number)
    section = {'protocol': 'setting2', 'gt': str(tmp_path / 'hr'), 'lq': str(tmp_path / 'lr_x{scale}')}
    testset = TestSet('x', section, 2)
    assert len(testset) == 2 and testset[1]['gt'].shape == (3, 94, 34)
    np.testing.assert_array_equal(tensor2img([testset[1]['lq']]), img[:47, :17] // 2)
    np.testing.assert_array_equal(tensor2img([testset[1]['gt']]), img[:, ::2][:94, :34])
    # with the option of cropping, truth and input stay aligned
    cropped = TestSet('x', {**section, 'crop_to': 12}, 2)
    assert cropped[0]['gt'].shape == (3, 84, 24) and cropped[0]['lq'].shape == (3, 42, 12)
    with pytest.raises(ValueError, match=r'expected to be .* divided by the scale 3'):
        TestSet('x', {**section, 'lq': str(tmp_path / 'lr_x2')}, 3)[0]


def test_pairing():
    assert pair_names(['a.png', 'b.png'], ['b.jpg', 'a.jpg']) == [('a.png', 'a.jpg'), ('b.png', 'b.jpg')]
    gt, lq = [f'img_{n}_gt.png' for n in (1, 10, 2)], [f'im_{n}.png' for n in (1, 10, 2)]
    assert pair_names(gt, lq) == list(zip(gt, lq))
    with pytest.raises(ValueError, match=r'but 2 have none: gt b, lq c\.'):
        pair_names(['a.png', 'b.png'], ['a.png', 'c.png'])


def test_images_without_truth(photo_folder):
    section = {'protocol': 'no_reference', 'lq': str(photo_folder), 'leave_out': ['photo1.png']}
    testset = TestSet('x', section, 4)
    assert len(testset) == 5 and list(testset[0]) == ['lq'] and testset[0]['lq'].shape == (3, 72, 64)
    assert 'photo1' not in {case.image for case in testset.cases}
    assert testset.describe()['leave_out'] == ['photo1.png']
    assert list(metric_options(None, 4, False)) == ['niqe']


def test_crop_to_is_named_and_done(folder):
    testset = TestSet('x', {'protocol': 'gaussian8', 'gt': str(folder), 'crop_to': 12}, 2)
    assert testset[0]['gt'].shape == (3, 84, 60)
    assert testset.describe()['cropped_to_multiples_of'] == 12
    assert TestSet('x', {'protocol': 'gaussian8', 'gt': str(folder)}, 3).describe()['cropped_to_multiples_of'] == 3


def test_fingerprint_changes_with_pixels_protocol_and_cropping_alone(folder):
    def mark(**changes):
        return TestSet('x', {'protocol': 'gaussian8', 'gt': str(folder), **changes}, 2).fingerprint()

    first = mark()
    assert mark() == first
    assert len({first, mark(crop_to=4), mark(protocol='bicubic'), mark(num_kernels=4)}) == 4
    img = cv2.imread(str(folder / 'coffee.png'))
    img[0, 0, 0] ^= 1
    cv2.imwrite(str(folder / 'coffee.png'), img)
    assert mark() != first


def test_border_and_luma_are_those_of_the_literature(folder):
    opts = metric_options(['psnr', 'ssim', 'niqe'], 3, True)
    assert opts['psnr'] == {'type': 'calculate_psnr', 'crop_border': 3, 'test_y_channel': True}
    assert list(opts) == ['psnr', 'ssim']
    img = cv2.imread(str(folder / 'coffee.png'))
    other = img.copy()
    other[:3] = 0  # only within the border
    assert calculate_psnr(img, other, crop_border=3, test_y_channel=True) == math.inf
