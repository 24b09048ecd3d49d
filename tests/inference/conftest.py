"""A tiny LabNet whose every part matters."""

import pytest
import torch
from small_networks import labnet


@pytest.fixture
def make_net():
    """``make_net(upscale=2, ...)`` -> LabNet in fp64 with random weights, beta and norms far from 0."""

    return lambda **arguments: labnet(**arguments).double()


@pytest.fixture
def image():
    """``image(H, W)`` -> random ``(1, 3, H, W)`` in fp64."""

    def make(height, width, batch=1):
        generator = torch.Generator().manual_seed(0)
        return torch.rand(batch, 3, height, width, generator=generator, dtype=torch.float64)

    return make
