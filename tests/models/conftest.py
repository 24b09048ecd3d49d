"""A training model on random tensors, without files."""

import copy

import pytest
import torch
from basicsr.models import build_model


@pytest.fixture
def make_model(tiny_options, tmp_path):
    """``make_model({...changes...}, is_train=True)`` -> model as BasicSR's pipeline would build it."""

    def make(changes=None, is_train=True):
        opt = copy.deepcopy(tiny_options(changes))
        for folder in ('models', 'training_states', 'visualization', 'experiments_root', 'results_root'):
            opt['path'][folder] = str(tmp_path / folder)
            (tmp_path / folder).mkdir(exist_ok=True)
        opt.update(dist=False, rank=0, world_size=1, is_train=is_train)
        torch.manual_seed(0)
        return build_model(opt)

    return make


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return {'lq': torch.rand(2, 3, 16, 16, generator=generator), 'gt': torch.rand(2, 3, 32, 32, generator=generator)}
