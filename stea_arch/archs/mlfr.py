"""Multi-scale large field reception (MLFR), arXiv 2408.00470."""

import torch
import torch.nn.functional as F
from torch import nn

from stea_arch import triton_ops
from stea_arch.archs.layers import depthwise, pointwise


class DilatedDepthwise(nn.Conv2d):
    """``DW[k,d]``, a dilated depthwise convolution with zero padding that keeps H and W, computed without dilation.

    A kernel dilated by d only ever joins pixels whose coordinates agree modulo d. So the image is dealt out into its
    d * d interleaved sub-images, each is convolved with the undilated kernel, and the results are interleaved again:
    the same sums in an order for which CPU libraries have fast kernels (benchmarks/arch_speed.py measures it). H and W
    are filled up with zeros to multiples of d and cropped again; beyond the border the convolution sees zeros anyway.

    Args:
        num_feat (int): channels C.
        kernel_size (int): odd side k of the kernel.
        dilation (int): d.
    """

    def __init__(self, num_feat, kernel_size, dilation):
        reach = dilation * (kernel_size // 2)
        super().__init__(num_feat, num_feat, kernel_size, padding=reach, dilation=dilation, groups=num_feat)

    def forward(self, x):
        if torch.onnx.is_in_onnx_export():  # the runtimes have better kernels for dilation than for dealing out
            return super().forward(x)
        b, c, h, w = x.shape
        d = self.dilation[0]
        rows, cols = (h + d - 1) // d, (w + d - 1) // d
        # Channels stay last throughout, so that whole pixels are moved instead of single values.
        x = F.pad(x, (0, cols * d - w, 0, rows * d - h)).permute(0, 2, 3, 1)
        x = x.reshape(b, rows, d, cols, d, c).permute(0, 2, 4, 1, 3, 5).reshape(b * d * d, rows, cols, c)
        x = F.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias, padding=self.kernel_size[0] // 2, groups=c)
        x = x.permute(0, 2, 3, 1).reshape(b, d, d, rows, cols, c).permute(0, 3, 1, 4, 2, 5)
        # narrow, where a slice's end may lie beyond the tensor: export must know that H and W come out as they went in
        return x.reshape(b, rows * d, cols * d, c).narrow(1, 0, h).narrow(2, 0, w).permute(0, 3, 1, 2)


class LargeFieldBranch(nn.Module):
    """``m_d = P[2C->C] [ DW[9,d](t), DW[k,1](t) ]``: a wide sparse field beside a dense one that fills its gaps.

    Args:
        num_feat (int): channels C.
        dilation (int): d; the wide field spans 8 d + 1 pixels.
        kernel_size (int): side k of the dense field.
    """

    def __init__(self, num_feat, dilation, kernel_size):
        super().__init__()
        self.far = DilatedDepthwise(num_feat, 9, dilation)
        self.near = depthwise(num_feat, kernel_size)
        self.merge = pointwise(2 * num_feat, num_feat)

    def forward(self, t):
        return self.merge(torch.cat([self.far(t), self.near(t)], dim=1))


class MLFR(nn.Module):
    """Multi-scale large field reception: ``u = P[4C->C] [ m_2, m_4, m_6, P[C->C] t ] + t``.

    The three branches ``m_d`` (see ``LargeFieldBranch``) take (d, k) = (2, 3), (4, 5), (6, 7) and so reach over 17, 33
    and 49 pixels, ``halo`` to each side. With other ``dilations`` there is a branch for each; k is the smallest odd
    number that is not below d, so that the dense field fills the gap between two taps of the wide one.

    Args:
        num_feat (int): channels C.
        dilations (sequence of int): d of each branch, at least 1.

    Attributes:
        halo (int): pixels around a pixel that it sees, four times the largest dilation.
    """

    def __init__(self, num_feat, dilations=(2, 4, 6)):
        super().__init__()
        self.halo = 4 * max(dilations)
        self.branches = nn.ModuleList(LargeFieldBranch(num_feat, d, d // 2 * 2 + 1) for d in dilations)
        self.bypass = pointwise(num_feat, num_feat)
        self.merge = pointwise((len(dilations) + 1) * num_feat, num_feat)

    def forward(self, t):
        """Features ``t`` -> ``u``, both ``(B, C, H, W)``."""
        if triton_ops.usable(t):
            return triton_ops.large_field(self, t)
        return self.merge(torch.cat([*(branch(t) for branch in self.branches), self.bypass(t)], dim=1)) + t
