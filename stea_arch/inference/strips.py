"""Feature maps computed strip by strip.

A block of LabNet joins distant pixels only through averages over the image, so three passes over the strips give
exactly what the whole image would: the averages of the input; ``y`` of each strip, from the strip and ``mix_halo``
pixels on both sides; and with the average of ``y`` the output, from one pixel on both sides. What lies around a strip
is read from the whole map, so convolutions see zeros only beyond the borders of the image.
"""

import torch

HALO_OF_FINISH = 1  # the 3x3 of the feed-forward


class Strips:
    """Strips of the feature maps of an image, cut across ``axis``. ``mean``s are those of the whole image.

    Args:
        rows (int): height of a strip in pixels of the map at hand, at least 1.
        axis (int): 2 for strips of rows, 3 for strips of columns: the longer side makes the smaller strips.
    """

    def __init__(self, rows, axis):
        self.rows, self.axis = rows, axis

    def spans(self, length, rows_per_unit=1):
        """``[(first, end), ...]`` of the strips of ``length`` units, each unit so many rows of the finest map."""
        step = max(1, self.rows // rows_per_unit)
        return [(start, min(start + step, length)) for start in range(0, length, step)]

    def cut(self, x, start, end):
        """A view of the rows (or columns) ``start`` to ``end`` of ``x``."""
        return x.narrow(self.axis, start, end - start)

    def map(self, function, sources, halo=0, units=None, out=None):
        """``function(*sources)``, computed strip by strip.

        Args:
            function (callable): maps strips of the sources to a strip of the result; each a whole number of times
                finer than ``units``. A row of its result may depend on ``halo`` units around it.
            sources (sequence of Tensor): whole maps ``(B, C, H, W)``.
            halo (int): units around a strip that are computed with it and thrown away.
            units (int): length in units, that of the coarsest map; None: that of the first source.
            out (Tensor): written to where it has the right type; it may be one of the sources, if ``halo`` is not
                longer than a strip, as a strip is written after the next one has been read.

        Returns:
            Tensor: the whole result, channels last in memory.
        """
        units = units or sources[0].shape[self.axis]
        factors = [source.shape[self.axis] // units for source in sources]
        waiting = None
        for start, end in self.spans(units, max(factors)):
            low, high = max(0, start - halo), min(units, end + halo)
            strip = function(*(self.cut(source, low * k, high * k) for source, k in zip(sources, factors)))
            k = strip.shape[self.axis] // (high - low)
            strip = self.cut(strip, (start - low) * k, (end - low) * k)
            if out is None or out.dtype != strip.dtype:
                out = self.make_map(strip, units * k)
            if waiting:
                self.cut(out, *waiting[0]).copy_(waiting[1])
            waiting = (start * k, end * k), strip
        self.cut(out, *waiting[0]).copy_(waiting[1])
        return out

    def make_map(self, strip, length):
        """An empty map of that length, otherwise like ``strip``."""
        shape = [*strip.shape]
        shape[self.axis] = length
        return torch.empty(shape, dtype=strip.dtype, device=strip.device, memory_format=torch.channels_last)

    def mean(self, function, source, mergeable=True):
        """``function(source)``, a tuple of means over pixels, from those of the strips.

        What is not ``mergeable`` is a tuple of tensors with one column for every pixel: these are joined, and are as
        large as feature maps.
        """
        length = source.shape[self.axis]
        spans = self.spans(length)
        parts = zip(*(function(self.cut(source, *span)) for span in spans))
        if not mergeable:
            return tuple(torch.cat(values, dim=-1) for values in parts)
        shares = [(end - start) / length for start, end in spans]
        return tuple(_weighted(values, shares) for values in parts)

    def block(self, block, f):
        """The output of a ``LabBlock`` or its fused form for the whole map ``f``, which is overwritten by it."""
        attention = block.attention
        statistics = self.mean(lambda f: attention.statistics(block.norm1(f)), f, attention.mergeable)
        y = self.map(lambda f: block.mix(block.norm1(f), statistics), (f,), block.mix_halo)
        (mean,) = self.mean(average, y)
        mean = mean.to(y.dtype)
        return self.map(lambda f, y: block.finish(f, y, mean), (f, y), HALO_OF_FINISH, out=f)

    def stage(self, blocks, f):
        """Blocks one after another on ``f``, which is overwritten."""
        for block in blocks:
            f = self.block(block, f)
        return f

    def gated(self, function, sources, gate):
        """``y * gate(avg y)`` with ``y = function(*sources)``, which looks at single pixels, and a ``ChannelGate``."""
        y = self.map(function, sources)
        (mean,) = self.mean(average, y)
        return y.mul_(gate(mean.to(y.dtype)))


def average(y):
    """Mean over all pixels of a strip in fp32 at least, as a tuple."""
    return (y.mean((2, 3), keepdim=True, dtype=torch.promote_types(y.dtype, torch.float32)),)


def _weighted(values, shares):
    wide = torch.promote_types(values[0].dtype, torch.float32)
    return sum(value.to(wide) * share for value, share in zip(values, shares)).to(values[0].dtype)
