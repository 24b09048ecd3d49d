"""Taylor-expansion attention of second (STEA) and third (TTEA) order, arXiv 2408.00470.

With A = Q K^T the exponential of softmax attention is expanded as I + A + A^2/2 (+ A^3/6). Multiplied with V and
regrouped from the right, every product of N x N matrices (N = H W pixels) becomes one with a small global C x C
statistic. The published block learns that statistic as a gate per channel, driven by the global average of its input,
and the linear maps around it as bottlenecks, so that the whole costs O(N).
"""

import torch
import torch.nn.functional as F

from stea_arch.archs.attention import Attention
from stea_arch.archs.depthwise import Depthwise
from stea_arch.archs.layers import ChannelGate, Pointwise, SelfGate, average, bottleneck, convolve_pixels


class _GatedExpansion(Attention):
    """What both orders share: three maps ``phi``, and gates of the average of ``x``."""

    def __init__(self, num_feat):
        super().__init__()
        self.value = Pointwise(num_feat, num_feat)
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

    From one bottleneck to the next lead two 1x1 convolutions with nothing but a gate between them. They are computed as
    one small convolution for each image, see :func:`gated_step`, so that maps of C channels shrink to C/4. Costs
    ``3.4 C^2 + 49 C`` multiply-adds a pixel.

    Args:
        num_feat (int): channels C, a multiple of 16.
    """

    def expansion(self, x, v, mean):
        h1 = F.gelu(self.phi1[0](x))
        h2 = F.gelu(self.phi2[0](x) + gated_step(h1, self.phi1[2], self.gate1(mean), self.phi2[0]))
        h3 = F.gelu(self.phi3[0](x + v) + gated_step(h2, self.phi2[2], self.gate2(mean), self.phi3[0]))
        return self.phi2[2](h2) + self.phi3[2](h3)


class TTEA(_GatedExpansion):
    """Third-order Taylor expansion attention, the paper's ablation.

    With the parts of ``STEA`` and a third gate::

        p1 = g_1 * phi_1(x);  p2 = g_2 * phi_2(p1);  p3 = g_3 * phi_2(p2)
        t  = phi_3(x + v + p1) + phi_3(x + v + p2) + phi_3(x + v + p3) + DW[7,1](v) + x * GELU(P[C->C] x) + x

    Computed like ``STEA``. Costs ``3.1 C^2 + 49 C`` multiply-adds a pixel.

    Args:
        num_feat (int): channels C, a multiple of 16.
    """

    def __init__(self, num_feat):
        super().__init__(num_feat)
        self.gate3 = ChannelGate(num_feat)

    def expansion(self, x, v, mean):
        gates = self.gate1(mean), self.gate2(mean), self.gate3(mean)
        bias = self.phi2[0].bias.view(-1, 1, 1)
        h1, r = F.gelu(self.phi1[0](x)), self.phi3[0](x + v)
        h2 = F.gelu(gated_step(h1, self.phi1[2], gates[0], self.phi2[0]) + bias)
        h3 = F.gelu(gated_step(h2, self.phi2[2], gates[1], self.phi2[0]) + bias)
        steps = zip((h1, h2, h3), (self.phi1[2], self.phi2[2], self.phi2[2]), gates)
        h = sum(F.gelu(r + gated_step(*step, self.phi3[0])) for step in steps)
        return convolve_pixels(h, self.phi3[2].weight, 3 * self.phi3[2].bias)


def gated_step(h, expand, gate, reduce):
    """``R (g * E h)``, without the bias of ``R``, as one product with the matrix ``R diag(g) E`` of each image.

    Args:
        h (Tensor): ``(B, C/4, H, W)``.
        expand (nn.Conv2d): ``E``, 1x1, C/4 -> C.
        gate (Tensor): ``g``, ``(B, C, 1, 1)``.
        reduce (nn.Conv2d): ``R``, 1x1, C -> C/4.

    Returns:
        Tensor: ``(B, C/4, H, W)``.
    """
    if torch.jit.is_tracing():  # for ncnn, which knows no product of two computed matrices for each image
        return F.conv2d(gate * expand(h), reduce.weight)
    gated = reduce.weight.flatten(1) * gate.flatten(1)[:, None]
    weight, bias = gated @ expand.weight.flatten(1), gated @ expand.bias
    pixels = h.flatten(2).transpose(1, 2) @ weight.transpose(1, 2) + bias[:, None]
    return pixels.transpose(1, 2).unflatten(2, h.shape[2:])
