import plain
import pytest
import torch
import torch.nn.functional as F

from stea_arch.archs.mlfr import MLFR, DilatedDepthwise


@pytest.mark.parametrize('dilation', [1, 2, 3, 4, 6])
@pytest.mark.parametrize('size', [(1, 1), (5, 7), (6, 12), (13, 4), (64, 50)])
@pytest.mark.parametrize('num_feat', [1, 16])
def test_dilated_equals_library(dilation, size, num_feat):
    ours = plain.randomise(DilatedDepthwise(num_feat, 9, dilation)).double()
    x = torch.randn(2, num_feat, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = F.conv2d(x, ours.weight, ours.bias, padding=4 * dilation, dilation=dilation, groups=num_feat)
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_dilated_gradients_equal_library(memory_format):
    ours = plain.randomise(DilatedDepthwise(16, 9, 6))
    x = torch.randn(2, 16, 20, 15).contiguous(memory_format=memory_format).requires_grad_()
    weight_of_output = torch.randn(2, 16, 20, 15)
    expected = F.conv2d(x, ours.weight, ours.bias, padding=24, dilation=6, groups=16)
    inputs = [x, ours.weight, ours.bias]
    for ours_grad, plain_grad in zip(
        torch.autograd.grad((ours(x) * weight_of_output).sum(), inputs),
        torch.autograd.grad((expected * weight_of_output).sum(), inputs),
    ):
        torch.testing.assert_close(ours_grad, plain_grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (33, 18)])
@pytest.mark.parametrize('num_feat', [16, 32])
def test_computes_its_equation(size, num_feat):
    ours = plain.randomise(MLFR(num_feat)).double()
    t = torch.randn(2, num_feat, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(t), plain.mlfr(plain.Weights(ours.state_dict()), t), rtol=0, atol=1e-10)


def test_field_is_49_pixels_wide():
    ours = plain.randomise(MLFR(16)).double()
    t = torch.zeros(1, 16, 1, 61, dtype=torch.float64, requires_grad=True)
    ours(t)[0, :, 0, 30].sum().backward()
    reached = t.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    assert (reached.min(), reached.max()) == (30 - 24, 30 + 24)


@pytest.mark.parametrize(('dilations', 'kernels'), [((2,), [3]), ((1, 2, 3, 4), [1, 3, 3, 5]), ((8, 5), [9, 5])])
def test_a_branch_for_each_dilation(dilations, kernels):
    ours = plain.randomise(MLFR(16, dilations)).double()
    p, t = plain.Weights(ours.state_dict()), torch.randn(1, 16, 12, 17, dtype=torch.float64)
    branches = []
    for i, (d, k) in enumerate(zip(dilations, kernels)):
        assert p[f'branches.{i}.near.weight'].shape == (16, 1, k, k)
        both = [p.conv(f'branches.{i}.far', t, dilation=d), p.conv(f'branches.{i}.near', t)]
        branches.append(p.conv(f'branches.{i}.merge', torch.cat(both, 1)))
    expected = p.conv('merge', torch.cat([*branches, p.conv('bypass', t)], 1)) + t
    assert ours.halo == 4 * max(dilations)
    with torch.no_grad():
        torch.testing.assert_close(ours(t), expected, rtol=0, atol=1e-10)
