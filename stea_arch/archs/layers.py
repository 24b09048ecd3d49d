"""Small parts that every block of the network shares; all take and return ``(B, C, H, W)``."""

import itertools
import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import nn

from stea_arch import triton_ops
from stea_arch.archs.depthwise import Depthwise, exporting

ONEDNN = torch.backends.mkldnn.is_available()


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every pixel: biased variance, eps 1e-6, learned scale and shift.

    Args:
        num_feat (int): channels C.
    """

    def __init__(self, num_feat):
        super().__init__(num_feat, eps=1e-6)

    def forward(self, x):
        # fp32 whatever x is: for half precision PyTorch sums the gradients of scale and shift up in that on a CPU
        with full_precision(x):
            pixels = x.permute(0, 2, 3, 1).to(self.weight.dtype)
            return super().forward(pixels).to(x.dtype).permute(0, 3, 1, 2)


def full_precision(x):
    """A context in which autocast leaves the operations on ``x``'s device alone."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


class Pointwise(nn.Conv2d):
    """``P[in->out]``: a 1x1 convolution, see :func:`convolve_pixels`."""

    def __init__(self, in_ch, out_ch, bias=True):
        super().__init__(in_ch, out_ch, 1, bias=bias)

    def forward(self, x):
        return convolve_pixels(x, self.weight, self.bias)


def affine(conv):
    """Weight ``(out, in)`` and bias ``(out,)`` of a 1x1 convolution."""
    return conv.weight.flatten(1), conv.bias


def convolve_pixels(x, weight, bias=None):
    """A 1x1 convolution: ``(B, in, H, W)``, weight ``(out, in, 1, 1)`` and bias ``(out,)`` -> ``(B, out, H, W)``.

    In one thread and for less than 16 images in fp32, PyTorch gives undilated 1x1 convolutions to MKL, which makes no
    use of AVX-512 on AMD's processors, and dilated ones to oneDNN, which does and takes half of the time. The dilation
    of a single tap changes nothing else.
    """
    fp32 = x.dtype == torch.float32 and not torch.is_autocast_enabled('cpu')
    to_onednn = x.device.type == 'cpu' and fp32 and ONEDNN and not exporting()
    return F.conv2d(x, weight, bias, dilation=2 if to_onednn else 1)


def join(maps, weight, bias):
    """A 1x1 convolution of several maps side by side.

    Args:
        maps (iterable of Tensor): each ``(B, c, H, W)`` with a c of its own.
        weight (Tensor): ``(out, sum of c, 1, 1)``.
        bias (Tensor): ``(out,)``.

    Returns:
        Tensor: ``(B, out, H, W)``.
    """
    if weight.device.type != 'cpu' or exporting():
        return convolve_pixels(torch.cat(list(maps), dim=1), weight, bias)
    total, start, maps = None, 0, iter(maps)
    while group := list(_take(maps, _widest())):
        x = torch.cat(group, dim=1) if len(group) > 1 else group[0]
        share = convolve_pixels(x, weight[:, start : start + x.shape[1]], bias if total is None else None)
        total, start = share if total is None else total.add_(share), start + x.shape[1]
    return total


def _widest():
    """Channels that :func:`join` puts side by side on a CPU, where they are written once more for that.

    In training one product is faster than several; oneDNN's for the weight's gradient in fp32 up to 256 channels. In
    inference, maps that are used one by one need less memory.
    """
    if not torch.is_grad_enabled():
        return 1
    return math.inf if torch.is_autocast_enabled('cpu') else 256


def _take(maps, channels):
    """The next of an iterator of maps: one, and as many more as fit into ``channels``."""
    for x in maps:
        yield x
        channels -= x.shape[1]
        if channels < x.shape[1]:
            return


def depthwise_results(x, fields):
    """The results of several depthwise convolutions of ``x``, ``(B, C, H, W)``, one map or several, one by one."""
    if _grouped(fields) and triton_ops.usable(x):
        yield triton_ops.depthwise_group(x, *_group(fields))
    else:
        yield from (field(x) for field in fields)


def join_depthwise(x, fields, others, weight, bias):
    """``join`` of the depthwise convolutions ``fields`` of ``x`` and other maps, an iterable."""
    if not (_grouped(fields) and triton_ops.planes_usable(x)):
        return join(itertools.chain(depthwise_results(x, fields), others), weight, bias)
    planes = triton_ops.plane_group(x, *_group(fields))
    to_planes, to_others = weight.split([planes.shape[1], weight.shape[1] - planes.shape[1]], dim=1)
    joined = torch.bmm(to_planes.flatten(1).to(planes.dtype).expand(len(planes), -1, -1), planes.flatten(2))
    joined = joined.view(len(x), -1, *x.shape[2:]).contiguous(memory_format=torch.channels_last)
    return joined + join(others, to_others, bias)


def _grouped(fields):
    """Whether the kernels compute ``fields``; they pad with zeros."""
    return len(fields) > 0 and not any(field.partial for field in fields)


def _group(fields):
    return zip(*((field.weight, field.bias, field.dilation[0]) for field in fields))


def fill_up(lq):
    """``(B, C, H, W)`` with its right and lower edges repeated up to multiples of 4; :func:`cut` undoes it.

    Repeating works down to one pixel, where reflection has nothing left to reflect. With channels last, CPU
    convolutions run faster and the permutes in ChannelNorm and for dilated kernels are free; an exported graph has its
    own layout.
    """
    h, w = lq.shape[-2:]
    x = F.pad(lq, (0, -w % 4, 0, -h % 4), mode='replicate')
    return x if exporting() else x.contiguous(memory_format=torch.channels_last)


def cut(sr, lq, scale):
    """The part of ``sr`` that belongs to ``lq``, as a copy: a view's strides would bind an exported graph to sizes.

    Not in ONNX, where OpenVINO takes for granted that what was padded is not smaller than ``sr`` can be.
    """
    h, w = lq.shape[-2:]
    if torch.onnx.is_in_onnx_export():
        return sr[..., : h * scale, : w * scale]
    return F.pad(sr, (0, -(-w % 4) * scale, 0, -(-h % 4) * scale))


class Unshuffle(nn.PixelUnshuffle):
    """Pixel-unshuffle; in an exported graph as a convolution that picks pixels, as a reshape would bind it to sizes."""

    def forward(self, x):
        if not exporting():
            return super().forward(x)
        s, channels = self.downscale_factor, x.shape[1]
        pick = torch.eye(s * s, dtype=x.dtype, device=x.device).view(s * s, 1, s, s).repeat(channels, 1, 1, 1)
        return F.conv2d(x, pick, stride=s, groups=channels)


def conv3x3(in_ch, out_ch, bias=True):
    """A dense 3x3 convolution with zero padding that keeps H and W."""
    return nn.Conv2d(in_ch, out_ch, 3, padding=1, bias=bias)


def bottleneck(num_feat, reduction):
    """``P[C/r->C] . GELU . P[C->C/r]``, a cheap C x C map with one nonlinearity; ``reduction`` is r."""
    return nn.Sequential(
        Pointwise(num_feat, num_feat // reduction), nn.GELU(), Pointwise(num_feat // reduction, num_feat)
    )


class ChannelGate(nn.Module):
    """One factor in (0, 1) per image and channel: ``sigmoid . P[C/16->C] . GELU . P[C->C/16] (avg x)``.

    The average is taken outside, over the whole image: a crop is gated a little differently from the image it was cut
    from, and an image computed in parts is gated by the average of all of them.

    Args:
        num_feat (int): channels C, at least 16.
    """

    def __init__(self, num_feat):
        super().__init__()
        self.body = bottleneck(num_feat, 16)

    def forward(self, average):
        """``avg x``, ``(B, C, 1, 1)`` -> ``(B, C, 1, 1)``."""
        x = average.flatten(1)
        for layer in self.body:  # as matrix products: a convolution of single pixels takes ten times as long
            x = F.gelu(x) if isinstance(layer, nn.GELU) else F.linear(x, *affine(layer))
        return torch.sigmoid(x)[:, :, None, None]


def average(x):
    """Mean over all pixels of an image: ``(B, C, H, W)`` -> ``(B, C, 1, 1)``."""
    return x.mean((2, 3), keepdim=True)


class SelfGate(nn.Module):
    """``x * GELU(P[C->C] x) + x``: every pixel gated by a linear map of itself.

    Args:
        num_feat (int): channels C.
    """

    def __init__(self, num_feat):
        super().__init__()
        self.project = Pointwise(num_feat, num_feat)

    def forward(self, x):
        return x * F.gelu(self.project(x)).add_(1)


class GatedFeedForward(nn.Module):
    """``P[h->C] ( GELU(q1) * q2 )`` with ``[q1, q2] = DW[3,1] . P[C->2h] x`` and ``h = int(2.66 C)``; no biases.

    Args:
        num_feat (int): channels C.
    """

    def __init__(self, num_feat):
        super().__init__()
        hidden = int(2.66 * num_feat)
        self.expand = Pointwise(num_feat, 2 * hidden, bias=False)
        self.spatial = Depthwise(2 * hidden, 3, bias=False)
        self.reduce = Pointwise(hidden, num_feat, bias=False)

    def forward(self, x):
        if x.device.type != 'cpu' or triton_ops.usable(x):
            return self.reduce(triton_ops.gated_depthwise(self.expand(x), self.spatial.weight))
        # On CPUs q1 and q2 are computed apart, because halves of a map are slow to read, and without gradients some
        # channels at a time, which then stay in the cache.
        groups = 1 if torch.is_grad_enabled() or exporting() else -(-self.reduce.in_channels // 96)
        expand, spatial, reduce = (conv.weight for conv in (self.expand, self.spatial, self.reduce))
        halves = [half.chunk(groups) for weight in (expand, spatial) for half in weight.chunk(2)]
        total = None
        for expand1, expand2, spatial1, spatial2, back in zip(*halves, reduce.chunk(groups, dim=1)):
            q1, q2 = (
                F.conv2d(convolve_pixels(x, expand), spatial, padding=1, groups=len(spatial))
                for expand, spatial in ((expand1, spatial1), (expand2, spatial2))
            )
            share = convolve_pixels(F.gelu(q1) * q2, back)
            total = share if total is None else total.add_(share)
        return total
