"""Triton kernels for what stock operations compute slowly on a GPU, and the stock form of the same functions.

Two parts of a LabNet block are worth a kernel of their own, because a compiler does not fuse anything into a depthwise
convolution: the six depthwise convolutions of MLFR, which read the same input, and the gate behind the depthwise
convolution of the feed-forward. What is pointwise (norms, gates, sums) is left to ``torch.compile``, which takes the
kernels as nodes of its one graph.

Experimental and off by default: they are tested in Triton's interpreter and compiled for sm_90, but have not run on a
GPU yet; benchmarks/gpu.py checks and times them there. Switch them on with ``enable()`` or ``STEA_KERNELS=1``; whoever
cannot use them gets a RuntimeError that says why. Importing this package imports no Triton.

The depthwise group has two kernels, of which that benchmark is to choose one: on the fp32 units (``depthwise``), and on
the matrix units for images of up to 64 columns in half precision (``planes``; ``enable(planes=True)`` or
``STEA_KERNELS=planes``).
"""

import os

import torch
import torch.nn.functional as F

from stea_arch.triton_ops.switch import VARIABLE, disable, enable, in_planes, usable, why_not

__all__ = [
    'depthwise_group',
    'disable',
    'enable',
    'gated_depthwise',
    'plane_group',
    'planes_usable',
    'usable',
    'why_not',
]


def _cast(x):
    """``x`` in the dtype of autocast where that is on, as for a convolution."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _taps(weights):
    """Depthwise weights, each ``(C, 1, k, k)``, as the kernels' one fp32 matrix ``(C, sum of k k)``."""
    return torch.cat([weight.flatten(1) for weight in weights], dim=1).float()


def depthwise_group(x, weights, biases, dilations):
    """Depthwise convolutions of one input, concatenated, with zero padding that keeps H and W.

    Args:
        x (Tensor): ``(B, C, H, W)``, any layout; channels-last is the one that is not copied first.
        weights (sequence of Tensor): each ``(C, 1, k, k)`` with an odd k of its own.
        biases (sequence of Tensor): each ``(C,)``.
        dilations (sequence of int): one for each.

    Returns:
        Tensor: ``(B, N C, H, W)`` for N convolutions, in their order, of the dtype that a convolution of ``x`` has
        under autocast. By the kernels, where those are usable, the input is read from memory once and the result is
        channels-last; it has first derivatives only.
    """
    if not usable(_cast(x)):
        return torch.cat([_convolve(x, *each) for each in zip(weights, biases, dilations)], dim=1)
    return _group(_cast(x), weights, biases, dilations, False)


def planes_usable(x):
    """Whether ``plane_group`` takes ``x``, as autocast would hand it to a convolution."""
    return in_planes(_cast(x))


def plane_group(x, weights, biases, dilations):
    """``depthwise_group`` on the matrix units, for tensors of which ``planes_usable`` is true; channels-first."""
    # contiguous already here, so that a compiler joins it to what comes before
    return _group(_cast(x).contiguous(), weights, biases, dilations, True)


def _group(x, weights, biases, dilations, planes):
    sizes, bias = [weight.shape[-1] for weight in weights], torch.stack(list(biases)).float()
    return torch.ops.stea_arch.depthwise_group(x, _taps(weights), bias, sizes, list(dilations), planes)


def _convolve(x, weight, bias, dilation):
    padding = dilation * (weight.shape[-1] // 2)
    return F.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=len(weight))


def gated_depthwise(x, weight):
    """``GELU(q1) * q2`` with ``[q1, q2] = DW[k,1] x``, without bias.

    Args:
        x (Tensor): ``(B, 2 h, H, W)``, any layout.
        weight (Tensor): ``(2 h, 1, k, k)``, k odd.

    Returns:
        Tensor: ``(B, h, H, W)``, of the dtype that a convolution of ``x`` has under autocast. Where the kernels are
        usable one of them does it all and ``[q1, q2]`` is never stored, not even for the backward pass; it has first
        derivatives only.
    """
    if not usable(_cast(x)):
        q1, q2 = _convolve(x, weight, None, 1).chunk(2, dim=1)
        return F.gelu(q1) * q2
    return torch.ops.stea_arch.gated_depthwise(_cast(x), _taps([weight]))


if os.environ.get(VARIABLE) in ('1', 'planes'):
    enable(planes=os.environ[VARIABLE] == 'planes')
