"""Time, memory and memory traffic of a function on a GPU; on the CPU with a plain clock, so that tests can run it."""

import gc
import statistics
import time

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Traffic(TorchDispatchMode):
    """Counts, as ``bytes``, what operations read and write. A view or an empty tensor costs nothing."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        returned = func._schema.returns
        views = any(each.alias_info is not None and not each.alias_info.is_write for each in returned)
        written = [leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if written and not views and 'empty' not in func.name():
            read = [leaf.nbytes for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(read) + sum(written)
        return result


def count_traffic(function):
    """Bytes that one call of ``function`` moves."""
    with Traffic() as traffic:
        function()
    return traffic.bytes


def time_once(function, device, calls=1):
    """Milliseconds of one call of ``function``, of several launched back to back."""
    if device.type != 'cuda':
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return 1000 * (time.perf_counter() - start) / calls
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(calls):
        function()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / calls


def time_median(function, device, seconds, warm_up=2, fewest=3):
    """Median, smallest and largest milliseconds of ``function`` in about ``seconds``, and the number of samples.

    A sample is as many calls as take 5 ms, so that the host's head start counts for short functions as it does in use.
    """
    for _ in range(warm_up):
        time_once(function, device)
    guess = time_once(function, device)
    calls = max(1, round(5 / max(guess, 1e-3)))
    rounds = max(fewest, min(50, int(1000 * seconds / max(guess * calls, 1e-3))))
    samples = [time_once(function, device, calls) for _ in range(rounds)]
    return {
        'ms': round(statistics.median(samples), 4),
        'ms_range': [round(min(samples), 4), round(max(samples), 4)],
        'samples': rounds,
    }


def capture(function, warm_up=3):
    """``function``, which takes nothing, as one launch: a CUDA graph of it, replayed."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warm_up):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function()

    def replay():
        graph.replay()
        return result

    return replay


def time_kernel(functions, device, seconds=0.1):
    """Milliseconds of one of ``functions``, which do the same on inputs of their own, without the host's share.

    Several inputs, so that one call finds little of its own in the cache; one graph of all, so that launches cost
    next to nothing.
    """

    def run():
        for function in functions:
            function()

    run()
    on_gpu = device.type == 'cuda'
    timed = time_median(
        capture(run) if on_gpu else run, device, seconds, warm_up=int(on_gpu), fewest=3 if on_gpu else 1
    )
    return round(timed['ms'] / len(functions), 4)


def measure_bandwidth(device, size=2**30):
    """Bytes a second that a copy of ``size`` bytes reads and writes."""
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    times = [time_once(lambda: target.copy_(source), device) for _ in range(15)]
    return 2 * source.nbytes / (statistics.median(times[5:]) / 1000)


def measure_matrix_rate(device, side=8192):
    """Multiply-adds a second of a bf16 matrix product."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = [time_once(lambda: a @ b, device) for _ in range(8)]
    return side**3 / (statistics.median(times[3:]) / 1000)


def peak_memory(function, device):
    """MiB that PyTorch holds at most during a call of ``function``, or None without CUDA."""
    if device.type != 'cuda':
        function()
        return None
    free(device)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    function()
    torch.cuda.synchronize()
    return round(torch.cuda.max_memory_allocated() / 2**20)


def free(device):
    """Give memory back, so that a case starts from nothing."""
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
