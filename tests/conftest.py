"""Shared by the tests: photographs that scikit-image ships, a tiny option file, a run of the pipeline in-process."""

import contextlib
import copy
import functools
import logging
import os
import resource
import subprocess
import sys

import cv2
import pytest
import torch
import yaml
from skimage import data as skimage_data

import stea_arch  # noqa: F401  (fills the registries)
from data_prep.lmdb_writer import write_lmdb


@pytest.fixture(autouse=True)
def same_numbers_each_time():
    """Without it a tolerance that nearly all random tensors keep would fail once in a hundred runs."""
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def photo_folder(tmp_path_factory):
    """Six colour crops of 72x64 pixels, as PNG."""
    folder = tmp_path_factory.mktemp('photos')
    astronaut, coffee = skimage_data.astronaut(), skimage_data.coffee()
    corners = [(astronaut, 0, 180), (astronaut, 90, 200), (astronaut, 300, 120)]
    corners += [(coffee, 60, 240), (coffee, 180, 300), (coffee, 300, 80)]
    for number, (image, top, left) in enumerate(corners):
        crop = image[top : top + 72, left : left + 64, ::-1]
        cv2.imwrite(str(folder / f'photo{number}.png'), crop)
    return folder


@pytest.fixture
def photo_lmdb(photo_folder, tmp_path):
    """An LMDB of the same crops."""
    write_lmdb([str(photo_folder)], str(tmp_path / 'photos.lmdb'), progress=False)
    return tmp_path / 'photos.lmdb'


@pytest.fixture
def small_disk(tmp_path):
    """``with small_disk(size) as folder:`` a folder that takes ``size`` bytes, also of programs that are started.

    Root mounts a file system of that size; for others each file can have so many bytes and no more.
    """

    @contextlib.contextmanager
    def limited(size):
        folder = tmp_path / 'small_disk'
        folder.mkdir(exist_ok=True)
        mount = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(folder)]
        if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
            try:
                yield folder
            finally:
                subprocess.run(['umount', '-l', str(folder)], check=True)
        else:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
            try:
                yield folder
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


TINY = {
    'name': 'tiny',
    'model_type': 'LabNetModel',
    'scale': 2,
    'num_gpu': 0,
    'manual_seed': 3,
    'datasets': {
        'train': {
            'name': 'photos',
            'type': 'ClassicalDegradationDataset',
            'io_backend': {'type': 'disk'},
            'gt_size': 32,
            'use_hflip': True,
            'use_rot': True,
            'num_worker_per_gpu': 0,
            'batch_size_per_gpu': 2,
            'dataset_enlarge_ratio': 1,
            'prefetch_mode': None,
        }
    },
    'network_g': {'type': 'LabNet', 'num_feat': 16, 'num_blocks': [1, 1, 1, 1, 1, 1], 'upscale': 2},
    'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
    'train': {
        'ema_decay': 0.9,
        'optim_g': {'type': 'Adam', 'lr': 1e-3, 'betas': [0.9, 0.99]},
        'scheduler': {'type': 'MultiStepLR', 'milestones': [5], 'gamma': 0.5},
        'total_iter': 8,
        'warmup_iter': -1,
        'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
    },
    'val': {
        'val_freq': 4,
        'save_img': False,
        'save_best': 'psnr',
        'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 2, 'test_y_channel': True}},
    },
    'logger': {'print_freq': 4, 'save_checkpoint_freq': 4, 'use_tb_logger': False},
}

VAL = {'name': 'val', 'type': 'ClassicalDegradationDataset', 'io_backend': {'type': 'disk'}, 'num_kernels': 2}
REAL = {  # what turns TINY into the pixel stage on second-order degradations
    'model_type': 'RealNetModel',
    'network_g': {'attention': 'none', 'large_field': False},  # the cheapest blocks
    'gt_size': 32,
    'queue_size': 4,
    'resize_range': [0.5, 1.5],
    'resize_range2': [0.5, 1.2],
    'datasets': {
        'train': {
            'type': 'RealWorldDataset',
            'crop_pad_size': 48,
            'gt_size': ...,
            'blur_kernel_size': 7,
            'blur_kernel_size2': 7,
        }
    },
}
GAN = {  # and that into the GAN stage
    'model_type': 'RealGANModel',
    'network_d': {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 8},
    'train': {
        'optim_d': {'type': 'Adam', 'lr': 1e-3, 'betas': [0.9, 0.99]},
        'gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.1},
    },
}


def merge(base, changes):
    """Recursive update of a copy; a value of ``...`` removes the key."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is ...:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


@pytest.fixture
def tiny_options(photo_folder):
    """``tiny_options({...changes...})`` -> option dict of a run of seconds, trained and validated on ``photo_folder``.

    Changes follow one another; ``'val': ...`` leaves the validation out.
    """

    def make(*changes):
        options = functools.reduce(merge, filter(None, changes), merge(TINY, {}))
        if 'val' in options:
            options['datasets'].setdefault('val', dict(VAL))
        for dataset in options['datasets'].values():
            dataset.setdefault('dataroot_gt', str(photo_folder))
        return options

    return make


@pytest.fixture
def real_options(tiny_options):
    """As ``tiny_options``, for the pixel stage of RealNet, or with ``stage='gan'`` for its second one."""

    return lambda changes=None, stage='pixel': tiny_options(REAL, GAN if stage == 'gan' else {}, changes)


@pytest.fixture
def build(tmp_path):
    """``build(options, is_train)`` -> model as BasicSR's pipeline would build it."""
    from basicsr.models import build_model

    def make(options, is_train=True):
        opt = copy.deepcopy(options)
        for folder in ('models', 'training_states', 'visualization', 'experiments_root', 'results_root'):
            opt['path'][folder] = str(tmp_path / folder)
            (tmp_path / folder).mkdir(exist_ok=True)
        opt.update(dist=False, rank=0, world_size=1, is_train=is_train)
        torch.manual_seed(0)
        return build_model(opt)

    return make


@pytest.fixture
def call(monkeypatch):
    """``call(main, *argv)``: a command in this process, with a logger of BasicSR as a new process has it."""
    from basicsr.utils import logger as basicsr_logger

    def run(main, *argv):
        monkeypatch.setattr(sys, 'argv', [*argv])
        for handler in list(logging.getLogger('basicsr').handlers):
            logging.getLogger('basicsr').removeHandler(handler)
        basicsr_logger.initialized_logger.clear()
        return main()

    return run


@pytest.fixture
def run_main(tmp_path, monkeypatch, call):
    """``run_main(main, options, *flags)``: call an entry in this process, with the test's folder as the root."""

    def run(main, options, *flags):
        file = tmp_path / f'{options["name"]}.yml'
        file.write_text(yaml.safe_dump(options, sort_keys=False))
        monkeypatch.chdir(tmp_path)
        call(main, 'stea', '-opt', str(file), *flags)
        return tmp_path

    return run


@pytest.fixture
def fail_main(run_main, capsys):
    """``fail_main(status, main, options, *flags)``: what such a call says that ends with that status in a paragraph."""

    def run(status, main, options, *flags):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_main(main, options, *flags)
        error = capsys.readouterr().err
        assert stop.value.code == status and 'Traceback' not in error, error
        return error

    return run
