"""Overlapping tiles, each upscaled on its own and blended: for any network, and fast, but not exact.

A tile is gated by the averages over itself, and its border has neighbours that the network does not see. Each tile
counts in full in its middle and fades towards a neighbour over their overlap, so that what the tiles disagree in never
shows as a step. benchmarks/memory.py measures what remains.
"""

import math

import torch

from stea_arch.inference.whole import forward_any_size, make_result, put
from stea_arch.system.errors import InputError

GRID = 4  # LabNet's features are up to four times smaller: tiles that start on this grid are dealt out like the image


def upscale_in_tiles(net, lq, tile=256, overlap=32, multiple=1, out=None):
    """Upscale an image tile by tile.

    Args:
        net (nn.Module): ``(B, C, H, W)`` -> ``(B, C, s H, s W)`` with a whole s.
        lq (Tensor): ``(B, C, H, W)``.
        tile (int): side of a tile in pixels of ``lq``.
        overlap (int): by how much neighbours overlap at least, in pixels of ``lq``.
        multiple (int): what H and W of the network's input must be multiples of.
        out (Tensor | ndarray | None): see :func:`stea_arch.inference.upscale.upscale_tensor`.

    Returns:
        Tensor: ``(B, C, s H, s W)``.

    Raises:
        ValueError: the overlap leaves no room for a step of the grid that tiles start on.
    """
    height, width = lq.shape[-2:]
    grid = math.lcm(GRID, multiple)
    rows, columns = (split(length, tile, overlap, grid) for length in (height, width))
    result = band = None
    top = 0  # of the band, in output pixels
    for number, (first, last) in enumerate(rows):
        for place, (left, right) in enumerate(columns):
            sr = forward_any_size(net, lq[..., first:last, left:right], multiple)
            if result is None:
                scale = sr.shape[-1] // (right - left)
                result = make_result(out, (*sr.shape[:2], height * scale, width * scale), sr)
                wide = torch.promote_types(sr.dtype, torch.float32)
                row_weights, column_weights = (blending_weights(spans, scale) for spans in (rows, columns))
                band = sr.new_zeros((*sr.shape[:2], 0, width * scale), dtype=wide)
            if band.shape[2] < last * scale - top:
                more = band.new_zeros((*band.shape[:2], last * scale - top - band.shape[2], band.shape[3]))
                band = torch.cat([band, more], dim=2)
            weight = row_weights[number][:, None] * column_weights[place]
            target = band[..., first * scale - top : last * scale - top, left * scale : right * scale]
            target.addcmul_(sr.to(band.dtype), weight.to(band))
        finished = rows[number + 1][0] * scale if number + 1 < len(rows) else height * scale
        put(result[..., top:finished, :], band[..., : finished - top, :])
        band, top = band[..., finished - top :, :].clone(), finished
    return result


def split(length, tile, overlap, grid=1):
    """Where the tiles lie along one side of the image.

    Args:
        length (int): of the side.
        tile (int), overlap (int): see :func:`upscale_in_tiles`.
        grid (int): every tile starts at a multiple of this.

    Returns:
        list[tuple[int, int]]: first and end of each tile, evenly spread, none longer than ``tile``; the last ends at
        ``length``.
    """
    step = (tile - overlap) // grid
    if step < 1 or overlap < 0:
        raise InputError(
            f'tiles that start on a grid of {grid} pixels must be at least {grid} pixels larger than their overlap, '
            f'and that at least 0, got tile {tile} and overlap {overlap}. Take e.g. tile 256 and overlap 32.'
        )
    units = max(0, math.ceil((length - tile) / grid))  # start of the last tile
    count = math.ceil(units / step)
    starts = [i * units // count * grid for i in range(count)] + [units * grid]
    return [(start, min(start + tile, length)) for start in starts]


def blending_weights(spans, scale):
    """How much each tile counts at each of its output pixels along one side: at every pixel they add up to 1.

    Args:
        spans (list[tuple[int, int]]): from :func:`split`.
        scale (int): output pixels per input pixel.

    Returns:
        list[Tensor]: for each tile its weights in fp64, all above 0.
    """
    ramps, total = [], torch.zeros(spans[-1][1] * scale, dtype=torch.float64)
    for number, (start, end) in enumerate(spans):
        ramp = torch.ones((end - start) * scale, dtype=torch.float64)
        positions = torch.arange(len(ramp)) + 0.5
        if number > 0 and spans[number - 1][1] > start:
            ramp = torch.minimum(ramp, positions / ((spans[number - 1][1] - start) * scale))
        if number + 1 < len(spans) and end > spans[number + 1][0]:
            ramp = torch.minimum(ramp, positions.flip(0) / ((end - spans[number + 1][0]) * scale))
        ramps.append(ramp)
        total[start * scale : end * scale] += ramp
    return [ramp / total[start * scale : end * scale] for ramp, (start, end) in zip(ramps, spans)]
