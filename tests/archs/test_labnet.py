import functools

import plain
import pytest
import small_networks
import torch
import torch.nn.functional as F
from torch import nn

from stea_arch.archs.labnet_arch import ATTENTIONS, LabBlock, LabNet
from stea_arch.archs.layers import ChannelNorm


@pytest.fixture(scope='module')
def network():
    return small_networks.labnet()


def test_published_number_of_parameters():
    with torch.device('meta'):
        count = sum(parameter.numel() for parameter in LabNet().parameters())
    assert round(count / 1e6, 2) == 35.44


def parameter_gradients(function, block, f):
    """Result and gradients of ``f`` and every parameter, for a fixed weighting of the output."""
    f, names = f.detach().requires_grad_(), [name for name, _ in block.named_parameters()]
    result = function(f)
    share = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = torch.autograd.grad((result * share).sum(), [f, *block.parameters()])
    return dict(zip(['result', 'f', *names], (result.detach(), *found), strict=True))


@pytest.mark.parametrize(('attention', 'equation'), [('stea', plain.stea), ('ttea', plain.ttea)])
@pytest.mark.parametrize('padding', ['zeros', 'partial', None])  # None: no large field
@pytest.mark.parametrize('size', [(9, 14), (3, 5)])  # with the linear maps multiplied out, and one after the other
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 2e-4)])
def test_gradients_are_those_of_its_equation(attention, equation, padding, size, dtype, tolerance):
    block = plain.randomise(LabBlock(32, attention, padding is not None, padding=padding))
    f, field = torch.randn(2, 32, *size), functools.partial(plain.mlfr, padding=padding)
    field = field if padding else (lambda p, t: t)
    ours = parameter_gradients(block.to(dtype), block, f.to(dtype))
    block.double()
    weights = plain.Weights(dict(block.named_parameters()))
    expected = parameter_gradients(lambda f: plain.block(weights, f, equation, field), block, f.double())
    for name, exact in expected.items():
        error = (ours[name].double() - exact).abs().max() / exact.abs().max()
        assert error < tolerance, f'{name}: {error:.1e}'


@pytest.mark.parametrize('padding', ['zeros', 'partial'])
def test_gradients_under_autocast(padding):
    """Maps are bfloat16 from end to end, parameters and their gradients fp32."""
    torch.manual_seed(0)
    block, f = plain.randomise(LabBlock(16, 'stea', True, padding=padding)), torch.randn(2, 16, 40, 40).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        ours = parameter_gradients(block, block, f)
    assert ours['result'].dtype == ours['f'].dtype == torch.bfloat16
    exact = parameter_gradients(block.double(), block, f.double())
    for name, gradient in ours.items():
        assert gradient.dtype == (torch.bfloat16 if name in ('result', 'f') else torch.float32)
        error = (gradient.double() - exact[name]).norm() / exact[name].norm()
        assert error < 0.3, f'{name}: {error:.3f}'


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_norm_of_half_precision_sums_gradients_in_fp32(dtype):
    """In bfloat16 a sum over 9216 pixels stops growing on the way: a shift's gradient would be off by 90%."""
    norm, x, share = plain.randomise(ChannelNorm(32)), torch.randn(1, 32, 96, 96).to(dtype), 1 + torch.rand(32, 96, 96)
    with torch.autocast('cpu', dtype):
        result = norm(x)
    ours = torch.autograd.grad((result * share).sum(), list(norm.parameters()))
    norm.double()
    exact = torch.autograd.grad((norm(x.double()) * share).sum(), list(norm.parameters()))
    assert result.dtype == dtype
    for mine, theirs in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=0.01 * float(theirs.abs().max()))


@pytest.mark.parametrize('upscale', [2, 3, 4])
def test_network_computes_its_equation(upscale):
    depths = (2, 1, 1, 1, 1, 2)
    network = small_networks.labnet(upscale=upscale, num_blocks=depths).double()
    lq = torch.rand(2, 3, 12, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = plain.network(network.state_dict(), lq, depths, upscale)
        torch.testing.assert_close(network(lq), expected, rtol=0, atol=1e-9)


def test_ablations_together_compute_their_equation():
    network = small_networks.labnet(attention='ttea', large_field=False, num_in_ch=1, num_out_ch=1).double()
    lq = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = plain.network(network.state_dict(), lq, (1,) * 6, 2, plain.ttea, lambda p, t: t)
        torch.testing.assert_close(network(lq), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize('attention', ['taylor', 'softmax', 'none'])
@pytest.mark.parametrize('large_field', [True, False])
def test_block_joins_any_attention_with_the_rest(attention, large_field):
    block = plain.randomise(LabBlock(16, attention, large_field)).double()
    f = torch.randn(2, 16, 9, 14, dtype=torch.float64)
    field = plain.mlfr if large_field else (lambda p, t: t)
    with torch.no_grad():
        expected = plain.block(
            plain.Weights(block.state_dict()), f, lambda p, x: block.attention(x, block.attention.statistics(x)), field
        )
        torch.testing.assert_close(block(f), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize('attention', ATTENTIONS)
@pytest.mark.parametrize(
    ('field', 'reach'),
    [({'large_field': True}, 24), ({'large_field': True, 'dilations': (1, 3)}, 12), ({'large_field': False}, 0)],
)
def test_mix_sees_as_far_as_its_halo(attention, field, reach):
    block = plain.randomise(LabBlock(16, attention, **field)).double()
    assert block.mix_halo == max(reach + (0 if attention == 'none' else 3), 2)
    statistics = block.attention.statistics(torch.randn(1, 16, 9, 9, dtype=torch.float64))
    x = torch.randn(1, 16, 1, 61, dtype=torch.float64, requires_grad=True)
    block.mix(x, statistics)[0, :, 0, 30].sum().backward()
    reached = x.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    assert (reached.min(), reached.max()) == (30 - block.mix_halo, 30 + block.mix_halo)


def test_arguments_reach_every_block():
    taylor = {'attention': 'taylor', 'taylor_order': 3, 'num_heads': 2, 'key_dim': 5}
    network = small_networks.labnet(**taylor, dilations=(1, 3), padding='partial')
    blocks = [module for module in network.modules() if isinstance(module, LabBlock)]
    assert len(blocks) == 6
    for block in blocks:
        attention, branches = block.attention, block.large_field.branches
        assert (attention.order, attention.num_heads, attention.key.out_channels) == (3, 2, 10)
        assert [branches[0].far_partial_1.dilation, branches[1].far_partial_3.dilation] == [(1, 1), (3, 3)]


@pytest.mark.parametrize('attention', ['taylor', 'softmax', 'none'])
@pytest.mark.parametrize('size', [(1, 1), (2, 7), (9, 6)])
def test_any_size_with_any_attention(attention, size):
    h, w = size
    with torch.no_grad():
        sr = small_networks.labnet(attention=attention)(torch.rand(1, 3, h, w))
    assert sr.shape == (1, 3, 2 * h, 2 * w) and sr.isfinite().all()


@pytest.mark.parametrize('upscale', [2, 3, 4])
@pytest.mark.parametrize('size', [(1, 1), (1, 9), (2, 7), (3, 4), (4, 5), (5, 3), (6, 2), (7, 8), (8, 6), (9, 1)])
def test_any_size_repeats_the_edge(size, upscale):
    network = small_networks.labnet(upscale=upscale)
    lq = torch.rand(1, 3, *size)
    h, w = size
    rows, columns = torch.arange(-(-h // 4) * 4).clamp(max=h - 1), torch.arange(-(-w // 4) * 4).clamp(max=w - 1)
    padded = lq[:, :, rows][..., columns]

    def skip(x):
        return F.interpolate(x, scale_factor=upscale, mode='bicubic').clamp(0, 1)

    with torch.no_grad():
        learned = (network(padded) - skip(padded))[..., : h * upscale, : w * upscale]
        sr = network(lq)
    assert sr.shape == (1, 3, h * upscale, w * upscale)
    torch.testing.assert_close(sr, learned + skip(lq), rtol=0, atol=1e-5)


def test_starts_with_attention_and_large_field_shut():
    torch.manual_seed(0)
    block = LabBlock(16, 'stea', True)
    f = torch.randn(1, 16, 8, 8)
    before = block(f)
    plain.randomise(block.attention)
    plain.randomise(block.large_field)
    assert torch.equal(block(f), before)
    nn.init.constant_(block.beta, 0.1)
    assert not torch.allclose(block(f), before, atol=1e-3)


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_gradient_reaches_every_parameter(attention):
    network = small_networks.labnet(attention=attention)
    network(torch.rand(1, 3, 12, 10)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_images_of_a_batch_do_not_meet(network):
    lq = torch.rand(3, 3, 10, 7)
    with torch.no_grad():
        one_by_one = torch.cat([network(image[None]) for image in lq])
        torch.testing.assert_close(network(lq), one_by_one, rtol=0, atol=1e-5)


def test_compiles_to_one_graph_with_gradients():
    block, f = plain.randomise(LabBlock(16, 'stea', True)), torch.randn(2, 16, 9, 14)
    expected = parameter_gradients(block, block, f)
    compiled = parameter_gradients(torch.compile(block, backend='aot_eager', fullgraph=True), block, f)
    for name, gradient in expected.items():
        torch.testing.assert_close(compiled[name], gradient, rtol=1e-4, atol=1e-4, msg=lambda text, n=name: n + text)


def test_initial_scale_of_the_last_convolution():
    weights = []
    for scale in ({}, {'init_scale': 0.1}):
        torch.manual_seed(0)
        weights.append(LabNet(**small_networks.SMALL, **scale).state_dict())
    published, scaled = weights
    for name, value in published.items():
        factor = 0.1 if name == 'tail.2.weight' else 1
        torch.testing.assert_close(scaled[name], factor * value, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_feat': 40}, r'num_feat must be .* multiple of 16.* got 40. Use 16, 32'),
        ({'num_feat': 0}, r'multiple of 16.* got 0'),
        ({'num_feat': 16.0}, r'multiple of 16.* got 16\.0'),
        ({'num_blocks': (1, 2, 3)}, r'num_blocks must be six whole numbers .*\(1, 2, 3\)'),
        ({'num_blocks': (1, 1, 1, 1, 1, 0)}, r'at least 1.*, 0\)'),
        ({'num_blocks': [1, 1, 1, 1, 1, 1.5]}, r'six whole numbers.* 1\.5\]'),
        ({'num_blocks': 6}, r'six whole numbers.* got 6'),
        ({'upscale': 8}, r'upscale must be 2, 3 or 4, got 8'),
        ({'attention': 'steaa'}, r"attention must be 'stea' .* or 'none', got 'steaa'"),
        ({'dilations': ()}, r'dilations must be one or more whole numbers .*\(\).*large_field=False'),
        ({'dilations': (2, 0)}, r'dilations must be .* at least 1.*\(2, 0\)'),
        ({'dilations': 2}, r'dilations must be .* got 2'),
        ({'padding': 'reflect'}, r"padding must be 'zeros' \(published\) or 'partial', got 'reflect'"),
        ({'taylor_order': 4}, r'taylor_order must be 1, 2 or 3, got 4'),
        ({'num_heads': 3}, r'num_heads must be a divisor of num_feat, which is 64, .* got 3'),
        ({'num_heads': 0}, r'num_heads must be a divisor .* got 0'),
        ({'key_dim': 0}, r'key_dim must be a whole number of at least 1, got 0'),
        ({'init_scale': 0}, r'init_scale must be a number above 0, got 0'),
        ({'num_in_ch': 1}, r'num_in_ch and num_out_ch must be the same .* num_in_ch=1 and num_out_ch=3'),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LabNet(**arguments)


@pytest.mark.parametrize('shape', [(1, 1, 8, 8), (3, 8, 8)])
def test_wrong_input_is_refused(network, shape):
    with pytest.raises(ValueError, match=rf'expects .*\(B, 3, H, W\).*{shape[0]}, {shape[1]}.*num_in_ch'):
        network(torch.rand(shape))
