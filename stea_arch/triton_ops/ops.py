"""The kernels as PyTorch operations with gradients: ``torch.ops.stea_arch.depthwise_group`` and ``gated_depthwise``.

Importing this module imports Triton. Each operation says what its result looks like without computing it, so that
``torch.compile(fullgraph=True)`` and ``torch.export`` take it as one node. Tensors of any layout are accepted and
results are channels-last; a tensor that is not channels-last is copied first. First derivatives only.
"""

import math
from collections.abc import Sequence

import torch
import triton
from torch import Tensor
from torch.library import custom_op

from stea_arch.triton_ops import depthwise, gated, planes
from stea_arch.triton_ops.tiles import ROWS, count_groups, tile_sizes, unit, width_class

MOST_CHUNKS = 32  # with 43 kernel columns and 1 to 4 channel blocks, 10 to 40 programs for each of 132 processors


def _image(like, channels):
    b, _, h, w = like.shape
    return torch.empty((b, channels, h, w), dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _last(x):
    return x.contiguous(memory_format=torch.channels_last)


def _tiles(x, channels, step, convs=1):
    """Launch grid over the pixels of ``x`` and over ``channels``, for row groups of ``step``."""
    b, _, h, w = x.shape
    block_w, block_c = tile_sizes(w, channels)
    return convs * count_groups(h, step) * triton.cdiv(w, block_w), triton.cdiv(channels, block_c), b


def _sizes(x, channels):
    """The arguments that all kernels share, from H on."""
    block_w, block_c = tile_sizes(x.shape[3], channels)
    return {
        'H': x.shape[2],
        'W': x.shape[3],
        'UNITS': channels // unit(channels),
        'UNIT': unit(channels),
        'ROWS': ROWS,
        'BLOCK_W': block_w,
        'BLOCK_C': block_c,
        'num_warps': block_w * block_c // 256,
    }


@custom_op('stea_arch::depthwise_group', mutates_args=())
def depthwise_group(x: Tensor, taps: Tensor, bias: Tensor, sizes: Sequence[int], dilations: Sequence[int]) -> Tensor:
    """Depthwise convolutions of one input, concatenated.

    Args:
        x (Tensor): ``(B, C, H, W)``, float32, bfloat16 or float16.
        taps (Tensor): fp32 ``(sum of sizes[n]^2, C)``, the kernels row by row.
        bias (Tensor): fp32 ``(N, C)``.
        sizes (list of int): side of each kernel, odd.
        dilations (list of int): dilation of each.

    Returns:
        Tensor: ``(B, N C, H, W)``, channels-last, of the dtype of ``x``.
    """
    channels = x.shape[1]
    out = _image(x, len(sizes) * channels)
    # each convolution has row groups of its own; the grid takes the largest number
    step = max(dilations, key=lambda d: count_groups(x.shape[2], d))
    with torch.cuda.device_of(x):
        depthwise.results[_tiles(x, channels, step, len(sizes))](
            _last(x),
            taps.contiguous(),
            bias.contiguous(),
            out,
            SIZES=tuple(sizes),
            DILATIONS=tuple(dilations),
            **_sizes(x, channels),
        )
    return out


@depthwise_group.register_fake
def _(x, taps, bias, sizes, dilations):
    return _image(x, len(sizes) * x.shape[1])


@custom_op('stea_arch::depthwise_group_input_gradient', mutates_args=())
def depthwise_group_input_gradient(
    grad: Tensor, taps: Tensor, sizes: Sequence[int], dilations: Sequence[int]
) -> Tensor:
    """Gradient of ``x``, given that of the results."""
    channels = taps.shape[1]
    out = _image(grad, channels)
    step = math.gcd(*(d for d in dilations if d > 1)) or 1
    with torch.cuda.device_of(grad):
        depthwise.input_gradient[_tiles(grad, channels, step)](
            _last(grad),
            taps.contiguous(),
            out,
            SIZES=tuple(sizes),
            DILATIONS=tuple(dilations),
            STEP=step,
            **_sizes(grad, channels),
        )
    return out


@depthwise_group_input_gradient.register_fake
def _(grad, taps, sizes, dilations):
    return _image(grad, taps.shape[1])


@custom_op('stea_arch::depthwise_group_weight_gradient', mutates_args=())
def depthwise_group_weight_gradient(
    grad: Tensor, x: Tensor, sizes: Sequence[int], dilations: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Gradients of ``taps`` and ``bias``, fp32, given that of the results; the same bits every time."""
    b, channels, h, w = x.shape
    # chunks of 8 tiles or more, so that the sums over a tile at the end of each are rare
    block_w, block_c = tile_sizes(w, channels)
    tiles = b * triton.cdiv(w, block_w) * max(count_groups(h, d) for d in dilations)
    chunks = min(MOST_CHUNKS, triton.cdiv(tiles, 8))
    taps = x.new_empty((chunks, sum(k * k for k in sizes), channels), dtype=torch.float32)
    bias = x.new_empty((chunks, len(sizes), channels), dtype=torch.float32)
    with torch.cuda.device_of(x):
        depthwise.weight_gradient[(sum(sizes), triton.cdiv(channels, block_c), chunks)](
            _last(grad),
            _last(x),
            taps,
            bias,
            b,
            SIZES=tuple(sizes),
            DILATIONS=tuple(dilations),
            CHUNKS=chunks,
            **_sizes(x, channels),
        )
    return taps.sum(0), bias.sum(0)


@depthwise_group_weight_gradient.register_fake
def _(grad, x, sizes, dilations):
    taps = x.new_empty((sum(k * k for k in sizes), x.shape[1]), dtype=torch.float32)
    return taps, x.new_empty((len(sizes), x.shape[1]), dtype=torch.float32)


def _save_group(ctx, inputs, output):
    x, taps, _, ctx.sizes, ctx.dilations = inputs
    ctx.save_for_backward(x, taps)


def _group_backward(ctx, grad):
    x, taps = ctx.saved_tensors
    grad_x = grad_taps = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_x = depthwise_group_input_gradient(grad, taps, ctx.sizes, ctx.dilations)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        grad_taps, grad_bias = depthwise_group_weight_gradient(grad, x, ctx.sizes, ctx.dilations)
    return grad_x, grad_taps, grad_bias, None, None


depthwise_group.register_autograd(_group_backward, setup_context=_save_group)


PLANE_ROWS = 128
PLANE_LAUNCH = {'num_warps': 8, 'num_stages': 1, 'maxnreg': 128}  # so that two programs share a multiprocessor


def _plane_sizes(x, sizes, dilations, channels):
    """The arguments that all kernels of planes share, from B on."""
    b, _, h, w = x.shape
    width = width_class(w)
    return {
        'B': b,
        'C': channels,
        'H': h,
        'W_UNITS': w // unit(w),
        'W_UNIT': unit(w),
        'SIZES': tuple(sizes),
        'DILATIONS': tuple(dilations),
        'WIDTH': width,
        'PART': 64 // width,
    }


def _lines(x, taps, sizes, dilations):
    """``taps``, ``(C, sum of sizes[n]^2)``, as lines in the dtype of the images ``x``, see ``planes.spread``."""
    width = width_class(x.shape[3])
    lines = x.new_empty((len(taps), sum(sizes) + 64 // width - 1, 2 * width))
    planes.spread[(lines.shape[1], len(taps))](
        taps.contiguous(), lines, taps.shape[1], lines.shape[1], tuple(sizes), tuple(dilations), width
    )
    return lines


@custom_op('stea_arch::plane_group', mutates_args=())
def plane_group(x: Tensor, taps: Tensor, bias: Tensor, sizes: Sequence[int], dilations: Sequence[int]) -> Tensor:
    """``depthwise_group`` for images of at most 64 columns, channels-first; ``taps`` are ``(C, sum of sizes[n]^2)``."""
    b, channels, h, w = x.shape
    out = x.new_empty((b, len(sizes) * channels, h, w))
    with torch.cuda.device_of(x):
        lines = _lines(x, taps, sizes, dilations)
        planes.results[(len(sizes) * triton.cdiv(b * h, PLANE_ROWS), channels)](
            x.contiguous(),
            lines,
            bias.contiguous(),
            out,
            LINES=lines.shape[1],
            BLOCK=PLANE_ROWS,
            **PLANE_LAUNCH,
            **_plane_sizes(x, sizes, dilations, channels),
        )
    return out


@plane_group.register_fake
def _(x, taps, bias, sizes, dilations):
    b, channels, h, w = x.shape
    return x.new_empty((b, len(sizes) * channels, h, w))


@custom_op('stea_arch::plane_group_input_gradient', mutates_args=())
def plane_group_input_gradient(grad: Tensor, taps: Tensor, sizes: Sequence[int], dilations: Sequence[int]) -> Tensor:
    """Gradient of ``x``, given that of the results."""
    b, _, h, w = grad.shape
    channels = len(taps)
    out = grad.new_empty((b, channels, h, w))
    with torch.cuda.device_of(grad):
        lines = _lines(grad, taps, sizes, dilations)
        planes.input_gradient[(triton.cdiv(b * h, PLANE_ROWS), channels)](
            grad.contiguous(),
            lines,
            out,
            LINES=lines.shape[1],
            BLOCK=PLANE_ROWS,
            **PLANE_LAUNCH,
            **_plane_sizes(grad, sizes, dilations, channels),
        )
    return out


@plane_group_input_gradient.register_fake
def _(grad, taps, sizes, dilations):
    b, _, h, w = grad.shape
    return grad.new_empty((b, len(taps), h, w))


@custom_op('stea_arch::plane_group_weight_gradient', mutates_args=())
def plane_group_weight_gradient(
    grad: Tensor, x: Tensor, sizes: Sequence[int], dilations: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Gradients of ``taps`` and ``bias``, fp32, given that of the results; the same bits every time."""
    channels, n_taps = x.shape[1], sum(k * k for k in sizes)
    taps = x.new_empty((channels, n_taps), dtype=torch.float32)
    bias = x.new_empty((len(sizes), channels), dtype=torch.float32)
    arguments = _plane_sizes(x, sizes, dilations, channels)
    parts = sum(triton.cdiv(k, arguments['PART']) for k in sizes)
    with torch.cuda.device_of(x):
        planes.weight_gradient[(parts, channels)](
            grad.contiguous(),
            x.contiguous(),
            taps,
            bias,
            TAPS=n_taps,
            BLOCK=64,
            num_warps=4,
            num_stages=1,
            **arguments,
        )
    return taps, bias


@plane_group_weight_gradient.register_fake
def _(grad, x, sizes, dilations):
    taps = x.new_empty((x.shape[1], sum(k * k for k in sizes)), dtype=torch.float32)
    return taps, x.new_empty((len(sizes), x.shape[1]), dtype=torch.float32)


def _plane_backward(ctx, grad):
    x, taps = ctx.saved_tensors
    grad_x = grad_taps = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_x = plane_group_input_gradient(grad, taps, ctx.sizes, ctx.dilations)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        grad_taps, grad_bias = plane_group_weight_gradient(grad, x, ctx.sizes, ctx.dilations)
    return grad_x, grad_taps, grad_bias, None, None


plane_group.register_autograd(_plane_backward, setup_context=_save_group)


@custom_op('stea_arch::gated_depthwise', mutates_args=())
def gated_depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """``GELU(q1) * q2`` with ``[q1, q2] = DW[k,1] x``.

    Args:
        x (Tensor): ``(B, 2 h, H, W)``, float32, bfloat16 or float16.
        taps (Tensor): fp32 ``(k k, 2 h)``, the kernels row by row.

    Returns:
        Tensor: ``(B, h, H, W)``, channels-last, of the dtype of ``x``.
    """
    hidden = x.shape[1] // 2
    out = _image(x, hidden)
    with torch.cuda.device_of(x):
        gated.results[_tiles(x, hidden, 1)](
            _last(x),
            taps.contiguous(),
            out,
            K=math.isqrt(len(taps)),
            **_sizes(x, hidden),
        )
    return out


@gated_depthwise.register_fake
def _(x, taps):
    return _image(x, x.shape[1] // 2)


@custom_op('stea_arch::gated_depthwise_inner_gradient', mutates_args=())
def gated_depthwise_inner_gradient(grad: Tensor, x: Tensor, taps: Tensor) -> Tensor:
    """Gradient of ``[q1, q2]``, ``(B, 2 h, H, W)``, given that of the results."""
    hidden = grad.shape[1]
    out = _image(x, 2 * hidden)
    with torch.cuda.device_of(x):
        gated.inner_gradient[_tiles(x, hidden, 1)](
            _last(grad),
            _last(x),
            taps.contiguous(),
            out,
            K=math.isqrt(len(taps)),
            **_sizes(x, hidden),
        )
    return out


@gated_depthwise_inner_gradient.register_fake
def _(grad, x, taps):
    return _image(x, x.shape[1])


def _save_gated(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _gated_backward(ctx, grad):
    x, taps = ctx.saved_tensors
    sizes, dilations = [math.isqrt(len(taps))], [1]
    grad_q = gated_depthwise_inner_gradient(grad, x, taps)
    grad_x = grad_taps = None
    if ctx.needs_input_grad[0]:
        grad_x = depthwise_group_input_gradient(grad_q, taps, sizes, dilations)
    if ctx.needs_input_grad[1]:
        grad_taps, _ = depthwise_group_weight_gradient(grad_q, x, sizes, dilations)
    return grad_x, grad_taps


gated_depthwise.register_autograd(_gated_backward, setup_context=_save_gated)
