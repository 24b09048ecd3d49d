"""How much memory an upscaling will take, found by a rehearsal with tensors that have a size but no content."""

import copy
import itertools

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from stea_arch.inference.live_bytes import LiveBytes
from stea_arch.inference.parts import upscale_in_parts
from stea_arch.inference.strips import Strips
from stea_arch.inference.upscale import longer_axis, resolve_sizes
from stea_arch.inference.whole import forward_any_size

# what libraries take for themselves and the allocator does not give back, beyond the tensors of the rehearsal
SLACK, BASE = 1.4, 64 * 2**20


def estimate_memory(net, height, width, method='whole', dtype=None, multiple=1, channels=3, **sizes):
    """Peak memory of upscaling one image, beyond what the process and the network's weights take.

    The operations of the network are rehearsed on tensors without content, and the bytes alive at once are counted;
    two fifths and 64 MiB are added for what libraries and allocator keep. Measured peaks on a CPU lie between 0.5 and
    1.8 times the estimate (benchmarks/memory.py).

    Args:
        net (nn.Module): the network. It is neither run nor changed.
        height (int), width (int): of the low-resolution image in pixels.
        method (str), multiple (int), **sizes: as for :func:`stea_arch.inference.upscale.upscale_tensor`; the result is
            counted, in the type that the network gives.
        dtype (torch.dtype | None): that of autocast; None: without autocast.
        channels (int): of the image.

    Returns:
        int: bytes.

    Raises:
        ValueError: as ``upscale_tensor``.
    """
    sizes = resolve_sizes(method, sizes)
    reference = next(net.parameters(), torch.empty(0))
    fake = FakeTensorMode(allow_non_fake_inputs=True)  # some networks hold tensors that are not buffers
    tensors = itertools.chain(net.parameters(), net.buffers())
    rehearsing = copy.deepcopy(net, {id(tensor): _without_content(fake, tensor) for tensor in tensors})
    with fake:

        def peak(function, height, width):
            lq = torch.empty((1, channels, height, width), dtype=reference.dtype, device=reference.device)
            autocast = torch.autocast(reference.device.type, dtype=dtype, enabled=dtype is not None)
            with torch.no_grad(), autocast, LiveBytes() as live:
                result = function(lq)
                size = result.untyped_storage().nbytes()
            return live.peak, size // (height * width)

        if method == 'strips':
            strips = _FewStrips(sizes['strip'], longer_axis(height, width))
            tensors, _ = peak(lambda lq: upscale_in_parts(rehearsing, lq, strips), height, width)
        elif method == 'whole':
            tensors, _ = peak(lambda lq: forward_any_size(rehearsing, lq, multiple), height, width)
        else:
            tile = sizes['tile']
            size = min(height, tile), min(width, tile)
            tensors, per_pixel = peak(lambda lq: forward_any_size(rehearsing, lq, multiple), *size)
            # the result, and of two rows of tiles the sums and a copy of them
            tensors += per_pixel * width * (height + 2 * size[0])
    return int(SLACK * tensors) + BASE


def _without_content(fake, tensor):
    empty = fake.from_tensor(tensor.detach())
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty


class _FewStrips(Strips):
    """The first two strips and the last stand for all of them: every other one takes as much."""

    def spans(self, length, rows_per_unit=1):
        spans = super().spans(length, rows_per_unit)
        return spans if len(spans) < 4 else [*spans[:2], spans[-1]]
