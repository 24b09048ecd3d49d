"""The shipped weights: whole, small, described, and better than bicubic on photographs that nobody trained on."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import weights_table
from basicsr.metrics import calculate_psnr

from stea_arch.data.gaussian8 import gaussian8
from stea_arch.data.image_io import decode
from stea_arch.data.patches import to_tensor
from stea_arch.degradations.batch_steps import usm_sharpen
from stea_arch.degradations.classical import degrade
from stea_arch.degradations.resize import imresize
from stea_arch.degradations.second_order import SecondOrderSampler
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.results.contact_sheet import apply_sample, draw_samples
from stea_arch.upscaling.upscaler import Upscaler
from stea_arch.weights import DEFAULT, FOLDER, find_weights, load_network, shipped

NAMES = ('labnet-s-x4', 'realnet-s-x4')


@pytest.fixture(scope='module')
def photograph():
    """``photograph(file, top, left)`` -> 192x192 pixels of it, uint8."""

    def make(file, top, left):
        pixels = decode(Path(skimage.data.__file__).with_name(file).read_bytes(), file, allow_gray=False)
        return np.ascontiguousarray(pixels[top : top + 192, left : left + 192])

    return make


def psnr(image, gt):
    return calculate_psnr(image[..., ::-1], gt[..., ::-1], 4, test_y_channel=True)


def bicubic(lq):
    return (imresize(lq.astype(np.float32) / 255, 4).clip(0, 1) * 255).round().astype(np.uint8)


def test_there_are_both_and_the_default_is_one():
    assert set(shipped()) == set(NAMES) and DEFAULT in NAMES


@pytest.mark.parametrize('name', NAMES)
def test_files_are_whole_small_and_no_wider_than_needed(name):
    path = find_weights(name)
    assert path.stat().st_size < 12e6
    network = load_network(name)
    assert not network.training and network.upscale == 4
    assert all(torch.equal(p, p.half().float()) for p in network.parameters())  # stored in half precision
    assert {file.name for file in FOLDER.glob('*.safetensors')} == {entry['file'] for entry in shipped().values()}


def test_labnet_is_better_than_bicubic_under_every_kernel(photograph):
    upscaler = Upscaler('labnet-s-x4', 'cpu')
    for file, place in (('chelsea.png', (60, 100)), ('coffee.png', (100, 220))):
        gt = photograph(file, *place)
        for kernel, params in gaussian8(4).items():
            lq = (degrade(gt.astype(np.float32) / 255, params) * 255).round().astype(np.uint8)
            assert psnr(upscaler(lq), gt) > psnr(bicubic(lq), gt) + 1, (file, kernel)


def test_realnet_is_better_than_bicubic_on_what_went_through_two_cameras(photograph):
    upscaler, gains = Upscaler('realnet-s-x4', 'cpu'), []
    for file, place in (('chelsea.png', (60, 100)), ('coffee.png', (100, 220))):
        gt = photograph(file, *place)
        sharp = (usm_sharpen(to_tensor(gt)[None].float() / 255)[0] * 255).round().byte()  # what is degraded
        sharp = sharp.numpy().transpose(1, 2, 0)
        for kernels, params in draw_samples(6, 192, SecondOrderSampler(4), KernelSampler(), seed=0):
            lq = apply_sample(gt, kernels, params)
            gains.append(psnr(upscaler(lq), sharp) - psnr(bicubic(lq), sharp))
    assert np.mean(gains) > 0.3 and min(gains) > -0.3


def test_the_model_card_shows_the_measured_numbers():
    kept = json.loads(weights_table.KEPT.read_text(encoding='utf-8'))
    card = weights_table.CARD.read_text(encoding='utf-8')
    assert weights_table.tables(kept) in card
    digest = shipped()['labnet-s-x4']['sha256']
    assert {rows['LabNet-S']['weights_sha256'] for rows in kept['sets'].values()} == {digest}
    assert all(name in card for name in NAMES)
