"""Triton kernels of a group of depthwise convolutions over one input: results, gradient of the input, of the weights.

Convolution n has side ``SIZES[n]``, odd, and dilation ``DILATIONS[n]``; all are padded with zeros and keep H and W.
Images are channels-last, ``(B, H, W, C)``, results ``(B, H, W, N C)`` in the order of the convolutions. The taps of all
lie in one fp32 matrix ``(sum of SIZES[n]^2, C)``. ``UNITS UNIT`` is C (see ``tiles.unit``).

Memory traffic, in sizes of the input: 1 read and N written for the results, N read and 1 written for the gradient of
the input, N + 1 read for that of the weights, as long as the re-reading of halos hits the caches.
"""
# ruff: noqa: RUF005, SIM108, SIM300 (the language of kernels knows no unpacking, and Python's conditions only in part)

import triton
import triton.language as tl

from stea_arch.triton_ops.tiles import INTEGERS, accumulate, first_row, store_rows


@triton.jit
def _convolve(
    x, taps, bias, out, image, group, cols, c, H, W, C, out_width,
    K: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row = first_row(group, ROWS, D)
    if row < H:
        start = tl.load(bias + c[None, :], mask=(c < C)[None, :], other=0.0)
        start = start + tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
        acc = accumulate((start,) * ROWS, x, taps, image, row, cols, c, H, W, C, C, C, K, D, D, False)
        store_rows(acc, out, image, row, cols, c, H, W, C, out_width, D)


@triton.jit(do_not_specialize=INTEGERS)
def results(
    x, taps, bias, out, H, W, UNITS,
    UNIT: tl.constexpr, SIZES: tl.constexpr, DILATIONS: tl.constexpr, ROWS: tl.constexpr, BLOCK_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
):  # fmt: skip
    """One convolution of one tile. Grid: (convolutions x column blocks x row groups, channel blocks, images)."""
    C = UNITS * UNIT
    n_convs: tl.constexpr = len(SIZES)
    conv, tile = tl.program_id(0) % n_convs, tl.program_id(0) // n_convs
    blocks = tl.cdiv(W, BLOCK_W)
    cols = tile % blocks * BLOCK_W + tl.arange(0, BLOCK_W)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    group, image = tile // blocks, tl.program_id(2)
    for n in tl.static_range(n_convs):
        if conv == n:
            _convolve(
                x, taps, bias + n * C, out + n * C, image, group, cols, c, H, W, C, C * n_convs,
                SIZES[n], DILATIONS[n], ROWS, BLOCK_W, BLOCK_C,
            )  # fmt: skip
        taps += SIZES[n] * SIZES[n] * C


@triton.jit(do_not_specialize=INTEGERS)
def input_gradient(
    grad, taps, out, H, W, UNITS,
    UNIT: tl.constexpr, SIZES: tl.constexpr, DILATIONS: tl.constexpr, STEP: tl.constexpr, ROWS: tl.constexpr,
    BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """All transposed convolutions of one tile, summed. Grid: (column blocks x row groups, channel blocks, images).

    The rows of a tile must suit all convolutions: ``STEP`` is the greatest common divisor of the dilations above 1.
    """
    C = UNITS * UNIT
    n_convs: tl.constexpr = len(SIZES)
    blocks = tl.cdiv(W, BLOCK_W)
    cols = tl.program_id(0) % blocks * BLOCK_W + tl.arange(0, BLOCK_W)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row, image = first_row(tl.program_id(0) // blocks, ROWS, STEP), tl.program_id(2)
    if row < H:
        acc = (tl.zeros([BLOCK_W, BLOCK_C], tl.float32),) * ROWS
        for n in tl.static_range(n_convs):
            acc = accumulate(
                acc, grad + n * C, taps, image, row, cols, c, H, W, C, C * n_convs, C,
                SIZES[n], DILATIONS[n], STEP, True,
            )  # fmt: skip
            taps += SIZES[n] * SIZES[n] * C
        store_rows(acc, out, image, row, cols, c, H, W, C, C, STEP)


@triton.jit
def _correlate(
    grad, x, taps_out, bias_out, j, chunk, c, B, H, W, C, grad_width,
    CHUNKS: tl.constexpr, K: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr,
    BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    acc = (tl.zeros([BLOCK_W, BLOCK_C], tl.float32),) * K
    total = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    in_c = (c < C)[None, :]
    blocks = tl.cdiv(W, BLOCK_W)
    groups = tl.cdiv(H, ROWS * D) * D
    item = chunk
    while item < B * groups * blocks:
        cols = item % blocks * BLOCK_W + tl.arange(0, BLOCK_W)
        image = item // blocks // groups
        row = first_row(item // blocks % groups, ROWS, D)
        inside = (cols < W)[:, None] & in_c
        gradients = ()
        for r in tl.static_range(ROWS):
            h = row + r * D
            start = (image * H + h).to(tl.int64) * W * grad_width
            offsets = cols[:, None] * grad_width + c[None, :]
            gradients = gradients + (tl.load(grad + start + offsets, mask=inside & (h < H), other=0.0).to(tl.float32),)
            total += gradients[r]
        col = cols + (j - K // 2) * D
        inside = ((col >= 0) & (col < W))[:, None] & in_c
        for o in tl.static_range(K + ROWS - 1):
            h = row + (o - K // 2) * D
            start = (image * H + h).to(tl.int64) * W * C
            offsets = col[:, None] * C + c[None, :]
            value = tl.load(x + start + offsets, mask=inside & (h >= 0) & (h < H), other=0.0).to(tl.float32)
            new = ()
            for i in tl.static_range(K):
                if 0 <= o - i and o - i < ROWS:
                    new = new + (acc[i] + value * gradients[o - i],)
                else:
                    new = new + (acc[i],)
            acc = new
        item += CHUNKS
    for i in tl.static_range(K):
        tl.store(taps_out + (i * K + j) * C + c, tl.sum(acc[i], axis=0), mask=c < C)
    if j == 0:
        tl.store(bias_out + c, tl.sum(total, axis=0), mask=c < C)


@triton.jit(do_not_specialize=INTEGERS)
def weight_gradient(
    grad, x, taps_out, bias_out, B, H, W, UNITS,
    UNIT: tl.constexpr, SIZES: tl.constexpr, DILATIONS: tl.constexpr, CHUNKS: tl.constexpr, ROWS: tl.constexpr,
    BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """One column of one kernel, over one part of the pixels. Grid: (sum of SIZES, channel blocks, CHUNKS).

    Every part has its own place in ``taps_out`` (CHUNKS, sum of SIZES[n]^2, C) and ``bias_out`` (CHUNKS, N, C). What is
    left to do is to sum over the parts, in an order that is always the same; no atomic additions.
    """
    C = UNITS * UNIT
    n_convs: tl.constexpr = len(SIZES)
    column, chunk = tl.program_id(0), tl.program_id(2)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    n_taps = 0
    for n in tl.static_range(n_convs):
        n_taps += SIZES[n] * SIZES[n]
    taps_out += chunk * n_taps * C
    bias_out += chunk * n_convs * C
    for n in tl.static_range(n_convs):
        if (column >= 0) & (column < SIZES[n]):
            _correlate(
                grad + n * C, x, taps_out, bias_out + n * C, column, chunk, c, B, H, W, C, C * n_convs,
                CHUNKS, SIZES[n], DILATIONS[n], ROWS, BLOCK_W, BLOCK_C,
            )  # fmt: skip
        taps_out += SIZES[n] * SIZES[n] * C
        column -= SIZES[n]
