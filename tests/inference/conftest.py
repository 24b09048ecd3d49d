"""A tiny LabNet whose every part matters."""

import sys
from pathlib import Path

import pytest
import torch

from stea_arch.archs.labnet_arch import LabNet

sys.path.insert(0, str(Path(__file__).parents[1] / 'archs'))
import plain


@pytest.fixture
def make_net():
    """``make_net(upscale=2, ...)`` -> LabNet in fp64 with random weights, beta and norms far from 0."""

    def make(**arguments):
        arguments = {'num_feat': 16, 'num_blocks': (1, 1, 1, 1, 1, 1), 'upscale': 2, **arguments}
        return plain.randomise(LabNet(**arguments)).double().eval()

    return make


@pytest.fixture
def image():
    """``image(H, W)`` -> random ``(1, 3, H, W)`` in fp64."""

    def make(height, width, batch=1):
        generator = torch.Generator().manual_seed(0)
        return torch.rand(batch, 3, height, width, generator=generator, dtype=torch.float64)

    return make
