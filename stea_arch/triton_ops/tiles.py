"""The inner loop that all kernels share, and the sizes of the tiles they work on.

How a tile is laid out, for an H100 (132 multiprocessors of 128 fp32 units, 50 MB of L2, 3.35 TB/s of memory):

*   Tensors are channels-last. A tile is ``BLOCK_W`` neighbouring columns times ``BLOCK_C`` channels, in ``ROWS`` rows
    of the image that lie ``STEP`` apart. 64 bf16 channels are one 128-byte line, whatever the dilation, and a thread
    loads 8 (bf16) or 4 (fp32) of them at once.
*   The six convolutions of MLFR take 326 multiply-adds for 1 value read and 6 written, about 23 a byte in bf16, where
    the machine has 10 fp32 ones to a byte of memory traffic. So once the input is read only once, they are bound by
    arithmetic and by the loads from L1 that feed it. A kernel of side k reads ``ROWS + k - 1`` rows for ``ROWS`` rows
    of results if ``STEP`` is its dilation, and each value serves up to ``ROWS`` taps from registers: with 4 rows and
    k = 9, 3 multiply-adds for one load instead of 1.
*   Nothing is staged in shared memory: with a halo of 24 pixels to each side, a tile of 16 x 16 pixels and 64 bf16
    channels would need 512 KB of the 228 KB there are. The halo is read again from L1 within a program and from L2
    between programs, which run through all convolutions of a region before the next region.
*   Compiled for sm_90 by Triton 3.8, 8 values a thread need 136 registers in ``depthwise.results`` (12 warps a
    multiprocessor in programs of 4) and 166 to 254 elsewhere, and nothing spills; with 16 values gradients do. No sum
    exchanges data between threads.
*   A multiply-add is every third or fourth instruction, so a third of the fp32 peak is the most to hope for.
*   Sums are fp32, in an order that no tile size changes, except for the gradient of the weights, whose tile sizes are
    fixed.
"""
# ruff: noqa: RUF005, SIM300 (the language of kernels knows no unpacking, and Python's conditions only in part)

import triton
import triton.language as tl

ROWS = 4
# compiled once for all values of these: no load gets wider by knowing their divisors
INTEGERS = ('B', 'C', 'H', 'W', 'UNITS', 'W_UNITS')


@triton.jit
def accumulate(
    acc, x, taps, image, row, cols, c, H, W, C, x_width, tap_width,
    K: tl.constexpr, D: tl.constexpr, STEP: tl.constexpr, FLIP: tl.constexpr,
):  # fmt: skip
    """Add one depthwise convolution to ``acc``, a tuple of tiles for the rows ``row``, ``row + STEP``, ...

    Args:
        acc (tuple): fp32 tiles ``(BLOCK_W, BLOCK_C)``.
        x: pointer to the first channel of a channels-last image that is ``x_width`` channels wide.
        taps: pointer to the first channel of the kernel, ``(K K, tap_width)``, fp32.
        image, row: which image of the batch, and the first row of results.
        cols, c: columns and channels of the tile; those from ``W`` or ``C`` on count as 0.
        K, D (int): side and dilation of the kernel.
        STEP (int): distance of the rows; ``D`` or a divisor of it, or any number if ``D`` is 1.
        FLIP (bool): turn the kernel by 180 degrees, which makes the convolution its own transpose.
    """
    reach: tl.constexpr = K // 2 * D
    unit: tl.constexpr = STEP if STEP < D else D
    in_c = (c < C)[None, :]
    for j in range(K):
        col = cols + (j * D - reach)
        inside = ((col >= 0) & (col < W))[:, None] & in_c
        offsets = col[:, None] * x_width + c[None, :]
        column = ()
        for i in tl.static_range(K):
            tap = (K - 1 - i) * K + K - 1 - j if FLIP else i * K + j
            column = column + (tl.load(taps + tap * tap_width + c[None, :], mask=in_c, other=0.0),)
        for o in tl.static_range(-reach, reach + (len(acc) - 1) * STEP + 1, unit):
            h = row + o
            start = (image * H + h).to(tl.int64) * W * x_width
            value = tl.load(x + start + offsets, mask=inside & (h >= 0) & (h < H), other=0.0).to(tl.float32)
            new = ()
            for r in tl.static_range(len(acc)):
                # input row o lies this many pixels below the first tap of result r
                if 0 <= o + reach - r * STEP and o + reach - r * STEP < K * D and (o + reach - r * STEP) % D == 0:
                    new = new + (acc[r] + value * column[(o + reach - r * STEP) // D],)
                else:
                    new = new + (acc[r],)
            acc = new
    return acc


@triton.jit
def store_rows(acc, out, image, row, cols, c, H, W, C, width, STEP: tl.constexpr):
    """Write the tiles ``acc`` to the rows ``row``, ``row + STEP``, ... of a channels-last image ``width`` wide."""
    inside = (cols < W)[:, None] & (c < C)[None, :]
    for r in tl.static_range(len(acc)):
        h = row + r * STEP
        start = (image * H + h).to(tl.int64) * W * width
        value = acc[r].to(out.dtype.element_ty)
        tl.store(out + start + cols[:, None] * width + c[None, :], value, mask=inside & (h < H))


@triton.jit
def first_row(group, ROWS: tl.constexpr, STEP: tl.constexpr):
    """First row of a group of ``ROWS`` rows that lie ``STEP`` apart; of ``count_groups`` groups."""
    return group // STEP * (ROWS * STEP) + group % STEP


def count_groups(height, step):
    """How many groups of ``ROWS`` rows that lie ``step`` apart cover ``height`` rows."""
    return triton.cdiv(height, ROWS * step) * step


def unit(channels):
    """The largest power of two up to 16 that divides ``channels``: how many of them one load may take.

    The kernels get the number of channels as a multiple of it, because the compiler looks for constant factors.
    """
    return min(channels & -channels, 16)


def width_class(width):
    """16, 32 or 64: the power of two from 16 on that ``width`` columns fit into, up to 64."""
    return min(64, max(16, triton.next_power_of_2(width)))


def tile_sizes(width, channels):
    """``BLOCK_W`` and ``BLOCK_C`` for images of ``width`` columns: 8 values a thread, in up to 4 warps."""
    block_c = min(64, max(16, triton.next_power_of_2(channels)))
    return min(width_class(width), 1024 // block_c), block_c
