"""What a network costs: parameters, multiply-accumulates, latency, peak memory, at one input size."""

import hashlib
import json
import math
import statistics
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from stea_arch.inference.live_bytes import LiveBytes
from stea_arch.system.versions import get_commit, get_versions

DEFAULT_ROUNDS = 5
BUSY, SPREAD = 0.25, 1.5  # cores that others keep busy, slowest over median round: more, and a latency says little
BRIEF = 0.01  # seconds; a shorter round jitters on any machine


def cost_mark(sizes, networks, device):
    """What a measurement of costs depends on.

    Args:
        sizes (dict): ``cost`` of the option file.
        networks (dict[str, dict]): label -> what :func:`stea_arch.compare.networks.describe` gives.
        device (str): Where they run.
    """
    code = Path(__file__).read_text(encoding='utf-8')
    parts = [sizes, {label: about['fingerprint'] for label, about in networks.items()}, device, get_versions(), code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def measure_costs(networks, size, rounds):
    """Costs of several networks, their latencies from interleaved rounds: a busy machine slows all of them alike.

    Args:
        networks (list[Network]): At least one, each with its weights, on its device.
        size (list[int]): Height and width of the input.
        rounds (int): Timed rounds; what is counted before warms up.

    Returns:
        dict: ``networks`` {label: {...}} with ``parameters``, ``macs``, ``peak_bytes``, ``latency_seconds`` (median)
        and ``latency_range`` (fastest and slowest round); ``failed`` {label: error} of those that could not be run;
        ``warning``, where latencies say little; and the protocol.
    """
    lq = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    costs, failed = {}, {}
    for network in networks:
        try:
            with as_defined(network):
                macs, peak = count_macs(network, lq), peak_memory(network, lq)
            _time(network, lq)  # warms up
        except Exception as error:  # one network must not stop the others
            failed[network.label] = f'{type(error).__name__}: {error}'
        else:
            costs[network.label] = {'parameters': network.parameters, 'macs': macs, 'peak_bytes': peak}
    sound = [network for network in networks if network.label in costs]
    seconds = {network.label: [] for network in sound}
    others = psutil.cpu_percent(interval=1) / 100 * psutil.cpu_count()
    for _ in range(rounds):
        for network in sound:
            seconds[network.label].append(_time(network, lq))
    for label, values in seconds.items():
        costs[label]['latency_seconds'] = round(statistics.median(values), 7)
        costs[label]['latency_range'] = [round(min(values), 7), round(max(values), 7)]
    cuda = networks[0].device.type == 'cuda'
    memory = 'of the CUDA allocator' if cuda else 'of the tensors alive at once, without workspaces of libraries'
    return {
        'input': list(size),
        'networks': costs,
        'failed': failed,
        'warning': _warning(others, seconds.values()),
        'protocol': {
            'latency': f'of the fastest equivalent form here, median of {rounds} interleaved rounds with the fastest '
            'and the slowest, batch 1, fp32',
            'macs': 'convolutions and matrix products of the network as defined, counted by torch.utils.flop_counter',
            'memory': f'peak {memory}, of the network as defined, weights and input included',
            'device': str(networks[0].device),
        },
        'versions': get_versions(),
        'commit': get_commit(),
    }


def _warning(others, seconds):
    """A sentence, or None where nothing speaks against the latencies."""
    medians = [(max(values), statistics.median(values)) for values in seconds]
    spread = max((slowest / median for slowest, median in medians if median > BRIEF), default=1)
    if others <= BUSY and spread <= SPREAD:
        return None
    return (
        f'Latencies say little: other programs kept {others:.1f} cores busy, and the slowest round took {spread:.1f} '
        'times the median. Measure again on a quiet machine: delete the cost_x*.json beside this page.'
    )


@contextmanager
def as_defined(network):
    """Run the network itself instead of its fastest equivalent, whose form differs from network to network."""
    fastest, network.model.net_g = network.model.net_g, network.net
    try:
        yield
    finally:
        network.model.net_g = fastest


def _run(network, lq):
    network.model.feed_data({'lq': lq[None]})
    network.model.test()


def _time(network, lq):
    _synchronize(network)
    start = time.perf_counter()
    _run(network, lq)
    _synchronize(network)
    return time.perf_counter() - start


def _synchronize(network):
    if network.device.type == 'cuda':
        torch.cuda.synchronize(network.device)


def count_macs(network, lq):
    """Multiply-accumulates of one image: half of the operations that torch's counter sees.

    Args:
        network (Network): Runs on its own device, as in a test: padded, and eight times with the self-ensemble.
        lq (Tensor): (3, H, W).

    Returns:
        int: Sum over convolutions and matrix products.
    """
    in_place = dict.fromkeys((torch.ops.aten.addmm_, torch.ops.aten.baddbmm_), _product)  # unknown to torch's counter
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        _run(network, lq)
    return counter.get_total_flops() // 2


def _product(_, one, other, *args, **kwargs):
    """Operations of products (..., n, k) @ (..., k, m), by their shapes."""
    return 2 * math.prod(one) * other[-1]


def peak_memory(network, lq):
    """Bytes that a network needs at most for one image, its weights and the image included.

    On CUDA the allocator's peak. On a CPU the most that its tensors hold at once, which neither the process's other
    memory nor the allocator's habits blur; what libraries need inside one operation is not seen.

    Args:
        network (Network): Its weights count.
        lq (Tensor): (3, H, W).

    Returns:
        int: Bytes.
    """
    held = [*network.net.parameters(), *network.net.buffers()]
    weights = sum(tensor.untyped_storage().nbytes() for tensor in held)
    if network.device.type == 'cuda':
        torch.cuda.synchronize(network.device)
        before = torch.cuda.memory_allocated(network.device)
        torch.cuda.reset_peak_memory_stats(network.device)
        _run(network, lq)
        return torch.cuda.max_memory_allocated(network.device) - before + weights
    with LiveBytes(held) as live:
        _run(network, lq)
    return live.peak + weights
