import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import realesrgan_model
from basicsr_chain import OPTIONS, plain_blur
from skimage.data import astronaut

from stea_arch.data.realworld_dataset import RealWorldDataset
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


def test_item(photo_folder):
    dataset = build_dataset(options(photo_folder))
    item = dataset[2]
    assert list(item) == ['gt', 'kernel1', 'kernel2', 'sinc_kernel', 'gt_path'] and len(dataset) == 6
    assert item['gt'].shape == (3, 48, 48) and item['gt'].dtype == torch.float32 and item['gt'].is_contiguous()
    assert torch.equal(item['gt'], (item['gt'] * 255).round().byte().float() / 255)
    for name in ('kernel1', 'kernel2', 'sinc_kernel'):
        assert item[name].shape == (21, 21) and item[name].sum() == pytest.approx(1, abs=1e-5)
    assert item['gt_path'] == str(photo_folder / 'photo2.png')


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


def test_basicsrs_own_model_trains_on_it(photo_folder, monkeypatch, real_options, build):
    monkeypatch.setattr(torch.nn.Module, 'cuda', lambda self: self)
    monkeypatch.setattr(torch.Tensor, 'cuda', lambda self: self)
    monkeypatch.setattr(realesrgan_model, 'filter2D', plain_blur)
    edsr = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 4}
    not_its = dict.fromkeys(('num_blocks', 'attention', 'large_field'), ...)
    changes = {**OPTIONS, 'resize_range': [0.3, 1.5], 'resize_range2': [0.3, 1.2], 'scale': 4}
    changes |= {'model_type': 'RealESRGANModel', 'l1_gt_usm': True, 'percep_gt_usm': True, 'gan_gt_usm': False}
    model = build(real_options({**changes, 'network_g': {**edsr, **not_its}}, 'gan'))
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
