"""What it brings to keep freed memory (stea_arch.system.allocator), in training and in upscaling, on a CPU.

Every case runs in a forked process of its own, in turn with and without, after one step to warm up: processor seconds
of a step (medians; the ratio is the median over the rounds), page faults of a step, and the peak of resident memory
beyond the start (VmHWM in /proc/self/status, Linux).

    python benchmarks/allocator_speed.py        # writes allocator_speed.json beside this file
"""

import argparse
import json
import resource
import time
from pathlib import Path
from statistics import median

import torch
from forked import in_a_fork, peak_memory, reset_peak

from stea_arch.archs.fused import optimize_for
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.inference import upscale_tensor
from stea_arch.system.allocator import keep_freed_memory
from stea_arch.system.versions import get_versions
from stea_arch.weights import load_network

NETWORKS = {
    'LabNet-S': {'num_feat': 32, 'num_blocks': (2, 2, 4, 2, 1, 1)},
    'LabNet-T': {'num_feat': 16, 'num_blocks': (1,) * 6},
}


def training(name, batch, side):
    """A step of training at x4 on patches of ``side`` pixels."""
    network = LabNet(**NETWORKS[name], dilations=(2, 3), padding='partial', upscale=4)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    lq, gt = torch.rand(batch, 3, side, side), torch.rand(batch, 3, 4 * side, 4 * side)

    def step():
        optimizer.zero_grad()
        (network(lq) - gt).abs().mean().backward()
        optimizer.step()

    return step


def upscaling(side, method):
    """An image of ``side x side`` pixels by the shipped LabNet-S."""
    network, lq = optimize_for(load_network('labnet-s-x4'), 'cpu'), torch.rand(1, 3, side, side)
    return lambda: upscale_tensor(network, lq, method)


CASES = {
    'training LabNet-S, two patches of 48x48': (training, 'LabNet-S', 2, 48),
    'training LabNet-S, eight patches of 48x48': (training, 'LabNet-S', 8, 48),
    'training LabNet-T, 16 patches of 36x36': (training, 'LabNet-T', 16, 36),
    'upscaling 128x128': (upscaling, 128, 'whole'),
    'upscaling 256x256': (upscaling, 256, 'whole'),
    'upscaling 512x512 in strips': (upscaling, 512, 'strips'),
}


def probe(name, keep, steps):
    """Seconds and page faults of a step, and the peak."""
    if keep:
        keep_freed_memory()
    make, *arguments = CASES[name]
    step = make(*arguments)
    reset_peak()
    before = peak_memory()
    step()
    start, faults = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        step()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    seconds = time.process_time() - start
    return {'seconds': seconds / steps, 'page_faults': faults / steps, 'mib': (peak_memory() - before) / 2**20}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES), metavar='NAME')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=3)
    parser.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.json'))
    args = parser.parse_args()
    torch.set_num_threads(1)  # a fork does not take other threads along
    if not in_a_fork(keep_freed_memory):
        parser.error('the C library is not glibc, or the environment says what it keeps: there is nothing to measure')

    report = {
        'protocol': f'CPU, one thread, fp32, {args.rounds} interleaved rounds of {args.steps} steps, medians',
        'versions': get_versions(),
        'cases': {},
    }
    for name in args.cases:
        rounds = [[in_a_fork(probe, name, keep, args.steps) for keep in (False, True)] for _ in range(args.rounds)]
        case = {'ratio': round(median(default['seconds'] / kept['seconds'] for default, kept in rounds), 3)}
        for label, values in zip(('default', 'kept'), zip(*rounds)):
            case[label] = {key: round(median(value[key] for value in values), 3) for key in values[0]}
        report['cases'][name] = case
        print(name, json.dumps(case), flush=True)
        args.out.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
