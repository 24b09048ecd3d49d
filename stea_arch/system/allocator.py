"""Memory that was freed stays in the process, to be used again.

By default glibc's malloc gives memory back to the kernel as soon as some tens of MiB are free at the end of the heap,
and gets it again a moment later, filled with zeros page by page. A training step or an image of usual size frees and
takes hundreds of MiB over and over, and a tenth of the time goes there (benchmarks/allocator_speed.py).
"""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
LARGEST_KEPT = 32 * 2**20  # bytes from which on a block comes from the kernel and goes back to it; glibc allows no more


def keep_freed_memory():
    """Let this process and its children keep what they free, up to their peak. For programs, not for libraries.

    Returns:
        bool: False where nothing was changed: the C library is another than glibc, or ``MALLOC_TRIM_THRESHOLD_``,
        ``MALLOC_MMAP_THRESHOLD_`` or ``GLIBC_TUNABLES`` in the environment say what is wanted.
    """
    if {'MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'GLIBC_TUNABLES'} & {*os.environ}:
        return False
    mallopt = _of_glibc('mallopt')
    return bool(mallopt and mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT) and mallopt(M_TRIM_THRESHOLD, -1))  # -1: never


def give_back_memory():
    """Give what is kept back to the kernel once, so that other programs, and whoever asks what is free, have it."""
    malloc_trim = _of_glibc('malloc_trim')
    if malloc_trim:
        malloc_trim(0)


def _of_glibc(name):
    """A function of the C library, or None where there is none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # Windows
        return None
