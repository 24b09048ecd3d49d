"""The kernels as PyTorch operations with gradients: ``torch.ops.stea_arch.depthwise_group`` and ``gated_depthwise``.

Importing this module imports Triton. Each operation says what its result looks like without computing it, so that
``torch.compile(fullgraph=True)`` and ``torch.export`` take it as one node. Tensors of any layout are accepted; what is
not in the layout of the kernels (channels-first for those of ``planes``, channels-last for all others) is copied first,
and results are in it. Taps are fp32 ``(C, sum of sizes[n]^2)``, the kernels of a channel side by side, row by row.
First derivatives only.
"""

import math
from collections.abc import Sequence

import torch
import triton
from torch import Tensor
from torch.library import custom_op

from stea_arch.triton_ops import depthwise, gated, planes
from stea_arch.triton_ops.tiles import ROWS, count_groups, tile_sizes, unit, width_class

MOST_CHUNKS = 32  # with 42 kernel columns and 1 to 4 channel blocks, 10 to 40 programs for each of 132 processors
PLANE_ROWS = 128
PLANE_LAUNCH = {'BLOCK': PLANE_ROWS, 'num_warps': 8, 'num_stages': 1, 'maxnreg': 128}  # two programs share a processor


def _empty(like, channels, in_planes=False):
    b, _, h, w = like.shape
    layout = torch.contiguous_format if in_planes else torch.channels_last
    return torch.empty((b, channels, h, w), dtype=like.dtype, device=like.device, memory_format=layout)


def _last(x):
    return x.contiguous(memory_format=torch.channels_last)


def _tiles(x, channels, step, convs=1):
    """Launch grid over the pixels of ``x`` and over ``channels``, for row groups of ``step``."""
    b, _, h, w = x.shape
    block_w, block_c = tile_sizes(w, channels)
    return convs * count_groups(h, step) * triton.cdiv(w, block_w), triton.cdiv(channels, block_c), b


def _sizes(x, channels):
    """The arguments that all channels-last kernels share, from H on."""
    block_w, block_c = tile_sizes(x.shape[3], channels)
    sizes = {'H': x.shape[2], 'W': x.shape[3], 'UNITS': channels // unit(channels), 'UNIT': unit(channels)}
    return {**sizes, 'ROWS': ROWS, 'BLOCK_W': block_w, 'BLOCK_C': block_c, 'num_warps': block_w * block_c // 256}


def _plane_sizes(x, channels):
    """The arguments that all kernels of planes share, from B on."""
    b, _, h, w = x.shape
    width = width_class(w)
    sizes = {'B': b, 'C': channels, 'H': h, 'W_UNITS': w // unit(w), 'W_UNIT': unit(w)}
    return {**sizes, 'WIDTH': width, 'PART': 64 // width}


def _lines(x, taps, sizes, dilations):
    """``taps`` as lines in the dtype of the images ``x``, see ``planes.spread``."""
    width = width_class(x.shape[3])
    lines = x.new_empty((len(taps), sum(sizes) + 64 // width - 1, 2 * width))
    planes.spread[(lines.shape[1], len(taps))](
        taps.contiguous(), lines, taps.shape[1], lines.shape[1], tuple(sizes), tuple(dilations), width
    )
    return lines


@custom_op('stea_arch::depthwise_group', mutates_args=())
def depthwise_group(
    x: Tensor, taps: Tensor, bias: Tensor, sizes: Sequence[int], dilations: Sequence[int], in_planes: bool
) -> Tensor:
    """Depthwise convolutions of one input, concatenated.

    Args:
        x (Tensor): ``(B, C, H, W)``, float32, bfloat16 or float16.
        taps (Tensor): fp32 ``(C, sum of sizes[n]^2)``.
        bias (Tensor): fp32 ``(N, C)``.
        sizes (list of int): side of each kernel, odd.
        dilations (list of int): dilation of each.
        in_planes (bool): by the kernels of ``planes``, which take W up to 64 and round taps to the dtype of ``x``.

    Returns:
        Tensor: ``(B, N C, H, W)``, of the dtype of ``x``.
    """
    b, channels, h, _ = x.shape
    out = _empty(x, len(sizes) * channels, in_planes)
    group = {'SIZES': tuple(sizes), 'DILATIONS': tuple(dilations)}
    with torch.cuda.device_of(x):
        if in_planes:
            lines = _lines(x, taps, sizes, dilations)
            arguments = {**group, **_plane_sizes(x, channels), 'LINES': lines.shape[1], **PLANE_LAUNCH}
            planes.results[(len(sizes) * triton.cdiv(b * h, PLANE_ROWS), channels)](
                x.contiguous(), lines, bias.contiguous(), out, **arguments
            )
        else:
            # each convolution has row groups of its own; the grid takes the largest number
            step = max(dilations, key=lambda d: count_groups(h, d))
            depthwise.results[_tiles(x, channels, step, len(sizes))](
                _last(x), taps.t().contiguous(), bias.contiguous(), out, **group, **_sizes(x, channels)
            )
    return out


@depthwise_group.register_fake
def _(x, taps, bias, sizes, dilations, in_planes):
    return _empty(x, len(sizes) * x.shape[1], in_planes)


@custom_op('stea_arch::depthwise_group_input_gradient', mutates_args=())
def depthwise_group_input_gradient(
    grad: Tensor, taps: Tensor, sizes: Sequence[int], dilations: Sequence[int], in_planes: bool
) -> Tensor:
    """Gradient of ``x``, given that of the results."""
    channels, (b, _, h, _) = len(taps), grad.shape
    out = _empty(grad, channels, in_planes)
    group = {'SIZES': tuple(sizes), 'DILATIONS': tuple(dilations)}
    with torch.cuda.device_of(grad):
        if in_planes:
            lines = _lines(grad, taps, sizes, dilations)
            arguments = {**group, **_plane_sizes(grad, channels), 'LINES': lines.shape[1], **PLANE_LAUNCH}
            planes.input_gradient[(triton.cdiv(b * h, PLANE_ROWS), channels)](
                grad.contiguous(), lines, out, **arguments
            )
        else:
            step = math.gcd(*(d for d in dilations if d > 1)) or 1
            depthwise.input_gradient[_tiles(grad, channels, step)](
                _last(grad), taps.t().contiguous(), out, STEP=step, **group, **_sizes(grad, channels)
            )
    return out


@depthwise_group_input_gradient.register_fake
def _(grad, taps, sizes, dilations, in_planes):
    return _empty(grad, len(taps), in_planes)


@custom_op('stea_arch::depthwise_group_weight_gradient', mutates_args=())
def depthwise_group_weight_gradient(
    grad: Tensor, x: Tensor, sizes: Sequence[int], dilations: Sequence[int], in_planes: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of ``taps`` and ``bias``, fp32, given that of the results; the same bits every time."""
    b, channels, h, w = x.shape
    n_taps = sum(k * k for k in sizes)
    group = {'SIZES': tuple(sizes), 'DILATIONS': tuple(dilations)}
    if in_planes:
        arguments = _plane_sizes(x, channels)
        parts = sum(triton.cdiv(k, arguments['PART']) for k in sizes)
        taps = x.new_empty((channels, n_taps), dtype=torch.float32)
        bias = x.new_empty((len(sizes), channels), dtype=torch.float32)
        with torch.cuda.device_of(x):
            planes.weight_gradient[(parts, channels)](
                grad.contiguous(), x.contiguous(), taps, bias, TAPS=n_taps, BLOCK=64, num_stages=1, **group, **arguments
            )
        return taps, bias
    # chunks of 8 tiles or more, so that the sums over a tile at the end of each are rare
    block_w, block_c = tile_sizes(w, channels)
    chunks = min(MOST_CHUNKS, triton.cdiv(b * triton.cdiv(w, block_w) * max(count_groups(h, d) for d in dilations), 8))
    taps = x.new_empty((chunks, n_taps, channels), dtype=torch.float32)
    bias = x.new_empty((chunks, len(sizes), channels), dtype=torch.float32)
    with torch.cuda.device_of(x):
        depthwise.weight_gradient[(sum(sizes), triton.cdiv(channels, block_c), chunks)](
            _last(grad), _last(x), taps, bias, b, CHUNKS=chunks, **group, **_sizes(x, channels)
        )
    return taps.sum(0).t().contiguous(), bias.sum(0)


@depthwise_group_weight_gradient.register_fake
def _(grad, x, sizes, dilations, in_planes):
    taps = x.new_empty((x.shape[1], sum(k * k for k in sizes)), dtype=torch.float32)
    return taps, x.new_empty((len(sizes), x.shape[1]), dtype=torch.float32)


def _save_group(ctx, inputs, output):
    x, taps, _, *ctx.arguments = inputs
    ctx.save_for_backward(x, taps)


def _group_backward(ctx, grad):
    x, taps = ctx.saved_tensors
    grad_x = grad_taps = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_x = depthwise_group_input_gradient(grad, taps, *ctx.arguments)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        grad_taps, grad_bias = depthwise_group_weight_gradient(grad, x, *ctx.arguments)
    return grad_x, grad_taps, grad_bias, None, None, None


depthwise_group.register_autograd(_group_backward, setup_context=_save_group)


@custom_op('stea_arch::gated_depthwise', mutates_args=())
def gated_depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """``GELU(q1) * q2`` with ``[q1, q2] = DW[k,1] x``.

    Args:
        x (Tensor): ``(B, 2 h, H, W)``, float32, bfloat16 or float16.
        taps (Tensor): fp32 ``(2 h, k k)``.

    Returns:
        Tensor: ``(B, h, H, W)``, channels-last, of the dtype of ``x``.
    """
    hidden = x.shape[1] // 2
    out = _empty(x, hidden)
    with torch.cuda.device_of(x):
        gated.results[_tiles(x, hidden, 1)](
            _last(x), taps.t().contiguous(), out, K=math.isqrt(taps.shape[1]), **_sizes(x, hidden)
        )
    return out


@gated_depthwise.register_fake
def _(x, taps):
    return _empty(x, x.shape[1] // 2)


@custom_op('stea_arch::gated_depthwise_inner_gradient', mutates_args=())
def gated_depthwise_inner_gradient(grad: Tensor, x: Tensor, taps: Tensor) -> Tensor:
    """Gradient of ``[q1, q2]``, ``(B, 2 h, H, W)``, given that of the results."""
    hidden = grad.shape[1]
    out = _empty(x, 2 * hidden)
    with torch.cuda.device_of(x):
        gated.inner_gradient[_tiles(x, hidden, 1)](
            _last(grad), _last(x), taps.t().contiguous(), out, K=math.isqrt(taps.shape[1]), **_sizes(x, hidden)
        )
    return out


@gated_depthwise_inner_gradient.register_fake
def _(grad, x, taps):
    return _empty(x, x.shape[1])


def _save_gated(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _gated_backward(ctx, grad):
    x, taps = ctx.saved_tensors
    grad_q = gated_depthwise_inner_gradient(grad, x, taps)
    grad_x = grad_taps = None
    arguments = [math.isqrt(taps.shape[1])], [1], False
    if ctx.needs_input_grad[0]:
        grad_x = depthwise_group_input_gradient(grad_q, taps, *arguments)
    if ctx.needs_input_grad[1]:
        grad_taps, _ = depthwise_group_weight_gradient(grad_q, x, *arguments)
    return grad_x, grad_taps


gated_depthwise.register_autograd(_gated_backward, setup_context=_save_gated)
