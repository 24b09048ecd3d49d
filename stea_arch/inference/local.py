"""Averages over a window around every pixel in place of averages over the image.

The gates of a block are trained with averages over patches and tested with averages over whole images, whose
distribution is another. "Improving Image Restoration by Revisiting Global Information Aggregation" (Chu et al., ECCV
2022) lets every pixel be gated by the average over a window of the size of the patches instead. At the borders of the
image the window is moved inwards, so that it always has its full size; an image within the window is computed as usual.
"""

import torch
import torch.nn.functional as F
from torch import nn

from stea_arch.archs.attention import NoAttention
from stea_arch.archs.block import LabBlock
from stea_arch.archs.stea import STEA, TTEA
from stea_arch.inference.strips import HALO_OF_FINISH, Strips


class LocalStrips(Strips):
    """Strips whose averages are those over a window; in place of passes for averages there are maps of averages.

    Args:
        rows (int), axis (int): as for ``Strips``.
        window (int): side of the window in pixels of the low-resolution image, a multiple of 4, as the deepest features
            are four times smaller. Training patches have 64.
    """

    def __init__(self, rows, axis, window):
        super().__init__(rows, axis)
        self.window = window

    def block(self, block, f, reduction):
        if not isinstance(block, LabBlock) or not isinstance(block.attention, STEA | TTEA | NoAttention):
            came = type(block.attention if isinstance(block, LabBlock) else block).__name__
            raise ValueError(
                "method 'local' needs gates that take one average for every pixel, which the attentions stea, ttea and "
                f"none of an unfused LabNet do, but {came} came. Pass the network before fuse(), or use 'strips'."
            )
        window = self.window // reduction
        gated = not isinstance(block.attention, NoAttention)
        means = (self.means(block.norm1, f, window),) if gated else ()
        y = self.map(lambda f, *means: block.mix(block.norm1(f), means), (f, *means), block.mix_halo)
        del means
        mean = self.means(nn.Identity(), y, window)
        return self.map(block.finish, (f, y, mean), HALO_OF_FINISH, out=f)

    def gated(self, function, sources, gate, reduction):
        y = self.map(function, sources)
        mean = self.means(nn.Identity(), y, self.window // reduction)
        return self.map(lambda y, mean: y * gate(mean), (y, mean), out=y)

    def means(self, function, source, window):
        """Sliding means of ``function(source)``, which looks at single pixels; a whole map of its shape."""
        across = 5 - self.axis
        firsts, columns = (window_starts(source.shape[axis], window) for axis in (self.axis, across))
        length, width = (min(window, source.shape[axis]) for axis in (self.axis, across))
        result = None
        for start, end in self.spans(source.shape[self.axis]):
            low, high = firsts[start], firsts[end - 1] + length
            strip = function(self.cut(source, low, high))
            strip = sliding_means(strip, self.axis, length, [first - low for first in firsts[start:end]])
            strip = sliding_means(strip, across, width, columns)
            if result is None:
                result = self.make_map(strip, source.shape[self.axis])
            self.cut(result, start, end).copy_(strip)
        return result


def window_starts(length, window):
    """First pixel of the window of every pixel: ``window // 2`` before it, or where the window touches a border."""
    return [min(max(0, i - window // 2), max(0, length - window)) for i in range(length)]


def sliding_means(x, axis, length, starts):
    """Means of ``x`` over ``length`` pixels of an axis, beginning at each of ``starts``, by differences of prefix sums.

    The sums are kept in fp64: in fp32 their differences would lose what the sum of a long row has gained.
    """
    padding = (0, 0, 1, 0) if axis == 2 else (1, 0)
    sums = F.pad(x.cumsum(axis, dtype=torch.float64), padding)
    starts = torch.tensor(starts, device=x.device)
    total = sums.index_select(axis, starts + length) - sums.index_select(axis, starts)
    return (total / length).to(x.dtype)
