"""A group of depthwise convolutions on the matrix units: results, gradient of the input, of the weights.

Here images are channels-first, so that a plane (one channel of one image) lies in one piece. A convolution of all rows
of a channel with one row of a kernel is a product with a banded matrix,

    out[m, n] = sum over tap rows i and columns k of  x[m + (i - K // 2) d, k] T_i[k, n],   T_i[k, n] = w[i, j]
    where k - n = (j - K // 2) d

so that a channel takes ``H x (K W) x W`` multiply-adds for ``H x W x K^2`` that count. That is 5 to 7 times as many for
planes of 64 x 64 and as many as needed for 16 x 16, on units that do 10 to 30 times as many a second. What a plane
loses at its border needs no padding: the matrix is cut off there. ``T`` is never stored: as all entries of a diagonal
are alike, it is read from one line for each tap row, see ``spread``. Up to 64 columns, taps in the dtype of the images,
sums fp32.

A product takes ``PART`` tap rows at once, so that it is 64 wide whatever the plane: column ``k`` of it is column
``k % WIDTH`` of tap row ``i + k // WIDTH``.

Compiled for sm_90 by Triton 3.6, ``results`` and ``input_gradient`` keep to 128 registers without spilling, so two
programs of 8 warps share a multiprocessor. What was expected of an H100, in ms, before anything was measured, for the
six convolutions of MLFR on 16 x 128 x 64 x 64 in bf16 (0.05 by memory traffic, 0.10 by the fp32 units at their peak):

    ===============  =======  =========
                     here     depthwise
    ===============  =======  =========
    results          0.17     0.39
    input gradient   0.17     0.42
    weight gradient  0.25     0.55
    ===============  =======  =========
"""

import triton
import triton.language as tl

from stea_arch.triton_ops.tiles import INTEGERS


@triton.jit
def _tap_row(k, i, WIDTH: tl.constexpr, PART: tl.constexpr):
    """Tap row and column of an image that ``k`` stands for, if tap row ``i`` is the first."""
    if PART == 1:
        row, column = i, k
    else:
        row, column = i + k // WIDTH, k % WIDTH
    return row, column


@triton.jit
def spread(
    taps, out, TAPS: tl.constexpr, LINES: tl.constexpr, SIZES: tl.constexpr, DILATIONS: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """Every tap row as the line that all diagonals of its matrix are read from. Grid: (LINES, channels).

    ``out[c, line, WIDTH + k - n] = T[k, n]``, zeros between and around the taps, and in lines beyond the last tap row.
    """
    row, c = tl.program_id(0), tl.program_id(1)
    at = tl.arange(0, 2 * WIDTH)
    line = tl.zeros([2 * WIDTH], tl.float32)
    taps += c * TAPS
    for index in tl.static_range(len(SIZES)):
        from_first = at - WIDTH + SIZES[index] // 2 * DILATIONS[index]
        j = from_first // DILATIONS[index]
        on_tap = (from_first >= 0) & (j < SIZES[index]) & (from_first % DILATIONS[index] == 0)
        here = (row >= 0) & (row < SIZES[index])
        line += tl.load(taps + row * SIZES[index] + j, mask=on_tap & here, other=0.0)
        row -= SIZES[index]
        taps += SIZES[index] * SIZES[index]
    place = (c * LINES + tl.program_id(0)) * 2 * WIDTH + at
    tl.store(out + place, line.to(out.dtype.element_ty))


@triton.jit
def _shifted(
    x, start, y, k, i, inside, H, W,
    K: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, PART: tl.constexpr, FLIP: tl.constexpr,
):  # fmt: skip
    """The rows that tap rows ``i`` and following meet, side by side; ``start`` is where row ``y`` begins."""
    row, column = _tap_row(k, i, WIDTH, PART)
    shift = (K // 2 - row) * D if FLIP else (row - K // 2) * D
    mask = inside & (y + shift >= 0) & (y + shift < H) & (column < W)
    if PART > 1:
        mask = mask & (row < K)
    return tl.load(x + (start + shift * W + column), mask=mask, other=0.0)


@triton.jit
def _convolve(
    acc, x, lines, start, y, inside, H, W,
    K: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, PART: tl.constexpr, FLIP: tl.constexpr,
):  # fmt: skip
    """Add one convolution, or the transpose of one, of the rows at ``start`` to ``acc``."""
    k, n = tl.arange(0, PART * WIDTH), tl.arange(0, WIDTH)[None, :]
    row, column = _tap_row(k, 0, WIDTH, PART)
    distance = (n - column[:, None]) if FLIP else (column[:, None] - n)
    offsets = distance + (row * 2 * WIDTH + WIDTH)[:, None] if PART > 1 else distance + WIDTH
    for i in range(0, K, PART):
        part = _shifted(x, start, y, k[None, :], i, inside, H, W, K, D, WIDTH, PART, FLIP)
        band = tl.load(lines + i * (2 * WIDTH) + offsets)
        acc = tl.dot(part, band, acc)
    return acc


@triton.jit(do_not_specialize=INTEGERS)
def results(
    x, lines, bias, out, B, C, H, W_UNITS,
    W_UNIT: tl.constexpr, SIZES: tl.constexpr, DILATIONS: tl.constexpr, LINES: tl.constexpr,
    WIDTH: tl.constexpr, PART: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One convolution of ``BLOCK`` rows of one channel. Grid: (convolutions x row blocks, channels)."""
    W = W_UNITS * W_UNIT
    n_convs: tl.constexpr = len(SIZES)
    conv, c = tl.program_id(0) % n_convs, tl.program_id(1)
    m = tl.program_id(0) // n_convs * BLOCK + tl.arange(0, BLOCK)[:, None]
    image, y, n = m // H, m % H, tl.arange(0, WIDTH)[None, :]
    start = ((image.to(tl.int64) * C + c) * H + y) * W
    place = (((image.to(tl.int64) * n_convs + conv) * C + c) * H + y) * W + n
    lines += c * (LINES * 2 * WIDTH)
    for index in tl.static_range(n_convs):
        if conv == index:
            acc = tl.zeros([BLOCK, WIDTH], tl.float32) + tl.load(bias + index * C + c)
            acc = _convolve(
                acc, x, lines, start, y, m < B * H, H, W, SIZES[index], DILATIONS[index], WIDTH, PART, False
            )
            tl.store(out + place, acc.to(out.dtype.element_ty), mask=(m < B * H) & (n < W))
        lines += SIZES[index] * (2 * WIDTH)


@triton.jit(do_not_specialize=INTEGERS)
def input_gradient(
    grad, lines, out, B, C, H, W_UNITS,
    W_UNIT: tl.constexpr, SIZES: tl.constexpr, DILATIONS: tl.constexpr, LINES: tl.constexpr,
    WIDTH: tl.constexpr, PART: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """All transposed convolutions of ``BLOCK`` rows of one channel, summed. Grid: (row blocks, channels)."""
    W = W_UNITS * W_UNIT
    n_convs: tl.constexpr = len(SIZES)
    c = tl.program_id(1)
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[:, None]
    image, y, n = m // H, m % H, tl.arange(0, WIDTH)[None, :]
    lines += c * (LINES * 2 * WIDTH)
    acc = tl.zeros([BLOCK, WIDTH], tl.float32)
    for index in tl.static_range(n_convs):
        start = (((image.to(tl.int64) * n_convs + index) * C + c) * H + y) * W
        acc = _convolve(acc, grad, lines, start, y, m < B * H, H, W, SIZES[index], DILATIONS[index], WIDTH, PART, True)
        lines += SIZES[index] * (2 * WIDTH)
    place = ((image.to(tl.int64) * C + c) * H + y) * W + n
    tl.store(out + place, acc.to(out.dtype.element_ty), mask=(m < B * H) & (n < W))


@triton.jit
def _correlate(
    grad, x, taps_out, bias_out, i, c, index, B, C, H, W, N_CONVS: tl.constexpr,
    K: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, PART: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    k, n = tl.arange(0, PART * WIDTH)[:, None], tl.arange(0, WIDTH)[None, :]
    acc = tl.zeros([PART * WIDTH, WIDTH], tl.float32)
    total = tl.zeros([WIDTH], tl.float32)
    begin = 0
    while begin < B * H:
        m = begin + tl.arange(0, BLOCK)
        image, y = m // H, m % H
        start = ((image.to(tl.int64) * C + c) * H + y) * W
        seen = _shifted(x, start[None, :], y[None, :], k, i, (m < B * H)[None, :], H, W, K, D, WIDTH, PART, False)
        start = (((image.to(tl.int64) * N_CONVS + index) * C + c) * H + y) * W
        gradient = tl.load(grad + start[:, None] + n, mask=(m < B * H)[:, None] & (n < W), other=0.0)
        acc = tl.dot(seen, gradient, acc)
        if i == 0:
            total += tl.sum(gradient.to(tl.float32), axis=0)
        begin += BLOCK
    # the sums along the bands, for every tap row of this program
    rows = tl.arange(0, PART)
    distance = k % WIDTH - n
    for j in range(K):
        band = tl.where(distance == (j - K // 2) * D, acc, 0.0)
        sums = tl.sum(tl.reshape(tl.sum(band, axis=1), [PART, WIDTH]), axis=1)
        tl.store(taps_out + (i + rows) * K + j, sums, mask=i + rows < K)
    if i == 0:
        tl.store(bias_out + index * C + c, tl.sum(total, axis=0))


@triton.jit(do_not_specialize=INTEGERS)
def weight_gradient(
    grad, x, taps_out, bias_out, B, C, H, W_UNITS,
    W_UNIT: tl.constexpr, SIZES: tl.constexpr, DILATIONS: tl.constexpr, TAPS: tl.constexpr,
    WIDTH: tl.constexpr, PART: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``PART`` rows of one kernel of one channel over all pixels. Grid: (sum of ceil(SIZES / PART), channels)."""
    W = W_UNITS * W_UNIT
    part, c = tl.program_id(0), tl.program_id(1)
    taps_out += c * TAPS
    for index in tl.static_range(len(SIZES)):
        if (part >= 0) & (part * PART < SIZES[index]):
            _correlate(
                grad, x, taps_out, bias_out, part * PART, c, index, B, C, H, W, len(SIZES),
                SIZES[index], DILATIONS[index], WIDTH, PART, BLOCK,
            )  # fmt: skip
        part -= tl.cdiv(SIZES[index], PART)
        taps_out += SIZES[index] * SIZES[index]
