import plain
import pytest
import small_networks
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stea_arch.archs.block import FusedBlock
from stea_arch.archs.fused import FusedTail
from stea_arch.archs.labnet_arch import ATTENTIONS, LabBlock, fuse_parts
from stea_arch.archs.layers import Pointwise, average
from stea_arch.archs.stea import gated_step


@pytest.mark.parametrize('attention', ATTENTIONS)
@pytest.mark.parametrize('num_feat', [16, 48])
@pytest.mark.parametrize('field', [{}, {'dilations': (1, 3, 2, 5)}, {'padding': 'partial'}, {'large_field': False}])
def test_block_keeps_its_function(attention, num_feat, field):
    block = plain.randomise(LabBlock(num_feat, attention, **{'large_field': True, **field})).double()
    f = torch.randn(2, num_feat, 7, 10, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(FusedBlock(block)(f), block(f), rtol=0, atol=1e-10)


@pytest.mark.parametrize('attention', ['stea', 'ttea', 'taylor', 'softmax'])
def test_parts_of_a_block_are_those_of_the_block(attention):
    block = plain.randomise(LabBlock(16, attention, True)).double()
    fused = FusedBlock(block)
    f, other = torch.randn(2, 2, 16, 8, 11, dtype=torch.float64)
    with torch.no_grad():
        x = block.norm1(f)
        statistics = block.statistics(block.norm1(other))  # not of x: mix must use what it is given
        y = block.mix(x, statistics)
        mean = average(y) + 0.1
        results = {
            'norm1': (fused.norm1(f), x),
            'mix': (fused.mix(x, statistics), y),
            'finish': (fused.finish(f, y, mean), block.finish(f, y, mean)),
        }
        results.update(
            {f'statistics {i}': pair for i, pair in enumerate(zip(fused.statistics(x), block.statistics(x)))}
        )
    assert fused.mix_halo == block.mix_halo
    for name, (ours, expected) in results.items():
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10, msg=lambda text, name=name: f'{name}: {text}')


def test_block_does_not_write_into_what_it_is_given():
    fused = FusedBlock(plain.randomise(LabBlock(16, 'stea', True)))
    f, y = (torch.randn(1, 16, 8, 8).contiguous(memory_format=torch.channels_last) for _ in range(2))
    before = f.clone(), y.clone()
    with torch.no_grad():
        fused(f)
        fused.mix(f, fused.statistics(f))
        fused.finish(f, y, average(y))
    assert torch.equal(f, before[0]) and torch.equal(y, before[1])


def test_block_needs_fewer_multiply_adds():
    block, f = plain.randomise(LabBlock(64, 'stea', True)), torch.randn(1, 64, 24, 24)

    def cost(function):
        """Multiply-adds a pixel, over C^2."""
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            function(f)
        return counter.get_total_flops() / 2 / 24**2 / 64**2

    saved = cost(lambda f: plain.block(plain.Weights(block.state_dict()), f)) - cost(FusedBlock(block))
    assert round(saved, 1) == 4.1  # 4 in MLFR and the merge of the block, the rest in STEA


def test_gated_step_is_two_convolutions_and_a_gate():
    expand, reduce = plain.randomise(Pointwise(4, 16)).double(), plain.randomise(Pointwise(16, 4, bias=False)).double()
    h, gate = torch.randn(3, 4, 5, 6, dtype=torch.float64), torch.rand(3, 16, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(gated_step(h, expand, gate, reduce), reduce(gate * expand(h)), rtol=0, atol=1e-12)


@pytest.mark.parametrize('upscale', [2, 3, 4])
@pytest.mark.parametrize('size', [(4, 4), (4, 9), (5, 4), (6, 13), (8, 7)])
def test_tail_keeps_its_function(upscale, size):
    tail = small_networks.labnet(upscale=upscale).tail.double()
    for conv in tail[::2]:
        nn.init.normal_(conv.bias)
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(FusedTail(tail)(x), tail(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize('upscale', [2, 3, 4])
@pytest.mark.parametrize('size', [(1, 1), (2, 7), (3, 4), (5, 9), (9, 6)])
def test_network_keeps_its_function(upscale, size):
    network = small_networks.labnet(upscale=upscale)
    lq = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = network(lq)
        difference = (network.fuse()(lq) - expected).abs().max()
    assert difference < 1e-5 * max(1, expected.abs().max())


def test_fused_network_is_independent_and_for_inference():
    network = small_networks.labnet()
    network.train()
    fused = network.fuse()
    lq = torch.rand(1, 3, 8, 8)
    assert network.training and not fused.training
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    before = fused(lq)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert torch.equal(fused(lq), before)
    assert torch.equal(fused.fuse()(lq), before)


def test_blocks_of_any_network_are_fused():
    network = nn.ModuleDict({'left': nn.Sequential(LabBlock(16, 'stea', True)), 'right': LabBlock(16, 'ttea', False)})
    fused = fuse_parts(network)
    assert [type(fused['left'][0]), type(fused['right'])] == [FusedBlock, FusedBlock]
    assert type(network['right']) is LabBlock


def test_two_streams_keep_their_function_and_strengths():
    network = small_networks.two_streams().double()
    fused = network.fuse()
    lq = torch.rand(2, 3, 7, 10, dtype=torch.float64)
    outputs = []
    with torch.no_grad():
        for strengths in ((None, None), (0.2, 1.4)):
            outputs.append(fused.set_strengths(*strengths)(lq))
            torch.testing.assert_close(outputs[-1], network.set_strengths(*strengths)(lq), rtol=0, atol=1e-10)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    assert not [module for module in fused.modules() if isinstance(module, LabBlock)]
    assert isinstance(fused.blur.tail, FusedTail)
