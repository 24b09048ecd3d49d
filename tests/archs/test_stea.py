import plain
import pytest
import torch

from stea_arch.archs.stea import STEA, TTEA


@pytest.mark.parametrize(('module', 'equation'), [(STEA, plain.stea), (TTEA, plain.ttea)])
@pytest.mark.parametrize('size', [(1, 1), (5, 8)])
@pytest.mark.parametrize('num_feat', [16, 48])
def test_computes_its_equation(module, equation, size, num_feat):
    ours = plain.randomise(module(num_feat)).double()
    x = torch.randn(2, num_feat, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = equation(plain.Weights(ours.state_dict()), x)
        torch.testing.assert_close(ours(x, ours.statistics(x)), expected, rtol=0, atol=1e-10)
