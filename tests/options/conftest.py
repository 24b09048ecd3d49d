"""Small option dicts that pass the check, and a way to spoil them."""

import copy

import pytest

from stea_arch.options import OptionError
from stea_arch.options.check import check_options

METRICS = {'psnr': {'type': 'calculate_psnr', 'crop_border': 2, 'test_y_channel': True, 'better': 'higher'}}
TRAIN = {
    'name': 'small',
    'model_type': 'LabNetModel',
    'scale': 2,
    'num_gpu': 0,
    'manual_seed': 0,
    'datasets': {
        'train': {
            'name': 'photos',
            'type': 'ClassicalDegradationDataset',
            'dataroot_gt': 'datasets/photos',
            'io_backend': {'type': 'disk'},
            'gt_size': 96,
            'use_hflip': True,
            'use_rot': True,
            'num_worker_per_gpu': 1,
            'batch_size_per_gpu': 4,
            'dataset_enlarge_ratio': 10,
            'prefetch_mode': None,
        },
        'val': {
            'name': 'Set5',
            'type': 'ClassicalDegradationDataset',
            'dataroot_gt': 'datasets/Set5',
            'io_backend': {'type': 'disk'},
        },
    },
    'network_g': {'type': 'LabNet', 'num_feat': 16, 'num_blocks': [1, 1, 1, 1, 1, 1], 'upscale': 2},
    'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
    'train': {
        'ema_decay': 0.99,
        'optim_g': {'type': 'Adam', 'lr': 4e-4, 'weight_decay': 0, 'betas': [0.9, 0.99]},
        'scheduler': {'type': 'MultiStepLR', 'milestones': [500], 'gamma': 0.5},
        'total_iter': 1000,
        'warmup_iter': -1,
        'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
    },
    'val': {'val_freq': 5e3, 'save_img': False, 'metrics': METRICS},
    'logger': {'print_freq': 10, 'save_checkpoint_freq': 5e3, 'use_tb_logger': False},
}
TEST = {
    **{key: TRAIN[key] for key in ('name', 'model_type', 'scale', 'num_gpu', 'network_g')},
    'datasets': {'test_1': TRAIN['datasets']['val']},
    'path': {'pretrain_network_g': 'weights.pth'},
    'val': {'save_img': True, 'suffix': None, 'metrics': METRICS},
}


def changed(opt, *changes):
    """A copy with values set at dotted paths; a value of ``...`` removes the key."""
    opt = copy.deepcopy(opt)
    for path, value in changes:
        *sections, last = path.split('.')
        section = opt
        for name in sections:
            section = section[name]
        if value is ...:
            del section[last]
        else:
            section[last] = value
    return opt


@pytest.fixture
def train_opt():
    """``train_opt(('train.amp', 'bf16'), ...)`` -> a training file's content with these changes."""
    return lambda *changes: changed(TRAIN, *changes)


@pytest.fixture
def test_opt():
    """As ``train_opt``, for a test file."""
    return lambda *changes: changed(TEST, *changes)


@pytest.fixture
def problems_of():
    """``problems_of(opt, is_train)`` -> ``['path: what is wrong', ...]``, without looking for files."""

    def check(opt, is_train=True, check_files=False, loose=False):
        try:
            check_options(opt, is_train, check_files, loose)
        except OptionError as error:
            return [f'{path}: {text}' for path, text in error.problems]
        return []

    return check
