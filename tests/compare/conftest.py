"""A miniature comparison: six small photographs, bicubic, a tiny network, one whose weights do not fit."""

import copy

import pytest
import torch
import yaml
from basicsr.archs import build_network

from stea_arch.compare.options import read_compare_options

TINY = {'type': 'LabNet', 'num_feat': 16, 'num_blocks': [1, 1, 1, 1, 1, 1], 'upscale': 2}


@pytest.fixture
def mini(tmp_path, photo_folder, monkeypatch):
    """Option dict of a comparison of seconds; the test's folder is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'cache'))  # whatever lies in the user's own
    torch.manual_seed(0)
    torch.save({'params': build_network(copy.deepcopy(TINY)).state_dict()}, 'labnet.pth')
    return {
        'name': 'mini',
        'scales': [2],
        'num_gpu': 0,
        'networks': {
            'Bicubic': 'bicubic',
            'LabNet': {'network_g': copy.deepcopy(TINY), 'weights': 'labnet.pth'},
        },
        'datasets': {'photos': {'protocol': 'gaussian8', 'gt': str(photo_folder), 'num_kernels': 2}},
        'crops': {'rows': 2, 'size': 24},
    }


@pytest.fixture
def read(tmp_path):
    """``read(opt)`` -> the dict as read from a file of it, checked."""

    def check(opt, **how):
        file = tmp_path / 'compare.yml'
        file.write_text(yaml.safe_dump(opt, sort_keys=False))
        return read_compare_options(file, **how)

    return check
