import plain
import pytest
import torch
from published_fill import load_reference
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stea_arch.archs.block import FusedBlock
from stea_arch.archs.fused import FusedTail
from stea_arch.archs.labnet_arch import ATTENTIONS, LabBlock, LabNet, fuse_parts
from stea_arch.archs.layers import Pointwise, average
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.archs.stea import gated_step
from stea_arch.weights.authors_naming import load_published

ONE_EACH = (1, 1, 1, 1, 1, 1)


def small(**arguments):
    return plain.randomise(LabNet(**{'num_feat': 16, 'num_blocks': ONE_EACH, 'upscale': 2, **arguments})).eval()


@pytest.mark.parametrize(('attention', 'equation'), [('stea', plain.stea), ('ttea', plain.ttea)])
@pytest.mark.parametrize('large_field', [True, False])
@pytest.mark.parametrize('num_feat', [16, 48])
def test_block_computes_its_equation(attention, equation, large_field, num_feat):
    block = plain.randomise(LabBlock(num_feat, attention, large_field)).double()
    f = torch.randn(2, num_feat, 9, 14, dtype=torch.float64)
    field = plain.mlfr if large_field else (lambda p, t: t)
    with torch.no_grad():
        expected = plain.block(plain.Weights(block.state_dict()), f, equation, field)
        torch.testing.assert_close(FusedBlock(block)(f), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize('attention', ATTENTIONS)
@pytest.mark.parametrize('field', [{'dilations': (1, 3, 2, 5)}, {'large_field': False}])
def test_every_block_keeps_its_function(attention, field):
    block = plain.randomise(LabBlock(16, attention, **{'large_field': True, **field})).double()
    f = torch.randn(2, 16, 7, 10, dtype=torch.float64)
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
    tail = small(upscale=upscale).tail.double()
    for conv in tail[::2]:
        nn.init.normal_(conv.bias)
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(FusedTail(tail)(x), tail(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize('upscale', [2, 3, 4])
@pytest.mark.parametrize('size', [(1, 1), (2, 7), (3, 4), (5, 9), (9, 6)])
def test_network_keeps_its_function(upscale, size):
    network = small(upscale=upscale)
    lq = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = network(lq)
        difference = (network.fuse()(lq) - expected).abs().max()
    assert difference < 1e-5 * max(1, expected.abs().max())


@pytest.mark.parametrize('name', ['labnet_x4', 'labnetgan_x4', 'labnet_ttea_x4'])
def test_reproduces_published_outputs(name):
    reference, weights = load_reference(name)
    fused = load_published(weights).fuse()
    seen = {}
    for key, module in {'head': fused.head, 'block0': fused.enc1[0], 'latent': fused.latent}.items():
        module.register_forward_hook(lambda _module, _args, output, key=key: seen.update({key: output}))
    with torch.no_grad():
        seen['sr'] = fused(reference['lq'])
    for key in ('head', 'block0', 'latent', 'sr'):
        assert (seen[key] - reference[key]).abs().max() < 1e-4, key


def test_fused_network_is_independent_and_for_inference():
    network = small()
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
    network = plain.randomise(RealNet(streams=2, num_feat=16, num_blocks=ONE_EACH, upscale=2)).double().eval()
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


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_bfloat16_autocast_stays_close(attention):
    network = small(attention=attention)
    fused = network.fuse()
    lq = torch.rand(2, 3, 13, 10)
    with torch.no_grad():
        exact = network(lq)
        with torch.autocast('cpu', torch.bfloat16):
            mixed = fused(lq)
    assert 0 < (mixed - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize('attention', ['stea', 'ttea'])
def test_compiles_to_one_graph(attention):
    network = small(attention=attention)
    for stage in ('enc2', 'latent', 'dec1', 'dec2', 'refine'):  # tracing all of them takes long
        setattr(network, stage, nn.Sequential())
    fused = network.fuse()
    compiled = torch.compile(fused, backend='eager', fullgraph=True)
    lq = torch.rand(1, 3, 13, 10)
    torch.testing.assert_close(compiled(lq), fused(lq), rtol=0, atol=1e-5)
