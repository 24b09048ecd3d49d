"""Strips: equal to the plain forward, whatever the size of image and strip, and small in memory."""

import plain
import pytest
import torch

from stea_arch.archs.labnet_arch import ATTENTIONS
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.inference import strips, upscale_tensor
from stea_arch.inference.strips import Strips


def assert_equal_to_whole(net, lq, strip, atol=1e-11):
    with torch.no_grad():
        whole = net(lq)
    ours = upscale_tensor(net, lq, 'strips', strip=strip)
    assert ours.dtype == whole.dtype and not ours.requires_grad
    torch.testing.assert_close(ours, whole, rtol=0, atol=atol)


SIZES = [(2, (1, 1), 1), (3, (5, 2), 1), (4, (2, 9), 4), (2, (61, 5), 30), (3, (6, 50), 17), (4, (34, 7), 16)]


@pytest.mark.parametrize(
    ('arguments', 'size', 'strip'),
    [
        *(({'upscale': upscale}, size, strip) for upscale, size, strip in SIZES),
        *(({}, (9, 13), strip) for strip in (1, 2, 3, 5, 8, 13, 21, 100)),
        *(({'attention': attention}, (34, 6), 16) for attention in ATTENTIONS if attention != 'stea'),
        ({'large_field': False}, (34, 6), 11),  # a halo of its own
        ({'dilations': (1, 3)}, (34, 6), 11),
        ({'padding': 'partial'}, (61, 6), 30),
    ],
)
def test_equals_the_whole(make_net, image, arguments, size, strip):
    assert_equal_to_whole(make_net(**arguments), image(*size, batch=2), strip)


@pytest.mark.parametrize('streams', [1, 2])
@pytest.mark.parametrize('form', [lambda net: net, lambda net: net.fuse()])
def test_equals_the_whole_in_every_form(image, streams, form):
    net = plain.randomise(RealNet(streams=streams, num_feat=16, num_blocks=(1, 1, 1, 1, 1, 1), upscale=2)).double()
    net.eval()
    lq = image(34, 9)
    with torch.no_grad():
        whole = net(lq)
    torch.testing.assert_close(upscale_tensor(form(net), lq, 'strips', strip=16), whole, rtol=0, atol=1e-10)


def test_a_halo_too_small_is_seen(make_net, image):
    net = make_net()
    for module in net.modules():
        if hasattr(module, 'mix_halo'):
            module.mix_halo -= 1
    with pytest.raises(AssertionError, match='not close'):
        assert_equal_to_whole(net, image(61, 6), 30, atol=1e-6)


def test_single_precision_is_equal_within_a_few_roundings(make_net, image):
    # random weights give outputs of about 10, trained ones of 1
    assert_equal_to_whole(make_net().float(), image(34, 6).float(), 11, atol=3e-5)


def test_mixed_precision_differs_as_little_as_its_roundings(make_net, image):
    net, lq = make_net().float(), image(34, 6).float()
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        whole, ours = net(lq), upscale_tensor(net, lq, 'strips', strip=16)
    assert ours.dtype == whole.dtype
    error = (whole - net(lq)).abs().mean()
    assert (ours - whole).abs().mean() < error


def test_half_precision_weights(make_net, image):
    net, lq = make_net().bfloat16(), image(20, 6).bfloat16()
    ours = upscale_tensor(net, lq, 'strips', strip=8)
    assert ours.dtype == torch.bfloat16
    with torch.no_grad():
        assert (ours - net(lq)).abs().mean() < 0.02 * ours.abs().mean()


@pytest.mark.parametrize('size, axis', [((8, 9), 3), ((9, 8), 2), ((9, 9), 2)])
def test_the_longer_side_is_cut(make_net, image, size, axis, monkeypatch):
    axes = set()
    monkeypatch.setattr(Strips, 'stage', lambda self, blocks, f: axes.add(self.axis) or f)
    upscale_tensor(make_net(), image(*size), 'strips')
    assert axes == {axis}


@pytest.mark.parametrize('rows', [1, 2, 5, 40])
def test_map_may_overwrite_its_source(rows):
    x = torch.rand(1, 2, 23, 4, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    blur = torch.nn.AvgPool2d((3, 1), 1, (1, 0))
    expected, out = blur(x), Strips(rows, 2).map(blur, (x,), halo=1, out=x)
    assert out is x
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize('axis', [2, 3])
def test_map_joins_sources_of_different_resolution(axis):
    fine, coarse = torch.rand(1, 8, 24, 16), torch.rand(1, 32, 12, 8)
    conv = torch.nn.Conv2d(32, 32, 3, padding=1)

    def join(fine, coarse):
        return torch.cat([fine, torch.pixel_shuffle(conv(coarse), 2)], dim=1)

    with torch.no_grad():
        ours = Strips(5, axis).map(join, (fine, coarse), halo=1, units=coarse.shape[axis])
        torch.testing.assert_close(ours, join(fine, coarse))


def test_means_weigh_strips_by_their_size():
    x = torch.rand(2, 3, 11, 4, dtype=torch.float64)
    (mean,) = Strips(4, 2).mean(strips.average, x)
    torch.testing.assert_close(mean, x.mean((2, 3), keepdim=True), rtol=0, atol=1e-15)


def test_another_network_is_refused(image):
    with pytest.raises(ValueError, match=r"follows the parts of a LabNet or RealNet, got .* Conv2d. Use 'tiles'"):
        upscale_tensor(torch.nn.Conv2d(3, 3, 1).double(), image(4, 4), 'strips')


def test_another_number_of_channels_is_refused(make_net, image):
    with pytest.raises(ValueError, match='expects images of 3 channels, got 1'):
        upscale_tensor(make_net(), image(4, 4)[:, :1], 'strips')
