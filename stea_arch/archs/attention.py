"""What the attentions of a LabNet block have in common: how they are called, and where queries and keys come from."""

import torch
from torch import nn

from stea_arch.archs.depthwise import Depthwise
from stea_arch.archs.layers import Pointwise, SelfGate

MAX_LOGIT = 0.9


class Attention(nn.Module):
    """``t = expansion(x, v) + DW[7,1](v) + x * GELU(P[C->C] x) + x`` with ``v = P[C->C] x``.

    The attentions differ in ``expansion``, which joins a pixel with all others. All that a pixel learns of the rest of
    the image, beyond ``halo`` pixels around it, goes through ``statistics``, so that an image can be computed in parts.
    A subclass makes ``value``, ``local`` and ``self_gate``, and defines ``statistics(x)``, a tuple of tensors, and
    ``expansion(x, v, *statistics)``.

    Attributes:
        halo (int): pixels around a pixel that it sees directly.
        mergeable (bool): whether the statistics are means over pixels, so that those of an image are the means of its
            parts' weighted with the parts' numbers of pixels, and stay small whatever the size of the image.
    """

    halo = 3
    mergeable = True

    def forward(self, x, statistics):
        """Normalised features ``x`` -> ``t``, both ``(B, C, H, W)``; ``statistics`` are those of the whole image."""
        v = self.value(x)
        return self.expansion(x, v, *statistics) + self.local(v) + self.self_gate(x)


class NoAttention(nn.Identity):
    """``t = x``: the attention left out, for ablations. Takes and ignores the arguments of the others."""

    halo = 0
    mergeable = True

    def statistics(self, x):
        """None are needed: an empty tuple."""
        return ()

    def forward(self, x, statistics):
        return x


class QueryKeyAttention(Attention):
    """An attention of queries and keys: every head compares pixels by ``q . k``, which lies within (-0.9, 0.9).

    ``q = bounded(P[C->h d] x)`` and ``k = bounded(P[C->h d] x)`` for ``h`` heads, see ``bounded``. The values of a head
    are C/h channels of ``v``. Everything behind the 1x1 convolutions is computed in fp32 at least, also under autocast
    and in half precision.

    Args:
        num_feat (int): channels C, a multiple of ``num_heads``.
        num_heads (int): heads h.
        key_dim (int): dimension d of a query and of a key in one head.
    """

    def __init__(self, num_feat, num_heads=4, key_dim=4):
        super().__init__()
        self.num_heads = num_heads
        self.value = Pointwise(num_feat, num_feat)
        self.query = Pointwise(num_feat, num_heads * key_dim)
        self.key = Pointwise(num_feat, num_heads * key_dim)
        self.local = Depthwise(num_feat, 7)
        self.self_gate = SelfGate(num_feat)

    def queries(self, x):
        """``(B, C, H, W)`` -> bounded queries ``(B, h, d, N)``, N = H W."""
        return bounded(self.split(self.query(x)))

    def keys(self, x):
        """``(B, C, H, W)`` -> bounded keys ``(B, h, d, N)``, N = H W."""
        return bounded(self.split(self.key(x)))

    def split(self, x):
        """``(B, C, H, W)`` -> ``(B, h, C/h, N)``, in fp32 at least."""
        x = x.flatten(2).unflatten(1, (self.num_heads, -1))
        return x.to(torch.promote_types(x.dtype, torch.float32))


def bounded(x):
    """``x sqrt(r / (1 + |x|^2))`` along the last dimension but one, r = 0.9: shorter than ``sqrt(r)``.

    So ``|q . k| < r`` for any input, and a pixel chooses by the length of its ``x`` how selective it is, without a
    division by a length that may be 0. r is below 1 in order that the first-order expansion ``1 + q . k`` stays
    positive with a margin.

    Args:
        x (Tensor): ``(..., d, N)``.
    """
    return x * (MAX_LOGIT / (1 + x.square().sum(-2, keepdim=True))).sqrt()
