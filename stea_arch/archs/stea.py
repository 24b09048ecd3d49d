"""Taylor-expansion attention of second (STEA) and third (TTEA) order, arXiv 2408.00470.

With A = Q K^T the exponential of softmax attention is expanded as I + A + A^2/2 (+ A^3/6). Multiplied with V and
regrouped from the right, every product of N x N matrices (N = H W pixels) becomes one with a small global C x C
statistic. The published block learns that statistic as a gate per channel, driven by the global average of its input,
and the linear maps around it as bottlenecks, so that the whole costs O(N).
"""

from stea_arch.archs.attention import Attention
from stea_arch.archs.depthwise import Depthwise
from stea_arch.archs.layers import ChannelGate, SelfGate, average, bottleneck, pointwise


class _GatedExpansion(Attention):
    """What both orders share: three maps ``phi``, and gates of the average of ``x``."""

    def __init__(self, num_feat):
        super().__init__()
        self.value = pointwise(num_feat, num_feat)
        self.phi1 = bottleneck(num_feat, 4)
        self.phi2 = bottleneck(num_feat, 4)
        self.phi3 = bottleneck(num_feat, 4)
        self.gate1 = ChannelGate(num_feat)
        self.gate2 = ChannelGate(num_feat)
        self.local = Depthwise(num_feat, 7)
        self.self_gate = SelfGate(num_feat)

    def statistics(self, x):
        """Means over the pixels of ``x``, ``(B, C, H, W)``; those of an image are the weighted means of its parts'."""
        return (average(x),)


class STEA(_GatedExpansion):
    """Second-order Taylor expansion attention.

    With ``phi_i = P[C/4->C] . GELU . P[C->C/4]``, gates ``g_i`` of the average of ``x`` (see ``ChannelGate``) and
    ``v = P[C->C] x``::

        t1 = phi_2( x + g_1 * phi_1(x) )
        t2 = phi_3( x + v + g_2 * t1 )
        t  = t1 + t2 + DW[7,1](v) + x * GELU(P[C->C] x) + x

    Costs ``3.5 C^2 + 49 C`` multiply-adds a pixel.

    Args:
        num_feat (int): channels C, a multiple of 16.
    """

    def expansion(self, x, v, mean):
        t1 = self.phi2(x + self.gate1(mean) * self.phi1(x))
        t2 = self.phi3(x + v + self.gate2(mean) * t1)
        return t1 + t2


class TTEA(_GatedExpansion):
    """Third-order Taylor expansion attention, the paper's ablation.

    With the parts of ``STEA`` and a third gate::

        p1 = g_1 * phi_1(x);  p2 = g_2 * phi_2(p1);  p3 = g_3 * phi_2(p2)
        t  = phi_3(x + v + p1) + phi_3(x + v + p2) + phi_3(x + v + p3) + DW[7,1](v) + x * GELU(P[C->C] x) + x

    Costs ``5 C^2 + 49 C`` multiply-adds a pixel.

    Args:
        num_feat (int): channels C, a multiple of 16.
    """

    def __init__(self, num_feat):
        super().__init__(num_feat)
        self.gate3 = ChannelGate(num_feat)

    def expansion(self, x, v, mean):
        p1 = self.gate1(mean) * self.phi1(x)
        p2 = self.gate2(mean) * self.phi2(p1)
        p3 = self.gate3(mean) * self.phi2(p2)
        return self.phi3(x + v + p1) + self.phi3(x + v + p2) + self.phi3(x + v + p3)
