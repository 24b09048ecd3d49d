"""A training model on random tensors, without files."""

import pytest
import torch


@pytest.fixture
def make_model(tiny_options, build):
    """``make_model({...changes...}, is_train=True)`` -> model on ``tiny_options``."""
    return lambda changes=None, is_train=True: build(tiny_options(changes), is_train)


@pytest.fixture
def make_real(real_options, build):
    """``make_real({...changes...}, stage)`` -> model on ``real_options``."""
    return lambda changes=None, stage='pixel', is_train=True: build(real_options(changes, stage), is_train)


@pytest.fixture
def regions():
    """A batch as RealWorldDataset gives it: two regions of 48 pixels and kernels of 7."""
    generator = torch.Generator().manual_seed(2)
    kernels = torch.rand(3, 2, 7, 7, generator=generator)
    kernels = kernels / kernels.sum((2, 3), keepdim=True)
    gt = (torch.rand(2, 3, 48, 48, generator=generator) * 255).round() / 255
    return {'gt': gt, **dict(zip(('kernel1', 'kernel2', 'sinc_kernel'), kernels, strict=True))}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return {'lq': torch.rand(2, 3, 16, 16, generator=generator), 'gt': torch.rand(2, 3, 32, 32, generator=generator)}
