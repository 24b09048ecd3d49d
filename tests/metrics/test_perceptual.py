"""LPIPS against the package it comes from, with the same random backbone."""

import lpips
import numpy as np
import pytest
import torch
import torchvision
from basicsr.metrics import calculate_metric
from skimage import data

from stea_arch.metrics import perceptual


@pytest.fixture
def pair():
    truth = data.astronaut()[:104, 150:250, ::-1]
    noise = np.random.default_rng(0).integers(-20, 21, truth.shape)
    return (truth + noise).clip(0, 255).astype(np.uint8), np.ascontiguousarray(truth)


@pytest.fixture
def backbone(tmp_path, monkeypatch):
    """``backbone()`` puts a random backbone's file where a user would, and returns the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'cache'))

    def make():
        torch.manual_seed(0)
        with torch.device('meta'):  # the classifier is large, and nobody reads it
            net = torchvision.models.alexnet()
        net.features.to_empty(device='cpu')
        for parameter in net.features.parameters():
            torch.nn.init.normal_(parameter, 0, 0.05)
        folder = tmp_path / 'experiments/pretrained_models'
        folder.mkdir(parents=True)
        weights = {name: value for name, value in net.state_dict().items() if name.startswith('features.')}
        torch.save(weights, folder / perceptual.BACKBONE)
        return net

    return make


def tensors(pair, border=4):
    cut = [image[border:-border, border:-border, ::-1].transpose(2, 0, 1) for image in pair]
    return [torch.from_numpy(np.ascontiguousarray(image)).float()[None] / 255 for image in cut]


def test_lpips_is_that_of_the_package(backbone, pair, monkeypatch):
    net = backbone()
    monkeypatch.setattr(lpips.pretrained_networks.tv, 'alexnet', lambda pretrained: net)
    reference = lpips.LPIPS(net='alex', verbose=False)
    expected = reference(*(2 * image - 1 for image in tensors(pair))).item()
    opt = {'type': 'calculate_lpips', 'crop_border': 4}
    assert expected > 1e-3
    assert calculate_metric({'img': pair[0], 'img2': pair[1]}, opt) == pytest.approx(expected, rel=1e-5)
    assert calculate_metric({'img': pair[1], 'img2': pair[1]}, opt) == 0


def test_what_is_missing_is_said(backbone, pair, monkeypatch):
    assert perceptual.why_unavailable('psnr') is None
    expected = r'lpips needs the file experiments/pretrained_models/alexnet.*, from https://.*; nothing is downloaded'
    with pytest.raises(ValueError, match=expected):
        perceptual.calculate_lpips(*pair, crop_border=0)
    backbone()
    assert perceptual.why_unavailable('lpips') is None
    monkeypatch.setattr(perceptual, 'PACKAGE', 'no_such_package')
    assert 'pip install stea_arch[metrics]' in perceptual.why_unavailable('lpips')


def test_a_foreign_backbone_is_refused(tmp_path, monkeypatch, pair):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'experiments/pretrained_models'
    folder.mkdir(parents=True)
    torch.save({'features.0.weight': torch.zeros(1)}, folder / perceptual.BACKBONE)
    with pytest.raises(ValueError, match=r'weights of AlexNet were expected in .*, but features\.0\.bias is missing'):
        calculate_metric({'img': pair[0], 'img2': pair[1]}, {'type': 'calculate_lpips', 'crop_border': 0})
