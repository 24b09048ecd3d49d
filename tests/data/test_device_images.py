"""Patches cut and degraded on the device, against those that the datasets make image by image."""

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from skimage import data as skimage_data
from torch.utils.data import DataLoader

from stea_arch.data.device_images import DeviceImages
from stea_arch.data.loading import TrainingLoader
from stea_arch.data.sampler import Draw
from stea_arch.data.training_images import TrainingImages

SETTINGS = {
    'isotropic': {'kernel_type': 'isotropic', 'kernel_size': 21},
    'anisotropic': {'kernel_type': 'anisotropic', 'kernel_size': 31, 'kernel_noise': 0.25, 'noise_range': [1, 10]},
}


@pytest.fixture
def folder(tmp_path):
    photos = {'coffee': skimage_data.coffee()[100:170, 200:261], 'cat': skimage_data.chelsea()[:48, :90]}
    for name, photo in photos.items():
        assert cv2.imwrite(str(tmp_path / f'{name}.png'), photo[..., ::-1])
    return tmp_path


def build(folder, **options):
    return build_dataset({'name': 'photos', 'phase': 'train', 'dataroot_gt': str(folder), **options})


def draws(dataset, count=24):
    return [Draw(number % len(dataset), (7, number)) for number in range(count)]


def first_batch(dataset, count=24):
    loader = DataLoader(dataset, batch_size=count, sampler=draws(dataset, count))
    return next(iter(TrainingLoader(loader, torch.device('cpu'))))


@pytest.mark.parametrize('scale', [2, 3, 4])
@pytest.mark.parametrize('setting', SETTINGS)
def test_pairs_equal_those_made_one_by_one(folder, scale, setting):
    options = {'type': 'ClassicalDegradationDataset', 'scale': scale, 'gt_size': 48, **SETTINGS[setting]}
    one_by_one, whole = build(folder, **options), build(folder, device_images=True, **options)
    batch = first_batch(whole)
    pairs = [one_by_one[draw] for draw in draws(one_by_one)]
    assert torch.equal(batch['gt'], torch.stack([pair['gt'] for pair in pairs]))
    steps = (batch['lq'] - torch.stack([pair['lq'] for pair in pairs])).abs() * 255
    assert steps.max() < 1.01 and (steps > 0.5).float().mean() < 1e-3  # a tie rounded the other way, rarely
    assert torch.equal((batch['lq'] * 255).round() / 255, batch['lq'])


def test_regions_of_small_images_are_mirrored(folder):
    options = {'type': 'RealWorldDataset', 'scale': 4, 'crop_pad_size': 128}
    options.update(kernel_list=['iso'], kernel_prob=[1.0], kernel_list2=['iso'], kernel_prob2=[1.0])
    one_by_one, whole = build(folder, **options), build(folder, device_images=True, **options)
    batch = first_batch(whole)
    items = [one_by_one[draw] for draw in draws(one_by_one)]
    assert set(batch) == {'gt', 'kernel1', 'kernel2', 'sinc_kernel'}
    for name, values in batch.items():
        assert torch.equal(values, torch.stack([item[name] for item in items]))


def test_an_unreadable_image_is_replaced(folder):
    (folder / 'broken.png').write_bytes(b'not a picture')
    options = {'type': 'ClassicalDegradationDataset', 'scale': 4, 'gt_size': 48}
    with_broken = first_batch(build(folder, device_images=True, **options))
    pairs = [dataset[draw] for dataset in [build(folder, **options)] for draw in draws(dataset)]
    assert torch.equal(with_broken['gt'], torch.stack([pair['gt'] for pair in pairs]))


def test_a_pixel_is_found_where_it_was(folder):
    images = TrainingImages(str(folder), 'disk')
    kept = DeviceImages(images, 1, torch.device('cpu'))
    whole = [images.read(number)[0] for number in range(2)]
    for number, image in enumerate(whole):
        height, width = image.shape[:2]
        place = torch.tensor([[number, 1 - 1e-9, 1 - 1e-9, 0, 0, 0]], dtype=torch.float64)  # the last position
        patch = (kept.cut(place, 16)[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        assert np.array_equal(patch, image[height - 16 :, width - 16 :])


def test_images_that_do_not_fit_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (2**30, 2**31))
    with pytest.raises(ValueError, match=r'take 2\.0 GiB decoded, and 1\.0 GiB are free'):
        DeviceImages._check_room(2**31, 3, torch.device('cuda'))
