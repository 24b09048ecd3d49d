"""Networks of a size for tests, whose weights are not those of a start: no branch is hidden by a beta of 0."""

import pytest
import torch
from small_networks import opened_labnet


@pytest.fixture(scope='session')
def network():
    """LabNet x2 with 16 channels and a block a stage, whose output differs visibly from the bicubic skip."""
    torch.manual_seed(0)
    return opened_labnet()


@pytest.fixture(scope='session')
def checkpoint(network, tmp_path_factory):
    """``network`` as BasicSR saves one."""
    path = tmp_path_factory.mktemp('models') / 'net_g_8.pth'
    torch.save({'params': network.state_dict()}, path)
    return str(path)
