import plain
import pytest
import torch

from stea_arch.archs.mlfr import MLFR


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (33, 18)])
@pytest.mark.parametrize('num_feat', [16, 32])
@pytest.mark.parametrize(
    ('dilations', 'kernels'),
    [((2, 4, 6), [3, 5, 7]), ((2,), [3]), ((1, 2, 3, 4), [1, 3, 3, 5]), ((8, 5), [9, 5])],
)
@pytest.mark.parametrize('padding', ['zeros', 'partial'])
def test_computes_its_equation(size, num_feat, dilations, kernels, padding):
    ours = plain.randomise(MLFR(num_feat, dilations, padding)).double()
    p, t = plain.Weights(ours.state_dict()), torch.randn(2, num_feat, *size, dtype=torch.float64)
    assert [p[f'branches.{i}.near.weight'].shape[-1] for i in range(len(dilations))] == kernels
    assert ours.halo == 4 * max(dilations)
    with torch.no_grad():
        torch.testing.assert_close(ours(t), plain.mlfr(p, t, dilations, padding), rtol=0, atol=1e-10)
