"""Averages over a window: against an explicit slow form and scipy; in strips; equal to the whole where it is small."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from stea_arch.archs.layers import ChannelGate
from stea_arch.archs.stea import STEA
from stea_arch.inference import upscale_tensor
from stea_arch.inference.local import LocalStrips, window_starts


def means(x, window, rows=1000, axis=2):
    return LocalStrips(rows, axis, window).means(torch.nn.Identity(), x, window)


def explicit(x, window):
    """The mean over the window of every pixel, one by one."""
    result, (height, width) = torch.empty_like(x), x.shape[-2:]
    high, wide = min(window, height), min(window, width)
    for row in range(height):
        for column in range(width):
            top = min(max(row - window // 2, 0), height - high)
            left = min(max(column - window // 2, 0), width - wide)
            result[..., row, column] = x[..., top : top + high, left : left + wide].mean((-2, -1))
    return result


@pytest.mark.parametrize('size', [(1, 1), (3, 17), (13, 9), (20, 4)])
@pytest.mark.parametrize('window', [1, 4, 5, 16])
def test_means_are_those_of_windows_inside_the_image(size, window):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(means(x, window), explicit(x, window), rtol=0, atol=1e-13)


def test_means_equal_scipy_away_from_the_borders():
    x = np.random.default_rng(0).random((40, 31))
    expected = ndimage.uniform_filter(x, 8)  # its even windows begin 4 before the pixel, as ours
    ours = means(torch.from_numpy(x)[None, None], 8)[0, 0].numpy()
    np.testing.assert_allclose(ours[4:-4, 4:-4], expected[4:-4, 4:-4], rtol=0, atol=1e-13)


@pytest.mark.parametrize('axis', [2, 3])
@pytest.mark.parametrize('rows', [1, 6, 11])
def test_means_do_not_depend_on_strips(rows, axis):
    x = torch.rand(1, 2, 25, 18, dtype=torch.float64)
    torch.testing.assert_close(means(x, 8, rows, axis), means(x, 8), rtol=0, atol=1e-13)


def test_means_of_a_long_row_keep_single_precision():
    x = torch.rand(1, 1, 2, 20000) + 100
    assert (means(x, 64) - means(x.double(), 64)).abs().max() < 1e-5


def test_windows_have_their_full_size():
    assert window_starts(10, 4) == [0, 0, 0, 1, 2, 3, 4, 5, 6, 6]
    assert window_starts(3, 4) == [0, 0, 0]


def test_an_image_within_the_window_is_computed_as_usual(make_net, image):
    net, lq = make_net(upscale=3), image(24, 17)
    with torch.no_grad():
        torch.testing.assert_close(upscale_tensor(net, lq, 'local', window=24, strip=9), net(lq), rtol=0, atol=1e-11)


@pytest.mark.parametrize('attention', ['stea', 'ttea', 'none'])
def test_a_network_averages_over_windows(make_net, image, attention, monkeypatch):
    """The plain forward with every average replaced, at the widths that tell the level, is the reference."""
    net, lq = make_net(attention=attention), image(32, 12)
    local = upscale_tensor(net, lq, 'local', window=16, strip=20)

    def windowed(x):
        return explicit(x, {32: 16, 16: 8, 8: 4}[x.shape[-2]])

    monkeypatch.setattr('stea_arch.archs.labnet_arch.average', windowed)
    monkeypatch.setattr('stea_arch.archs.stea.average', windowed)
    with torch.no_grad():
        torch.testing.assert_close(local, net(lq), rtol=0, atol=1e-10)
    monkeypatch.undo()
    with torch.no_grad():
        assert (local - net(lq)).abs().max() > 1e-3


def test_what_the_gates_take():
    """The gates are what makes local averages possible: one average for every pixel in place of one for all."""
    gate, x = ChannelGate(16), torch.rand(1, 16, 3, 2)
    assert gate(x).shape == x.shape
    attention = STEA(16)
    torch.testing.assert_close(
        attention(x, (x.mean((2, 3), keepdim=True).expand_as(x),)), attention(x, attention.statistics(x))
    )


@pytest.mark.parametrize('attention', ['taylor', 'softmax'])
def test_attentions_without_gates_are_refused(make_net, image, attention):
    with pytest.raises(ValueError, match=r"needs gates .*, but (Taylor|Softmax) came. Pass .*, or use 'strips'"):
        upscale_tensor(make_net(attention=attention), image(8, 8), 'local')
