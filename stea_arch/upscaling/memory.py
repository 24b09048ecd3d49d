"""How much memory there is, and which way of running a network fits into it."""

import math
from pathlib import Path

import psutil
import torch
from torch import nn

from stea_arch.inference import estimate_memory
from stea_arch.system.allocator import LARGEST_KEPT, give_back_memory

SHARE = 0.8  # of the free memory that is used by default: the estimate and other programs need some room
GIB = 2**30
CGROUP = Path('/sys/fs/cgroup')
CGROUP_FILES = (  # limit, what is used, and of that the files read lately, which give way: of version 2 and version 1
    ('memory.max', 'memory.current', 'memory.stat', 'inactive_file'),
    ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'memory/memory.stat', 'total_inactive_file'),
)
LAVISH = 400  # bytes a pixel and channel of the head
SMALLEST_STRIP = 32  # rows: with fewer, most of the work would be for their halo


def choose_method(network, height, width, allowed, device, dtype, keep_whole=False):
    """The fastest way to run a network on an image that fits into the memory that is allowed.

    On a CPU a feature map above 32 MiB is slow: glibc gets it from the kernel, page by page, each time. So an
    image of such maps is computed in strips, of as many rows as stay below that. The exact estimate takes seconds, so
    it is asked for only where a lavish bound does not say that all fits.

    Args:
        network (nn.Module): LabNet or RealNet; another is computed on tiles where it is not as a whole.
        height (int), width (int): of the image in pixels.
        allowed (float): bytes.
        device (torch.device): where it runs.
        dtype (torch.dtype): of the convolutions.
        keep_whole (bool): compute an image as a whole if that fits, even where strips would be faster.

    Returns:
        dict: method and sizes for :func:`stea_arch.inference.upscale_tensor`: whole or strips, with the same result,
            or tiles, with about the same.

    Raises:
        MemoryError: neither fits.
    """
    ours = hasattr(network, 'fuse')
    ways = [{'method': 'whole'}, {'method': 'strips' if ours else 'tiles'}]
    row = 8 * first_convolution(network).out_channels  # bytes a pixel of the widest map: twice C channels
    slow = device.type == 'cpu' and ours and height * width * row > LARGEST_KEPT
    if slow and not keep_whole:
        halo = max(getattr(module, 'mix_halo', 0) for module in network.modules())
        rows = LARGEST_KEPT // (min(height, width) * row) - 2 * halo
        ways = [{'method': 'strips', 'strip': min(max(rows, SMALLEST_STRIP), 128)}]
    if ours and lavish_bound(network, height, width) <= allowed:
        return ways[0]
    for way in ways:
        needed = estimate_memory(network, height, width, dtype=None if dtype == torch.float32 else dtype, **way)
        if needed <= allowed:
            return way
    raise MemoryError(
        f'{width}x{height} pixels would take {needed / GIB:.2f} GiB even in parts, and {allowed / GIB:.2f} GiB are '
        'allowed. Cut the image into parts, take a smaller network, or allow more (--max-memory).'
    )


def lavish_bound(network, height, width):
    """Bytes that the network surely does not take for a whole image: two to three times what it does."""
    return height * width * first_convolution(network).out_channels * LAVISH


def first_convolution(network):
    """The layer of a network that reads the image."""
    return next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))


def free_memory(device, enough=math.inf):
    """Bytes that a program may still take on a device, as far as the system says.

    Args:
        device (torch.device): On a GPU what the driver has left and PyTorch keeps unused; else the machine's available
            memory, or what a container's limit leaves of it.
        enough (float): Bytes. Only where less is free, what this process has freed but kept is given back, to be
            counted: it takes a tenth of the time of a small image to get it again.
    """
    if device.type == 'cuda':
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    available = _available()
    if available < enough:
        give_back_memory()
        available = _available()
    return available


def _available():
    available = psutil.virtual_memory().available
    for limit, used, details, cached in CGROUP_FILES:
        try:
            limit, used = (int((CGROUP / name).read_text()) for name in (limit, used))
            kinds = dict(line.split() for line in (CGROUP / details).read_text().splitlines())
        except (OSError, ValueError):  # no such file, or 'max'
            continue
        available = min(available, limit - used + int(kinds.get(cached, 0)))
    return available
