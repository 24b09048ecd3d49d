"""What a network costs: parameters, multiply-accumulates, latency, peak memory, at one input size."""

import hashlib
import json
import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from stea_arch.inference.live_bytes import LiveBytes
from stea_arch.system.versions import get_commit, get_versions

DEFAULT_ROUNDS = 5


def cost_mark(sizes, networks, device):
    """What a measurement of costs depends on.

    Args:
        sizes (dict): ``cost`` of the option file.
        networks (dict[str, dict]): label -> what :func:`stea_arch.compare.networks.describe` gives.
        device (str): Where they run.
    """
    parts = [sizes, {label: about['fingerprint'] for label, about in networks.items()}, device, get_versions()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def measure_costs(networks, size, rounds):
    """Costs of several networks, their latencies from interleaved rounds: a busy machine slows all of them alike.

    Args:
        networks (list[Network]): At least one, each with its weights, on its device.
        size (list[int]): Height and width of the input.
        rounds (int): Timed rounds; what is counted before warms up.

    Returns:
        dict: ``networks`` {label: {...}} with ``parameters``, ``macs``, ``latency_seconds`` (median), ``peak_bytes``;
        ``failed`` {label: error} of those that could not be run; and the protocol.
    """
    lq = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    costs, failed = {}, {}
    for network in networks:
        try:
            macs, peak = count_macs(network, lq), peak_memory(network, lq)
        except Exception as error:  # one network must not stop the others
            failed[network.label] = f'{type(error).__name__}: {error}'
        else:
            costs[network.label] = {'parameters': network.parameters, 'macs': macs, 'peak_bytes': peak}
    sound = [network for network in networks if network.label in costs]
    seconds = {network.label: [] for network in sound}
    for _ in range(rounds):
        for network in sound:
            seconds[network.label].append(_time(network, lq))
    for label, values in seconds.items():
        costs[label]['latency_seconds'] = round(statistics.median(values), 5)
    cuda = networks[0].device.type == 'cuda'
    memory = 'of the CUDA allocator' if cuda else 'of the tensors alive at once, without workspaces of libraries'
    return {
        'input': list(size),
        'networks': costs,
        'failed': failed,
        'protocol': {
            'latency': f'median of {rounds} interleaved rounds after two to warm up, batch 1, fp32',
            'macs': 'convolutions and matrix products as executed, counted by torch.utils.flop_counter',
            'memory': f'peak {memory}, weights and input included',
            'device': str(networks[0].device),
        },
        'versions': get_versions(),
        'commit': get_commit(),
    }


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
    with FlopCounterMode(display=False) as counter:
        _run(network, lq)
    return counter.get_total_flops() // 2


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
