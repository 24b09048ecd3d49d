"""The variants of the ablation are what their names say, by the way in which they are trained: ``--force_yml``."""

import ablation
import pytest
import torch
from basicsr.archs import build_network
from torch import nn

from stea_arch.archs.attention import NoAttention
from stea_arch.archs.mlfr import MLFR
from stea_arch.archs.softmax import Softmax
from stea_arch.archs.stea import STEA, TTEA
from stea_arch.archs.taylor import Taylor
from stea_arch.options import read_options

EXPECTED = {
    'stea': (STEA, (2, 4, 6)),
    'ttea': (TTEA, (2, 4, 6)),
    'taylor1': (Taylor, (2, 4, 6)),
    'taylor2': (Taylor, (2, 4, 6)),
    'taylor3': (Taylor, (2, 4, 6)),
    'softmax': (Softmax, (2, 4, 6)),
    'no_attention': (NoAttention, (2, 4, 6)),
    'partial': (STEA, (2, 4, 6)),
    'dilations_2': (STEA, (2,)),
    'dilations_2_4': (STEA, (2, 4)),
    'no_large_field': (STEA, ()),
    'neither': (NoAttention, ()),
}


@pytest.mark.parametrize('variant', ablation.VARIANTS)
def test_a_variant_is_what_its_name_says(variant):
    force = [f'network_g:{entry}' for entry in ablation.VARIANTS[variant][1]]
    network = build_network(read_options(ablation.TRAIN, force, is_train=True, check_files=False)['network_g'])
    attention, dilations = EXPECTED[variant]
    for block in (network.enc1[0], network.latent[0], network.refine[0]):
        assert type(block.attention) is attention
        assert isinstance(block.large_field, MLFR if dilations else nn.Identity)
        branches = block.large_field.branches if dilations else []
        wide = [branch.fields()[0] for branch in branches]
        assert tuple(conv.dilation[0] for conv in wide) == dilations
        assert all(conv.partial == (variant == 'partial') for conv in wide)
        if attention is Taylor:
            assert block.attention.order == int(variant[-1])
    with torch.no_grad():
        assert network.eval()(torch.rand(1, 3, 8, 8)).shape == (1, 3, 32, 32)
