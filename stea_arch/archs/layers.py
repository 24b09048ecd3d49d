"""Small parts that every block of the network shares; all take and return ``(B, C, H, W)``."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import nn

from stea_arch import triton_ops
from stea_arch.archs.depthwise import Depthwise


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


def pointwise(in_ch, out_ch, bias=True):
    """``P[in_ch->out_ch]``: a 1x1 convolution."""
    return nn.Conv2d(in_ch, out_ch, 1, bias=bias)


def affine(conv):
    """Weight ``(out, in)`` and bias ``(out,)`` of a 1x1 convolution."""
    return conv.weight.flatten(1), conv.bias


def join(maps, weight, bias):
    """A 1x1 convolution of several maps side by side.

    Args:
        maps (iterable of Tensor): each ``(B, c, H, W)`` with a c of its own.
        weight (Tensor): ``(out, sum of c)``.
        bias (Tensor): ``(out,)``.

    Returns:
        Tensor: ``(B, out, H, W)``.
    """
    return F.conv2d(torch.cat(list(maps), dim=1), weight[:, :, None, None], bias)


def depthwise_results(x, fields):
    """The results of several depthwise convolutions of ``x``, ``(B, C, H, W)``, one map or several, one by one."""
    if fields and triton_ops.usable(x):
        yield triton_ops.depthwise_group(x, *_group(fields))
    else:
        yield from (field(x) for field in fields)


def join_depthwise(x, fields, others, weight, bias):
    """``join`` of the depthwise convolutions ``fields`` of ``x`` and other maps."""
    if not (fields and triton_ops.planes_usable(x)):
        return join([*depthwise_results(x, fields), *others], weight, bias)
    planes = triton_ops.plane_group(x, *_group(fields))
    to_planes, to_others = weight.split([planes.shape[1], weight.shape[1] - planes.shape[1]], dim=1)
    joined = torch.bmm(to_planes.to(planes.dtype).expand(len(planes), -1, -1), planes.flatten(2))
    joined = joined.view(len(x), -1, *x.shape[2:]).contiguous(memory_format=torch.channels_last)
    return joined + join(others, to_others, bias)


def _group(fields):
    return zip(*((field.weight, field.bias, field.dilation[0]) for field in fields))


def conv3x3(in_ch, out_ch, bias=True):
    """A dense 3x3 convolution with zero padding that keeps H and W."""
    return nn.Conv2d(in_ch, out_ch, 3, padding=1, bias=bias)


def bottleneck(num_feat, reduction):
    """``P[C/r->C] . GELU . P[C->C/r]``, a cheap C x C map with one nonlinearity; ``reduction`` is r."""
    return nn.Sequential(
        pointwise(num_feat, num_feat // reduction), nn.GELU(), pointwise(num_feat // reduction, num_feat)
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
        return torch.sigmoid(self.body(average))


def average(x):
    """Mean over all pixels of an image: ``(B, C, H, W)`` -> ``(B, C, 1, 1)``."""
    return x.mean((2, 3), keepdim=True)


class SelfGate(nn.Module):
    """``x * GELU(P[C->C] x)``: every pixel gated by a linear map of itself.

    Args:
        num_feat (int): channels C.
    """

    def __init__(self, num_feat):
        super().__init__()
        self.project = pointwise(num_feat, num_feat)

    def forward(self, x):
        return x * F.gelu(self.project(x))


class GatedFeedForward(nn.Module):
    """``P[h->C] ( GELU(q1) * q2 )`` with ``[q1, q2] = DW[3,1] . P[C->2h] x`` and ``h = int(2.66 C)``; no biases.

    Args:
        num_feat (int): channels C.
    """

    def __init__(self, num_feat):
        super().__init__()
        hidden = int(2.66 * num_feat)
        self.expand = pointwise(num_feat, 2 * hidden, bias=False)
        self.spatial = Depthwise(2 * hidden, 3, bias=False)
        self.reduce = pointwise(hidden, num_feat, bias=False)

    def forward(self, x):
        if triton_ops.usable(x):
            return self.reduce(triton_ops.gated_depthwise(self.expand(x), self.spatial.weight))
        q1, q2 = self.spatial(self.expand(x)).chunk(2, dim=1)
        return self.reduce(F.gelu(q1) * q2)
