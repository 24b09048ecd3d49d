"""Autocast, ``torch.compile`` and the export to ONNX take every network as it is."""

import plain
import pytest
import small_networks
import torch
from small_networks import assert_exports_to_onnx, keep_one_block
from torch import nn

from stea_arch.archs.labnet_arch import ATTENTIONS


def two_streams():
    """With the cheapest blocks, as LabNet stands here with all of them."""
    return small_networks.two_streams(attention='none', large_field=False).set_strengths(denoise=0.8)


NETWORKS = {
    **{name: lambda name=name: small_networks.labnet(attention=name) for name in ATTENTIONS},
    **{f'{name}, fused': lambda name=name: small_networks.labnet(attention=name).fuse() for name in ATTENTIONS},
    'partial': lambda: small_networks.labnet(padding='partial'),
    'two streams': two_streams,
}


@pytest.mark.parametrize('name', NETWORKS)
def test_bfloat16_autocast_stays_close(name):
    network, lq = NETWORKS[name](), torch.rand(2, 3, 13, 10)
    with torch.no_grad():
        exact = network(lq)
        with torch.autocast('cpu', torch.bfloat16):
            mixed = network(lq)
    assert 0 < (mixed - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize('name', [*ATTENTIONS, 'stea, fused', 'ttea, fused', 'two streams'])
def test_compiles_to_one_graph(name):
    network, lq = NETWORKS[name](), torch.rand(1, 3, 13, 10)
    for stream in (network.blur, network.noise) if name == 'two streams' else (network,):
        keep_one_block(stream)
    compiled = torch.compile(network, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(lq), network(lq), rtol=0, atol=1e-5)


@pytest.mark.parametrize('name', ['stea', 'partial', 'two streams'])
def test_exports_to_onnx_with_free_sizes(name, tmp_path):
    network = NETWORKS[name]()
    for stream in (network.blur, network.noise) if name == 'two streams' else (network,):
        keep_one_block(stream)
    assert_exports_to_onnx(network, tmp_path, [(2, 3, 13, 10), (1, 3, 8, 24), (1, 3, 1, 1)])


class Whole(nn.Module):
    """An attention with the statistics of its own input."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        return self.attention(x, self.attention.statistics(x))


@pytest.mark.parametrize('name', ['taylor', 'softmax'])
def test_attentions_export_to_onnx_with_free_sizes(name, tmp_path):
    attention = Whole(plain.randomise(ATTENTIONS[name](16))).eval()
    assert_exports_to_onnx(attention, tmp_path, [(2, 16, 8, 12), (1, 16, 5, 24), (1, 16, 1, 1)])
