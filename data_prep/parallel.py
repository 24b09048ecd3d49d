"""The same work for many images on several cores. Threads do: reading, decoding and encoding release Python's lock."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm


def cores():
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def in_threads(function, items, workers, progress, label=None, ahead=2):
    """Yield ``function(item)`` in the order of the items, with a progress bar; stop at the first exception.

    At most ``workers * ahead`` results wait for whoever takes them, so memory does not grow with the number of items.

    Args:
        function (Callable): Runs in ``workers`` threads.
        items (Iterable): What it is called with.
        workers (int): Threads.
        progress (bool): Show a progress bar.
        label (str | None): What stands before the bar.
        ahead (int): Items per thread that are begun before their turn to be yielded.
    """
    items = list(items)
    pool, waiting = ThreadPoolExecutor(workers), deque()
    try:
        with tqdm(total=len(items), unit='image', desc=label, disable=not progress, dynamic_ncols=True) as bar:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= workers * ahead:
                    yield waiting.popleft().result()
                    bar.update()
            while waiting:
                yield waiting.popleft().result()
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
