"""Multi-scale large field reception (MLFR), arXiv 2408.00470."""

import torch
from torch import nn

from stea_arch.archs.depthwise import Depthwise
from stea_arch.archs.layers import Pointwise, affine


class LargeFieldBranch(nn.Module):
    """``m_d = P[2C->C] [ DW[9,d](t), DW[k,1](t) ]``: a wide sparse field beside a dense one that fills its gaps.

    Args:
        num_feat (int): channels C.
        dilation (int): d; the wide field spans 8 d + 1 pixels.
        kernel_size (int): side k of the dense field.
        padding (str): of the wide field, 'zeros' or 'partial', see ``Depthwise``.
    """

    def __init__(self, num_feat, dilation, kernel_size, padding='zeros'):
        super().__init__()
        # the weights' names tell the padding and, unless it is the published one, the dilation
        self.wide = 'far' if padding == 'zeros' else f'far_partial_{dilation}'
        self.add_module(self.wide, Depthwise(num_feat, 9, dilation, partial=padding == 'partial'))
        self.near = Depthwise(num_feat, kernel_size)
        self.merge = Pointwise(2 * num_feat, num_feat)

    def fields(self):
        """The wide and the dense convolution."""
        return [getattr(self, self.wide), self.near]

    def forward(self, t):
        return self.merge(torch.cat([field(t) for field in self.fields()], dim=1))


class MLFR(nn.Module):
    """Multi-scale large field reception: ``u = P[4C->C] [ m_2, m_4, m_6, P[C->C] t ] + t``.

    The three branches ``m_d`` (see ``LargeFieldBranch``) take (d, k) = (2, 3), (4, 5), (6, 7) and so reach over 17, 33
    and 49 pixels, ``halo`` to each side. With other ``dilations`` there is a branch for each; k is the smallest odd
    number that is not below d, so that the dense field fills the gap between two taps of the wide one.

    Args:
        num_feat (int): channels C.
        dilations (sequence of int): d of each branch, at least 1.
        padding (str): of the wide fields, 'zeros' or 'partial', see ``Depthwise``.

    Attributes:
        halo (int): pixels around a pixel that it sees, four times the largest dilation.
    """

    def __init__(self, num_feat, dilations=(2, 4, 6), padding='zeros'):
        super().__init__()
        self.halo = 4 * max(dilations)
        self.branches = nn.ModuleList(LargeFieldBranch(num_feat, d, d // 2 * 2 + 1, padding) for d in dilations)
        self.bypass = Pointwise(num_feat, num_feat)
        self.merge = Pointwise((len(dilations) + 1) * num_feat, num_feat)

    def fields(self):
        """The depthwise convolutions, those of the first branch first."""
        return [field for branch in self.branches for field in branch.fields()]

    def merged(self, outer):
        """``outer u`` as one 1x1 convolution of the depthwise results and ``t``, multiplied out.

        Args:
            outer (Tensor): ``(out, C)``, a matrix by which ``u`` would be multiplied next.

        Returns:
            tuple[Tensor, Tensor]: weight ``(out, (2 n + 1) C)`` for n branches and bias ``(out,)``, with gradients.
        """
        weight, bias = affine(self.merge)
        shares = (outer @ weight).chunk(len(self.branches) + 1, dim=1)
        inner = [affine(conv) for conv in (*(branch.merge for branch in self.branches), self.bypass)]
        *weights, bypass = (share @ weight for share, (weight, _) in zip(shares, inner))
        constant = outer @ bias + sum(share @ bias for share, (_, bias) in zip(shares, inner))
        return torch.cat([*weights, bypass + outer], dim=1), constant

    def forward(self, t):
        """Features ``t`` -> ``u``, both ``(B, C, H, W)``."""
        return self.merge(torch.cat([*(branch(t) for branch in self.branches), self.bypass(t)], dim=1)) + t
