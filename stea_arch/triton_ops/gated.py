"""Triton kernels of the gated depthwise convolution ``GELU(q1) * q2`` with ``[q1, q2] = DW[k,1] x``.

``x`` is channels-last, ``(B, H, W, 2 h)``, the results are ``(B, H, W, h)``, the taps fp32 ``(k k, 2 h)``.
``UNITS UNIT`` is h (see ``tiles.unit``).

Memory traffic, in sizes of x: 1 read and 1/2 written, where three stock operations move 4 1/2. The gradient of ``q``
computes ``q`` once more instead of storing it: 1 1/2 read, 1 written.
"""
# ruff: noqa: RUF005 (the language of kernels knows no unpacking)

import triton
import triton.language as tl

from stea_arch.triton_ops.tiles import INTEGERS, accumulate, first_row, store_rows


@triton.jit
def _both(
    x, taps, image, row, cols, c, H, W, C,
    K: tl.constexpr, ROWS: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """``q1`` and ``q2`` of a tile, as tuples of ``ROWS``."""
    zeros = (tl.zeros([BLOCK_W, BLOCK_C], tl.float32),) * ROWS
    q1 = accumulate(zeros, x, taps, image, row, cols, c, H, W, C, 2 * C, 2 * C, K, 1, 1, False)
    q2 = accumulate(zeros, x + C, taps + C, image, row, cols, c, H, W, C, 2 * C, 2 * C, K, 1, 1, False)
    return q1, q2


@triton.jit
def _normal_cdf(q):
    return 0.5 + 0.5 * tl.erf(q * 0.7071067811865476)


@triton.jit(do_not_specialize=INTEGERS)
def results(
    x, taps, out, H, W, UNITS,
    UNIT: tl.constexpr, K: tl.constexpr, ROWS: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """One tile. Grid: (column blocks x row groups, channel blocks, images)."""
    C = UNITS * UNIT
    blocks = tl.cdiv(W, BLOCK_W)
    cols = tl.program_id(0) % blocks * BLOCK_W + tl.arange(0, BLOCK_W)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row, image = first_row(tl.program_id(0) // blocks, ROWS, 1), tl.program_id(2)
    q1, q2 = _both(x, taps, image, row, cols, c, H, W, C, K, ROWS, BLOCK_W, BLOCK_C)
    gated = ()
    for r in tl.static_range(ROWS):
        gated = gated + (q1[r] * _normal_cdf(q1[r]) * q2[r],)
    store_rows(gated, out, image, row, cols, c, H, W, C, C, 1)


@triton.jit(do_not_specialize=INTEGERS)
def inner_gradient(
    grad, x, taps, out, H, W, UNITS,
    UNIT: tl.constexpr, K: tl.constexpr, ROWS: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Gradient of ``[q1, q2]`` for one tile, given that of the results. Grid as for ``results``.

    ``d GELU(q) / dq = cdf(q) + q pdf(q)`` with the standard normal distribution.
    """
    C = UNITS * UNIT
    blocks = tl.cdiv(W, BLOCK_W)
    cols = tl.program_id(0) % blocks * BLOCK_W + tl.arange(0, BLOCK_W)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row, image = first_row(tl.program_id(0) // blocks, ROWS, 1), tl.program_id(2)
    q1, q2 = _both(x, taps, image, row, cols, c, H, W, C, K, ROWS, BLOCK_W, BLOCK_C)
    grad1 = ()
    grad2 = ()
    inside = (cols < W)[:, None] & (c < C)[None, :]
    for r in tl.static_range(ROWS):
        h = row + r
        start = (image * H + h).to(tl.int64) * W * C
        g = tl.load(grad + start + cols[:, None] * C + c[None, :], mask=inside & (h < H), other=0.0).to(tl.float32)
        cdf = _normal_cdf(q1[r])
        pdf = 0.3989422804014327 * tl.exp(-0.5 * q1[r] * q1[r])
        grad1 = grad1 + (g * q2[r] * (cdf + q1[r] * pdf),)
        grad2 = grad2 + (g * q1[r] * cdf,)
    store_rows(grad1, out, image, row, cols, c, H, W, C, 2 * C, 1)
    store_rows(grad2, out + C, image, row, cols, c, H, W, C, 2 * C, 1)
