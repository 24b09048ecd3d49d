import plain
import pytest
import torch

from stea_arch.archs.mlfr import MLFR


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
