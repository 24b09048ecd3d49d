import dataclasses
import json
import random

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from skimage.data import astronaut

from data_prep.lmdb_writer import write_lmdb
from stea_arch.data.realworld_dataset import RealWorldDataset, RegionRecipe
from stea_arch.data.sampler import Draw


def options(folder, **changes):
    return {
        'name': 'photos',
        'type': 'RealWorldDataset',
        'phase': 'train',
        'scale': 4,
        'dataroot_gt': str(folder),
        'io_backend': {'type': 'disk'},
        'crop_pad_size': 48,
        **changes,
    }


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if torch.is_tensor(value) else value == second[key]
        for key, value in first.items()
    )


def test_item(photo_folder):
    dataset = build_dataset(options(photo_folder))
    item = dataset[2]
    assert list(item) == ['gt', 'kernel1', 'kernel2', 'sinc_kernel', 'gt_path'] and len(dataset) == 6
    assert item['gt'].shape == (3, 48, 48) and item['gt'].dtype == torch.float32 and item['gt'].is_contiguous()
    assert torch.equal(item['gt'], (item['gt'] * 255).round().byte().float() / 255)
    for name in ('kernel1', 'kernel2', 'sinc_kernel'):
        assert item[name].shape == (21, 21) and item[name].sum() == pytest.approx(1, abs=1e-5)
    assert item['gt_path'] == str(photo_folder / 'photo2.png')


def test_regions_are_patches_of_the_image_under_all_eight_symmetries(tmp_path):
    img = np.arange(60 * 52, dtype=np.uint16).reshape(60, 52)
    cv2.imwrite(str(tmp_path / 'a.png'), np.stack([np.zeros_like(img), img & 255, img >> 8], -1).astype(np.uint8))
    dataset, seen, starts = RealWorldDataset(options(tmp_path)), set(), set()
    for draw in range(150):
        gt = (dataset[Draw(0, (5, draw))]['gt'].numpy() * 255).round().astype(int)
        rows, columns = np.divmod(gt[0] * 256 + gt[1], 52)
        seen.add((rows[0, 0] < rows[-1, -1], columns[0, 0] < columns[-1, -1], rows[0, 0] == rows[0, 1]))
        starts.add((rows.min(), columns.min()))
        assert np.ptp(rows) == np.ptp(columns) == 47
    assert len(seen) == 8 and {row for row, _ in starts} == set(range(13)) and {c for _, c in starts} == set(range(5))
    plain = RealWorldDataset(options(tmp_path, use_hflip=False, use_rot=False))
    recipes = [plain.recipe(Draw(0, (0, draw))) for draw in range(30)]
    assert not any(recipe.hflip or recipe.vflip or recipe.transpose for recipe in recipes)


@pytest.mark.parametrize('shape', [(30, 60), (60, 30), (20, 23), (48, 48), (1, 2)])
def test_small_images_are_mirrored_as_in_basicsr(tmp_path, shape):
    img = astronaut()[100 : 100 + shape[0], 200 : 200 + shape[1]]
    cv2.imwrite(str(tmp_path / 'a.png'), img[..., ::-1])
    dataset = RealWorldDataset(options(tmp_path, use_hflip=False, use_rot=False))
    item, recipe = dataset[Draw(0, (0, 1))], dataset.recipe(Draw(0, (0, 1)))
    below, right = (max(0, 48 - length) for length in shape)
    padded = cv2.copyMakeBorder(img, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    top, left = (int(at * (length - 47)) for at, length in zip((recipe.top, recipe.left), padded.shape))
    expected = padded[top : top + 48, left : left + 48]
    np.testing.assert_array_equal((item['gt'] * 255).round().byte().numpy().transpose(1, 2, 0), expected)


@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
def test_items_depend_on_seed_and_draw_only(photo_folder, tmp_path, backend):
    root = photo_folder
    if backend == 'lmdb':
        root = tmp_path / 'photos.lmdb'
        write_lmdb([str(photo_folder)], str(root), progress=False)
    dataset = RealWorldDataset(options(root, io_backend={'type': backend}))
    reference = RealWorldDataset(options(photo_folder))
    draws = [Draw(number % 6, (7, number)) for number in range(12)]
    alone = [dataset[draw] for draw in draws]
    assert not torch.equal(alone[0]['gt'], alone[6]['gt']) and not torch.equal(alone[0]['kernel1'], alone[6]['kernel1'])
    assert all(torch.equal(item['gt'], reference[draw]['gt']) for item, draw in zip(alone, draws))
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, sampler=draws, num_workers=workers)
        assert all(equal(first, second) for first, second in zip(alone, loader, strict=True))


def test_plain_indices_are_seeded_by_torch_and_globals_stay(photo_folder):
    dataset = RealWorldDataset(options(photo_folder))
    state, numpy_state = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    torch.manual_seed(11)
    first, second = dataset[0], dataset[0]
    torch.manual_seed(11)
    assert equal(first, dataset[0]) and not equal(first, second)
    assert random.getstate() == state and str(np.random.get_state()) == numpy_state  # noqa: NPY002


def test_recipes_replay_through_json(photo_folder):
    dataset = RealWorldDataset(options(photo_folder))
    for index in range(6):
        recipe = dataset.recipe(index)
        again = RegionRecipe.from_dict(json.loads(json.dumps(dataclasses.asdict(recipe))))
        assert again == recipe and equal(dataset.region(recipe), dataset.region(again))


def test_kernel_options_reach_the_kernels(photo_folder):
    changes = {
        'blur_kernel_size': 9,
        'final_sinc_prob': 0,
        'sinc_prob2': 1.0,
        'kernel_list': ['iso'],
        'kernel_prob': [1],
    }
    item = RealWorldDataset(options(photo_folder, **changes, sinc_prob=0))[0]
    assert item['kernel1'].shape == (9, 9) and item['kernel2'].min() < 0
    assert torch.allclose(item['kernel1'], item['kernel1'].T) and item['sinc_kernel'].max() == 1


def test_basicsrs_own_model_trains_on_it(photo_folder, tmp_path, monkeypatch):
    from basicsr.models import build_model, realesrgan_model
    from basicsr.utils.img_process_util import filter2D

    monkeypatch.setattr(torch.nn.Module, 'cuda', lambda self: self)
    monkeypatch.setattr(torch.Tensor, 'cuda', lambda self: self)
    monkeypatch.setattr(realesrgan_model, 'filter2D', lambda img, kernel: filter2D(img.contiguous(), kernel))
    path = {key: str(tmp_path) for key in ('models', 'training_states', 'visualization', 'log')}
    adam = {'type': 'Adam', 'lr': 1e-3}
    chain = {
        'resize_prob': [0.2, 0.7, 0.1],
        'resize_range': [0.3, 1.5],
        'gaussian_noise_prob': 0.5,
        'noise_range': [1, 30],
        'poisson_scale_range': [0.05, 3],
        'gray_noise_prob': 0.4,
        'jpeg_range': [30, 95],
    }
    model = build_model(
        {
            'name': 'gan',
            'model_type': 'RealESRGANModel',
            'scale': 4,
            'num_gpu': 0,
            'dist': False,
            'is_train': True,
            **chain,
            **{f'{name}2': value for name, value in chain.items()},
            'second_blur_prob': 0.8,
            'gt_size': 32,
            'queue_size': 4,
            'l1_gt_usm': True,
            'percep_gt_usm': True,
            'gan_gt_usm': False,
            'network_g': {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 4},
            'network_d': {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 8},
            'path': {'pretrain_network_g': None, 'strict_load_g': True, **path},
            'train': {
                'ema_decay': 0.9,
                'optim_g': dict(adam),
                'optim_d': dict(adam),
                'pixel_opt': {'type': 'L1Loss'},
                'gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.1},
                'scheduler': {'type': 'MultiStepLR', 'milestones': [100]},
                'total_iter': 10,
            },
        }
    )
    opt = options(photo_folder, num_worker_per_gpu=0, batch_size_per_gpu=2)
    for _ in range(2):
        for batch in build_dataloader(build_dataset(opt), opt, num_gpu=0, seed=0):
            model.feed_data(batch)
            model.optimize_parameters(1)
    assert model.lq.shape == (2, 3, 8, 8) and model.gt.shape == (2, 3, 32, 32)
    assert all(np.isfinite(value) for value in model.log_dict.values()) and model.queue_ptr == 4


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'scale': 5}, 'scale must be 2, 3 or 4, got 5'),
        ({'phase': 'val'}, "RealWorldDataset is for training, but it stands in the section 'val'"),
        ({'crop_pad_size': 50}, 'crop_pad_size must be a whole multiple of the scale 4, got 50'),
        ({'blur_sigma': [2, 1]}, 'blur_sigma must be two numbers'),
        ({'dataroot_gt': None}, 'Expected dataroot_gt, the folder or LMDB of the ground-truth images, got none'),
        ({'dataroot_gt': []}, 'Expected one meta_info for each dataroot_gt, got 0'),
        ({'max_bad_images': -1}, 'max_bad_images must be a whole number'),
    ],
)
def test_refuses_impossible_options(photo_folder, changes, message):
    with pytest.raises(ValueError, match=message):
        RealWorldDataset(options(photo_folder, **changes))


def test_default_region_is_basicsrs(photo_folder):
    opt = options(photo_folder)
    del opt['crop_pad_size']
    assert RealWorldDataset(opt)[0]['gt'].shape == (3, 400, 400)
