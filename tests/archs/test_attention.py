"""What all attentions promise: their statistics, the field they see, and the softmax they are measured against."""

import math

import plain
import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from stea_arch.archs.attention import bounded
from stea_arch.archs.labnet_arch import ATTENTIONS
from stea_arch.archs.softmax import softmax_attention

MERGEABLE = [name for name, kind in ATTENTIONS.items() if kind.mergeable]


def make(name, num_feat=16):
    return plain.randomise(ATTENTIONS[name](num_feat)).double().eval()


def weighted_mean(parts):
    """The statistics of an image from ``[(x, statistics)]`` of its parts."""
    pixels = [x.shape[-2] * x.shape[-1] for x, _ in parts]
    merged = zip(*(statistics for _, statistics in parts))
    return tuple(sum(n * value for n, value in zip(pixels, values)) / sum(pixels) for values in merged)


def test_only_softmax_needs_every_pixel():
    assert set(ATTENTIONS) - set(MERGEABLE) == {'softmax'}


@pytest.mark.parametrize('name', MERGEABLE)
def test_statistics_of_parts_are_those_of_the_whole(name):
    attention, x = make(name), torch.randn(2, 16, 11, 6, dtype=torch.float64)
    parts = [(part, attention.statistics(part)) for part in x.split([4, 1, 6], dim=2)]
    merged, whole = weighted_mean(parts), attention.statistics(x)
    assert len(merged) == len(whole)
    for ours, theirs in zip(merged, whole):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize('name', MERGEABLE)
def test_statistics_stay_small(name):
    attention = make(name)
    shapes = [[s.shape for s in attention.statistics(torch.ones(1, 16, n, n).double())] for n in (3, 20)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize('name', ATTENTIONS)
def test_a_part_with_its_halo_equals_that_part_of_the_whole(name):
    attention, x = make(name), torch.randn(1, 16, 24, 9, dtype=torch.float64)
    statistics, halo = attention.statistics(x), attention.halo
    with torch.no_grad():
        whole = attention(x, statistics)
        part = attention(x[:, :, 10 - halo : 14 + halo], statistics)[:, :, halo : halo + 4]
    torch.testing.assert_close(part, whole[:, :, 10:14], rtol=0, atol=1e-12)


@pytest.mark.parametrize('name', [name for name in ATTENTIONS if name != 'none'])
def test_every_pixel_sees_the_whole_image(name):
    attention, x = make(name), torch.randn(1, 16, 12, 12, dtype=torch.float64)
    far = x.clone()
    far[..., -1, -1] += 5
    with torch.no_grad():
        changed = attention(far, attention.statistics(far)) - attention(x, attention.statistics(x))
    assert changed[..., 0, 0].abs().max() > 1e-6


def test_none_returns_its_input():
    x = torch.randn(1, 16, 3, 4)
    attention = ATTENTIONS['none'](16)
    assert attention.statistics(x) == () and attention(x, ()) is x
    assert list(attention.parameters()) == []


@pytest.mark.parametrize('c', [2, 4, 7])
def test_softmax_equals_its_definition_and_the_library(c):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, size, 50, generator=generator, dtype=torch.float64) for size in (4, 4, c))
    ours = softmax_attention(q[..., :20], k, v)
    weights = torch.exp(q[..., :20].transpose(2, 3) @ k)
    definition = v @ (weights / weights.sum(-1, keepdim=True)).transpose(2, 3)
    torch.testing.assert_close(ours, definition, rtol=0, atol=1e-12)
    rows = (x.transpose(2, 3) for x in (q[..., :20] * math.sqrt(4), k, v))  # the library divides by sqrt(d)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(*rows).transpose(2, 3), rtol=0, atol=1e-12)


def test_softmax_is_computed_by_a_fused_kernel():
    attention, x = make('softmax').float(), torch.randn(1, 16, 12, 9)
    with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # an error where the inputs rule it out
        assert attention(x, attention.statistics(x)).shape == x.shape


@pytest.mark.parametrize('size', [0, 1e-20, 1, 1e4, 1e15])
def test_products_are_bounded(size):
    x = size * torch.randn(1, 1, 4, 100, generator=torch.Generator().manual_seed(0))
    products = bounded(x).transpose(2, 3) @ bounded(x)
    assert products.abs().max() < 0.9 + 1e-6
    if size > 1:
        assert products.max() > 0.899
