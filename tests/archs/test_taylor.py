"""The expansion against the N x N matrix of its polynomial, against softmax, and in reduced precision."""

import itertools
import math

import numpy as np
import plain
import pytest
import torch
import torch.nn.functional as F

from stea_arch.archs.attention import MAX_LOGIT, bounded
from stea_arch.archs.softmax import Softmax
from stea_arch.archs.taylor import Taylor, error_bound, factorials, monomials, taylor_attention, taylor_statistics

ORDERS = (1, 2, 3)


def polynomial(s, order):
    return sum(s**n / math.factorial(n) for n in range(order + 1))


def quadratic(q, k, v, order=None):
    """Attention as its definition says, with the N x N matrix of the weights; softmax where there is no ``order``."""
    s = q.transpose(-1, -2) @ k
    weights = s.exp() if order is None else polynomial(s, order)
    return v @ (weights / weights.sum(-1, keepdim=True)).transpose(-1, -2)


def linear(q, k, v, order):
    return taylor_attention(q, *taylor_statistics(k, v, order), order, factorials(q.shape[-2], order).to(q))


def draw(n=60, d=4, c=5, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, size, n, generator=generator, dtype=dtype) for size in (d, d, c)]


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('d', [1, 2, 4, 7])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_equals_the_quadratic_form(order, d, dtype, tolerance):
    q, k, v = draw(d=d, dtype=dtype)
    q, k = bounded(q), bounded(k)
    torch.testing.assert_close(linear(q, k, v, order), quadratic(q, k, v, order), rtol=0, atol=tolerance)


@pytest.mark.parametrize('order', [*ORDERS, None])
@pytest.mark.parametrize('num_heads', [1, 4, 8])
def test_module_computes_its_equation(order, num_heads):
    """The same names of the same weights, also of softmax: one can be loaded as the other."""
    kind = Softmax(32, num_heads, key_dim=3) if order is None else Taylor(32, order, num_heads, key_dim=3)
    ours = plain.randomise(kind).double()
    p = plain.Weights(ours.state_dict())
    x = torch.randn(2, 32, 5, 8, dtype=torch.float64)
    v = p.conv('value', x)
    q, k = (p.conv(name, x).reshape(2, num_heads, 3, 40) for name in ('query', 'key'))
    q, k = (y * math.sqrt(0.9) / torch.sqrt(1 + (y * y).sum(2, keepdim=True)) for y in (q, k))
    joined = quadratic(q, k, v.reshape(2, num_heads, -1, 40), order).reshape(x.shape)
    expected = joined + p.conv('local', v) + x * plain.gelu(p.conv('self_gate.project', x)) + x
    with torch.no_grad():
        torch.testing.assert_close(ours(x, ours.statistics(x)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('d', [1, 3, 4])
def test_symmetric_features_equal_all_products(order, d):
    q, k, _ = draw(d=d, dtype=torch.float64)
    every = [torch.ones_like(q[..., :1, :]), torch.ones_like(k[..., :1, :])]
    total = every[0].transpose(-1, -2) @ every[1]
    for n in range(1, order + 1):  # all d^n ordered products, none left out
        every = [(y[..., :, None, :] * x[..., None, :, :]).flatten(-3, -2) for y, x in zip(every, (q, k))]
        assert every[0].shape[-2] == d**n
        total = total + every[0].transpose(-1, -2) @ every[1] / math.factorial(n)
    ours = (monomials(q, order) / factorials(d, order)).transpose(-1, -2) @ monomials(k, order)
    assert monomials(q, order).shape[-2] == math.comb(d + order, order)
    torch.testing.assert_close(ours, total, rtol=0, atol=1e-11)


@pytest.mark.parametrize('largest', [0.1, 0.5, 0.9])
def test_distance_from_softmax_is_within_the_bound_and_falls(largest):
    q, k, v = draw(n=200, d=2, dtype=torch.float64)
    q, k = (F.normalize(x, dim=-2) * math.sqrt(largest) for x in (q, k))
    k[..., :2] = torch.stack([q[..., 0], -q[..., 0]], dim=-1)  # so that q . k reaches r and -r
    softmax = quadratic(q, k, v)
    spread = v.amax(-1, keepdim=True) - v.amin(-1, keepdim=True)
    errors = [((linear(q, k, v, order) - softmax).abs() / spread).max().item() for order in range(1, 8)]
    assert all(0 < error <= error_bound(largest, order) for order, error in enumerate(errors, 1))
    assert all(later < 0.6 * earlier for earlier, later in itertools.pairwise(errors))


@pytest.mark.parametrize('order', range(1, 6))
@pytest.mark.parametrize('largest', [0.3, 0.9, 2.0])
def test_bound_holds_for_every_weight(order, largest):
    s = np.linspace(-largest, largest, 10001)
    error = np.abs(np.exp(s) - polynomial(s, order))
    assert error.max() <= error_bound(largest, order)
    assert (error / np.exp(s)).max() <= error_bound(largest, order) * (1 + 1e-12)


@pytest.mark.parametrize(('order', 'least', 'promised'), [(1, -1, 1), (2, None, 0.3), (3, -1.596, 0.07)])
def test_positivity_and_distance_that_the_docstring_states(order, least, promised):
    assert error_bound(MAX_LOGIT, order) < promised
    s = np.linspace(-20, 20, 40001)
    positive = polynomial(s, order) > 0
    assert positive.all() if least is None else abs(s[positive].min() - least) < 2e-3 and positive[s > least].all()


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [True, False])
def test_large_inputs_in_half_precision(order, dtype, autocast):
    """Up to the largest numbers of fp16: products of three of them would be infinite, sums of their squares too."""
    torch.manual_seed(0)
    ours = plain.randomise(Taylor(16, order))
    x = 1e4 * torch.randn(1, 16, 12, 12).clamp(-3, 3)
    with torch.no_grad():
        ours.value.weight /= 10
        ours.local.weight /= 10
        ours.self_gate.project.weight.zero_()
        ours.self_gate.project.bias.zero_()
        exact = ours.double()(x.double(), ours.statistics(x.double()))
        ours = ours.float() if autocast else ours.to(dtype)
        x = x if autocast else x.to(dtype)
        with torch.autocast('cpu', dtype, enabled=autocast):
            statistics = ours.statistics(x)
            mixed = ours(x, statistics)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in statistics)
    assert mixed.isfinite().all()
    rounding = torch.finfo(dtype).eps
    assert (mixed.double() - exact).abs().max() < 8 * rounding * exact.abs().max()


@pytest.mark.parametrize('order', ORDERS)
def test_gradients_of_large_inputs_are_finite(order):
    ours = plain.randomise(Taylor(16, order))
    x = (1e4 * torch.randn(1, 16, 8, 8)).requires_grad_()
    ours(x, ours.statistics(x)).sum().backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in ours.parameters())


@pytest.mark.parametrize('order', ORDERS)
def test_many_pixels_lose_no_precision(order):
    q, k, v = draw(n=1 << 18, d=2, c=2)
    q, k = bounded(q), bounded(k)
    v = v + 100  # a mean far from 0: a sum in half precision would stop growing at 2048
    few = slice(0, 1000)
    exact = taylor_statistics(k.double(), v.double(), order)
    for ours, theirs in zip(taylor_statistics(k, v, order), exact):
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-3)
    expected = linear(q[..., few].double(), k.double(), v.double(), order)
    single = taylor_attention(q[..., few], *taylor_statistics(k, v, order), order, factorials(2, order))
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=0)


def test_opposite_keys_keep_the_normaliser_positive():
    """Every key points away from every query, as far as ``bounded`` lets them: 1 + q . k is 0.1, not 0."""
    q = bounded(torch.full((1, 1, 4, 50), 1e8))
    v = torch.randn(1, 1, 3, 50)
    joined = linear(q, -q, v, order=1)
    torch.testing.assert_close(joined, v.mean(-1, keepdim=True).expand_as(v), rtol=0, atol=1e-5)
