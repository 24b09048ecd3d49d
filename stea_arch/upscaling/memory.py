"""How much memory there is, and which way of running a network fits into it."""

import os
from pathlib import Path

import torch
from torch import nn

from stea_arch.inference import estimate_memory

SHARE = 0.8  # of the free memory that is used by default: the estimate and other programs need some room
GIB = 2**30
MEMINFO = Path('/proc/meminfo')
CGROUP = Path('/sys/fs/cgroup')
CGROUP_FILES = (  # limit, what is used, and of that the files read lately, which give way: of version 2 and version 1
    ('memory.max', 'memory.current', 'memory.stat', 'inactive_file'),
    ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'memory/memory.stat', 'total_inactive_file'),
)
LAVISH = 400  # bytes a pixel and channel of the head


def choose_method(network, height, width, allowed, dtype):
    """'whole' or 'strips', whichever is the first to fit into the memory that is allowed.

    The exact estimate takes seconds, so it is asked for only where a lavish bound does not say that the whole fits.

    Args:
        network (nn.Module): LabNet or RealNet.
        height (int), width (int): of the image in pixels.
        allowed (float): bytes.
        dtype (torch.dtype): of the convolutions.

    Raises:
        MemoryError: neither fits.
    """
    if lavish_bound(network, height, width) <= allowed:
        return 'whole'
    for method in ('whole', 'strips'):
        needed = estimate_memory(network, height, width, method, None if dtype == torch.float32 else dtype)
        if needed <= allowed:
            return method
    raise MemoryError(
        f'{width}x{height} pixels would take {needed / GIB:.2f} GiB even in strips, and {allowed / GIB:.2f} GiB are '
        'allowed. Cut the image into parts, take a smaller network, or allow more (--max-memory).'
    )


def lavish_bound(network, height, width):
    """Bytes that the network surely does not take for a whole image: two to three times what it does."""
    head = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    return height * width * head.out_channels * LAVISH


def free_memory(device):
    """Bytes that a program may still take on a device, as far as the system says.

    Args:
        device (torch.device): On a GPU what the driver has left and PyTorch keeps unused; else the machine's available
            memory (where only Linux would tell, all that it has), or what a container's limit leaves of it.
    """
    if device.type == 'cuda':
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if MEMINFO.exists():
        fields = dict(line.split(':') for line in MEMINFO.read_text().splitlines())
        available = int(fields['MemAvailable'].split()[0]) * 1024
    else:
        available = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    for limit, used, details, cached in CGROUP_FILES:
        try:
            limit, used = (int((CGROUP / name).read_text()) for name in (limit, used))
            kinds = dict(line.split() for line in (CGROUP / details).read_text().splitlines())
        except (OSError, ValueError):  # no such file, or 'max'
            continue
        available = min(available, limit - used + int(kinds.get(cached, 0)))
    return available
