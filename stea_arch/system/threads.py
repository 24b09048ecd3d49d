"""How many CPU threads compute, and how they wait: other programs use the cores too."""

import math
import os
import re
import sys
import time
from pathlib import Path

SAID_BY_USER = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')
STAT = Path('/proc/stat')  # on Linux
QUOTA = Path('/sys/fs/cgroup/cpu.max')  # of a container, on Linux
SHORTEST = 0.3  # seconds: the system counts the time of the cores in hundredths

_before = None  # a reading; None where OMP_NUM_THREADS says how many threads


def wait_passively():
    """Let OpenMP's threads spin only briefly before they sleep, unless the environment says how they should wait.

    By default threads spin for long. Where other programs use the cores too, one that spins keeps the one it waits for
    from running, and a training step takes several times as long or stands still; where none does, threads that sleep
    at once make small steps twice as slow (benchmarks/wait_policy.py). The runtime reads the variables when it is
    loaded: call this before torch is imported. Child processes inherit them.
    """
    if not any(name in os.environ for name in SAID_BY_USER):
        os.environ['OMP_WAIT_POLICY'] = 'passive'  # for runtimes other than GNU's, which knows the finer variable
        os.environ['GOMP_SPINCOUNT'] = '20000'


def watch_cores():
    """Begin to watch what other programs use of the cores, for :func:`choose_threads`: before torch is imported."""
    global _before
    if 'OMP_NUM_THREADS' not in os.environ:
        _before = _reading()


def choose_threads():
    """Compute with as many threads as other programs leave cores for, unless ``OMP_NUM_THREADS`` says how many.

    Threads wait for one another in every operation: on crowded cores two of them take longer than one alone
    (benchmarks/wait_policy.py). What others use is measured from :func:`watch_cores` to this call; a container's limit
    counts as well. Where the number is not PyTorch's own, that is said.
    """
    import torch

    usual = torch.get_num_threads()
    if _before is None or usual == 1:
        return
    time.sleep(max(0.0, _before[0] + SHORTEST - time.monotonic()))
    cores, others, quota = len(_cores()), _used_by_others(_before, _reading()), _quota()
    left = max(1, round(cores - others))
    number = min(left, quota)
    if number >= usual:
        return
    torch.set_num_threads(number)
    why = f'other programs use {others:.1f} of {cores} cores' if left < quota else f'this container may use {quota}'
    said = f'Computing with {number} of {usual} threads: {why}. OMP_NUM_THREADS sets another number.'
    print(said, file=sys.stderr)


def continue_with_threads(number):
    """Compute with as many threads as a run that is resumed did: sums of another number differ in their last bits.

    Args:
        number (int | None): Of threads; None where the state does not say.

    Returns:
        str | None: One sentence, where this changes the number or cannot.
    """
    import torch

    now = torch.get_num_threads()
    if number in (now, None):
        return None
    if _before is None or number > len(_cores()):
        return f'The state was saved with {number} threads, and this run has {now}: it continues, but not bit for bit.'
    torch.set_num_threads(number)
    return f'Computing with {number} threads, as when the state was saved, and so bit for bit.'


def _cores():
    """Indices of the cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _quota():
    """How many cores a container may use at once; infinite where nothing limits it."""
    try:
        quota, period = QUOTA.read_text(encoding='ascii').split()
    except (OSError, ValueError):
        return math.inf
    return math.inf if quota == 'max' else max(1, round(int(quota) / int(period)))


def _reading():
    """Seconds: now, of all programs on our cores (NaN where that is not told), of this process."""
    import psutil

    busy, times = 0.0, dict(zip(_numbers(), psutil.cpu_times(percpu=True)))
    for core in _cores():
        named = times[core]._asdict() if core in times else {'unknown': math.nan}
        busy += sum(named.values()) - sum(named.get(key, 0) for key in ('idle', 'iowait', 'guest', 'guest_nice'))
    return time.monotonic(), busy, time.process_time()


def _numbers():
    """Of the cores in the order in which their times are listed: some may be off, or a container's own."""
    if STAT.is_file():
        return [int(number) for number in re.findall(r'^cpu(\d+) ', STAT.read_text(encoding='ascii'), re.MULTILINE)]
    return range(os.cpu_count() or 1)


def _used_by_others(before, after):
    """Cores, between two readings; none where that is not told."""
    elapsed, busy, own = (b - a for a, b in zip(before, after, strict=True))
    return 0.0 if math.isnan(busy) else max(0.0, busy - own) / elapsed
