"""Fused blocks for a CPU without a compiler: 1x1 convolutions as matrix products of rows, one row a pixel.

Channels last, the pixels of a map are the rows of a matrix that can be multiplied as it lies in memory. Sums of several
products are accumulated in place while their factors are still in the cache, and no wide map is ever written: neither
what a block joins nor the hidden channels of the feed-forward. Equal up to rounding, only faster (see
benchmarks/fused_speed.py). For inference in PyTorch; exported and compiled graphs are better made of the plain
convolutions.
"""

import torch
import torch.nn.functional as F
from torch import nn

from stea_arch.archs.fused import AddConv, ConcatConv, FusedFeedForward

HIDDEN = 96  # hidden channels computed at a time


def optimize_for(network, device):
    """The fastest equivalent of a network in PyTorch alone: fused, and on a CPU made of rows; moved to ``device``.

    A network without ``fuse()`` is moved itself.
    """
    if not hasattr(network, 'fuse'):
        return network.to(device)
    fused = network.fuse().to(device)
    return use_rows(fused) if torch.device(device).type == 'cpu' else fused


def use_rows(network):
    """Replace the 1x1 convolutions of a fused network and what contains them, in place; returns it."""
    forms = {ConcatConv: RowConcatConv, AddConv: RowAddConv, FusedFeedForward: RowFeedForward}
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) in forms:
                setattr(parent, name, forms[type(child)](child))
            elif type(child) is nn.Conv2d and child.kernel_size == (1, 1) and child.groups == 1:
                setattr(parent, name, RowPointwise(child))
    return network.eval().requires_grad_(False)


class RowPointwise(nn.Module):
    """A 1x1 convolution."""

    def __init__(self, conv):
        super().__init__()
        self.weight, self.bias = nn.Parameter(conv.weight.detach().flatten(1)), conv.bias

    def forward(self, x):
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


class RowAddConv(nn.Module):
    """``AddConv``."""

    def __init__(self, added):
        super().__init__()
        self.weight = nn.Parameter(added.conv.weight.detach().flatten(1).t().contiguous())

    def forward(self, y, x):
        return as_map(add_product(as_rows(y), x, self.weight), y)


class RowConcatConv(nn.Module):
    """``ConcatConv``: the sum of the products of each map, which is not needed again after its own."""

    def __init__(self, joined):
        super().__init__()
        conv = joined.conv
        weights = conv.weight.detach().flatten(1).split(conv.out_channels, dim=1)
        self.weights = nn.ParameterList(weight.t().contiguous() for weight in weights)
        self.bias = conv.bias

    def forward(self, parts):
        y = self.bias
        for part, weight in zip(parts, self.weights):
            y = add_product(y, part, weight)
        return as_map(y, part)


class RowFeedForward(nn.Module):
    """``FusedFeedForward``, a group of hidden channels at a time."""

    def __init__(self, feed_forward):
        super().__init__()
        self.groups = nn.ModuleList()
        weights = [conv.weight.detach() for conv in (*feed_forward.expand, *feed_forward.spatial)]
        reduce = feed_forward.reduce.weight.detach().flatten(1).t()
        for *group, back in zip(*(weight.split(HIDDEN) for weight in (*weights, reduce))):
            self.groups.append(nn.ParameterList(weight.contiguous() for weight in (*group, back)))

    def forward(self, z, x):
        pixels, y = x.permute(0, 2, 3, 1), as_rows(z)
        for expand1, expand2, spatial1, spatial2, reduce in self.groups:
            q1, q2 = (
                F.conv2d(
                    F.linear(pixels, expand.flatten(1)).permute(0, 3, 1, 2), spatial, padding=1, groups=len(spatial)
                )
                for expand, spatial in ((expand1, spatial1), (expand2, spatial2))
            )
            y = add_product(y, F.gelu(q1).mul_(q2), reduce)
        return as_map(y, z)


def add_product(y, x, weight):
    """``y + rows of x @ weight``, in place where ``y`` is a matrix; it may also be a bias.

    Args:
        y (Tensor): ``(B H W, C)``, which is overwritten, or ``(C,)``.
        x (Tensor): a map ``(B, K, H, W)``.
        weight (Tensor): ``(K, C)``.

    Returns:
        Tensor: ``(B H W, C)``.
    """
    rows = as_rows(x)
    if y.ndim == 1:
        return torch.addmm(y, rows, weight)
    if y.dtype != rows.dtype:  # mixed precision
        return y.add_(rows @ weight)
    return y.addmm_(rows, weight.to(y.dtype))  # autocast leaves operations in place alone


def as_rows(x):
    """A map ``(B, C, H, W)`` -> ``(B H W, C)``, without a copy where its channels lie last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def as_map(rows, like):
    """``(B H W, C)`` -> ``(B, C, H, W)`` with B, H and W of the map ``like``."""
    b, _, h, w = like.shape
    return rows.view(b, h, w, -1).permute(0, 3, 1, 2)
