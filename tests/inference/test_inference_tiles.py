"""Tiles: they cover every image, their weights add up to one, and nothing is lost where nothing is global."""

import itertools

import pytest
import torch
from basicsr.archs.swinir_arch import SwinIR

from stea_arch.archs.bicubic_arch import Bicubic
from stea_arch.inference import upscale_tensor
from stea_arch.inference.tiles import blending_weights, split

SPLITS = [
    (tile, overlap, grid) for grid in (1, 4, 8) for tile, overlap in ((8, 0), (12, 4), (17, 5), (32, 24), (64, 1))
]
SPLITS += [(8, 7, 1), (8, 4, 4), (40, 31, 8)]


@pytest.mark.parametrize('tile, overlap, grid', SPLITS)
def test_tiles_cover_every_length(tile, overlap, grid):
    for length in [*range(1, 70), 97, 130, 149]:
        spans = split(length, tile, overlap, grid)
        assert spans[0][0] == 0 and spans[-1][1] == length
        assert all(start % grid == 0 and 0 < end - start <= tile for start, end in spans)
        for (start, end), (next_start, next_end) in itertools.pairwise(spans):
            assert start < next_start and end < next_end and end - next_start >= overlap


@pytest.mark.parametrize('tile, overlap, grid', SPLITS)
@pytest.mark.parametrize('scale', [1, 3])
def test_weights_are_a_partition_of_unity(tile, overlap, grid, scale):
    for length in [*range(1, 30), 97, 149]:
        spans = split(length, tile, overlap, grid)
        total = torch.zeros(length * scale, dtype=torch.float64)
        for (start, end), weights in zip(spans, blending_weights(spans, scale), strict=True):
            assert weights.min() > 0 and weights.max() <= 1 + 1e-12
            total[start * scale : end * scale] += weights
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_a_tile_fades_evenly_into_the_next():
    first, second = blending_weights([(0, 6), (2, 8)], 1)
    expected = torch.tensor([1, 1, 0.875, 0.625, 0.375, 0.125], dtype=torch.float64)
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(second, expected.flip(0))


@pytest.mark.parametrize('size', [(1, 1), (5, 33), (16, 16), (40, 23), (3, 61)])
@pytest.mark.parametrize('tile, overlap', [(8, 0), (8, 4), (16, 6), (16, 12), (200, 20)])
def test_a_network_that_looks_at_single_pixels_is_exact(size, tile, overlap):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 27, 1), torch.nn.PixelShuffle(3)).double()
    lq = torch.rand(2, 3, *size, dtype=torch.float64)
    ours = upscale_tensor(net, lq, 'tiles', tile=tile, overlap=overlap)
    torch.testing.assert_close(ours, net(lq).detach(), rtol=0, atol=1e-13)


def test_the_difference_from_the_whole_is_at_the_seams_and_falls_with_the_overlap(image):
    net, lq = Bicubic(2), image(16, 48)
    hard, soft = ((upscale_tensor(net, lq, 'tiles', tile=16, overlap=n) - net(lq)).abs() for n in (0, 8))
    assert hard.sum() > 1.5 * soft.sum() > 0
    near = torch.zeros(96, dtype=torch.bool)
    near[[*range(27, 37), *range(59, 69)]] = True  # the seams are at 32 and 64
    assert hard[..., ~near].max() < 1e-12 and hard[..., near].max() > 1e-3


def test_one_tile_is_the_whole(make_net, image):
    net, lq = make_net(), image(9, 14)
    torch.testing.assert_close(upscale_tensor(net, lq, 'tiles', tile=16, overlap=4), upscale_tensor(net, lq))


def test_tiles_of_a_network_that_needs_a_multiple():
    net = SwinIR(img_size=16, window_size=8, embed_dim=8, depths=[1], num_heads=[2], mlp_ratio=1, upscale=2,
                 upsampler='pixelshuffledirect').eval()  # fmt: skip
    lq = torch.rand(1, 3, 21, 30)
    ours = upscale_tensor(net, lq, 'tiles', tile=24, overlap=8, multiple=8)
    assert ours.shape == (1, 3, 42, 60) and torch.isfinite(ours).all()


@pytest.mark.parametrize('tile, overlap', [(8, 5), (32, 40)])
def test_an_overlap_without_a_step_is_refused(make_net, image, tile, overlap):
    with pytest.raises(ValueError, match=f'at least 4 pixels larger .*, got tile {tile} and overlap {overlap}'):
        upscale_tensor(make_net(), image(9, 9), 'tiles', tile=tile, overlap=overlap)
