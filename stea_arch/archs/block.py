"""The block that LabNet is made of, and its form for inference."""

import copy

import torch
from torch import nn

from stea_arch import triton_ops
from stea_arch.archs.attention import NoAttention
from stea_arch.archs.depthwise import Depthwise, exporting
from stea_arch.archs.layers import (
    ChannelGate,
    ChannelNorm,
    GatedFeedForward,
    Pointwise,
    SelfGate,
    affine,
    average,
    full_precision,
    join_depthwise,
)
from stea_arch.archs.mlfr import MLFR
from stea_arch.archs.softmax import Softmax
from stea_arch.archs.stea import STEA, TTEA
from stea_arch.archs.taylor import Taylor

ATTENTIONS = {'stea': STEA, 'ttea': TTEA, 'taylor': Taylor, 'softmax': Softmax, 'none': NoAttention}


class _Block(nn.Module):
    """What a block and its fused form share: all but ``mix``."""

    def forward(self, f):
        x = self.norm1(f)
        y = self.mix(x, self.statistics(x))
        return self.finish(f, y, average(y))

    def statistics(self, x):
        """What the attention has to know of all pixels of ``x``, a tuple of tensors."""
        return self.attention.statistics(x)

    def join(self, x, t, fields, weight, bias):
        """``y`` by the one 1x1 convolution that ``LabBlock.merged`` describes."""

        def others():  # one by one, so that they need not exist all at once
            yield t
            yield self.self_gate(x)
            yield self.local(x)

        return join_depthwise(t, fields, others(), weight, bias)

    def finish(self, f, y, mean):
        """``out`` of ``f``, ``y`` and the average of ``y`` over the whole image; a pixel sees one around it."""
        z = f + y * self.channel_attention(mean)
        return z + self.feed_forward(self.norm2(z))


class LabBlock(_Block):
    """One block of LabNet: a global and a local path side by side, then a feed-forward. ``(B, C, H, W)`` both ways.

    ::

        x   = LayerNorm f
        a   = beta * MLFR(Attention(x)) + x * GELU(P[C->C] x) + x
        l   = DW[3,1] . GELU . DW[3,1] (x)
        y   = P[2C->C] [a, l]
        z   = f + y * gate(y)
        out = z + FeedForward(LayerNorm z)

    ``beta`` holds one factor per channel and starts at 0, as published: attention and large field are let in by
    training.

    Args:
        num_feat (int): channels C, a multiple of 16.
        attention (str): a key of ``ATTENTIONS``.
        large_field (bool): False leaves MLFR out. As MLFR adds to what it is given, what remains is
            ``a = beta * Attention(x) + x * GELU(P[C->C] x) + x``.
        dilations (sequence of int), padding (str): those of MLFR.
        **arguments: further arguments of the attention, see ``Taylor`` and ``Softmax``.
    """

    def __init__(self, num_feat, attention, large_field, dilations=(2, 4, 6), padding='zeros', **arguments):
        super().__init__()
        self.norm1 = ChannelNorm(num_feat)
        self.attention = ATTENTIONS[attention](num_feat, **arguments)
        self.large_field = MLFR(num_feat, dilations, padding) if large_field else nn.Identity()
        self.beta = nn.Parameter(torch.zeros(1, num_feat, 1, 1))
        self.self_gate = SelfGate(num_feat)
        self.local = nn.Sequential(Depthwise(num_feat, 3), nn.GELU(), Depthwise(num_feat, 3))
        self.merge = Pointwise(2 * num_feat, num_feat)
        self.channel_attention = ChannelGate(num_feat)
        self.norm2 = ChannelNorm(num_feat)
        self.feed_forward = GatedFeedForward(num_feat)
        self.mix_halo = max(self.attention.halo + (self.large_field.halo if large_field else 0), 2)  # 2: the local path

    def mix(self, x, statistics):
        """``y`` of ``x``, given the ``statistics`` of the whole image; a pixel sees ``mix_halo`` pixels around it."""
        t = self.attention(x, statistics)
        if not exporting() and (triton_ops.usable(t) or t.numel() >= 3 * t.shape[1] ** 2):
            return self.join(x, t, self.fields(), *self.merged())
        a = self.beta.to(t.dtype) * self.large_field(t) + self.self_gate(x)
        return self.merge(torch.cat([a, self.local(x)], dim=1))

    def fields(self):
        """The depthwise convolutions of the large field, if there is one."""
        return self.large_field.fields() if isinstance(self.large_field, MLFR) else []

    def merged(self):
        """All between the depthwise results and ``y`` as one 1x1 convolution, multiplied out.

        The merges of the large field, its bypass and its residual, ``beta`` and the merge of the two paths are linear::

            y = P[9C->C] [ DW[9,2](t), DW[3,1](t), DW[9,4](t), DW[5,1](t), DW[9,6](t), DW[7,1](t), t, s, l ]

        with ``t = Attention(x)``, ``s = x + x * GELU(P[C->C] x)`` and the local path ``l``: of the published three
        branches, the product costs ``11 C^3`` multiply-adds and saves ``4 C^2`` a pixel.

        Returns:
            tuple[Tensor, Tensor]: weight ``(C, 9C, 1, 1)``, ``(2 n + 3) C`` for n branches, and bias ``(C,)``, with
            gradients.
        """
        with full_precision(self.beta):
            weight, bias = affine(self.merge)
            to_a, to_l = weight.chunk(2, dim=1)
            to_u = to_a * self.beta.flatten()
            if isinstance(self.large_field, MLFR):
                inner, constant = self.large_field.merged(to_u)
                return torch.cat([inner, to_a, to_l], dim=1)[:, :, None, None], bias + constant
            return torch.cat([to_u, to_a, to_l], dim=1)[:, :, None, None], bias


class FusedBlock(_Block):
    """A ``LabBlock`` for inference: what ``LabBlock.merged`` multiplies out is multiplied out once.

    Args:
        block (LabBlock): the block to be computed; its weights are copied, and multiplied in fp64.
    """

    def __init__(self, block):
        super().__init__()
        block = copy.deepcopy(block)
        self.mix_halo = block.mix_halo
        self.fields = nn.ModuleList(block.fields())
        for name in ('norm1', 'attention', 'self_gate', 'local', 'channel_attention', 'norm2', 'feed_forward'):
            setattr(self, name, getattr(block, name))
        like = block.merge.weight
        self.weight, self.bias = (
            nn.Parameter(merged.detach().to(like)) for merged in copy.deepcopy(block).double().merged()
        )

    def mix(self, x, statistics):
        """As of ``LabBlock``."""
        return self.join(x, self.attention(x, statistics), self.fields, self.weight, self.bias)
