"""The same work for many images on several cores. Threads do: reading, decoding and encoding release Python's lock."""

from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm


def in_threads(function, items, workers, progress):
    """Yield ``function(item)`` in the order of the items, with a progress bar; stop at the first exception."""
    items = list(items)
    pool = ThreadPoolExecutor(workers)
    try:
        yield from tqdm(pool.map(function, items), total=len(items), unit='image', disable=not progress)
    finally:
        pool.shutdown(cancel_futures=True)
