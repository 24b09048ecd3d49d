"""A training step of LabNet beside those of BasicSR's networks, in processor time of one thread.

Every network has a process of its own, and they step in turn, round by round, so that a busy machine slows all of them
alike. A step is forward, L1 loss, backward and fused Adam, on random images of 48x48 (32x32 for the published size).
Ratios are medians over the rounds, after two to warm up, with the lowest and the highest. Memory is the process's peak
above what it held before its first step.

    python benchmarks/train_speed.py --out benchmarks/train_speed.json
    git worktree add ../before <commit>; python benchmarks/train_speed.py --before ../before    # also an older form
"""

import argparse
import importlib
import inspect
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

OPTIONS = Path(__file__).parents[1] / 'options' / 'train'
SMALL = ('LabNet-S_x4', 'EDSR_x4', 'RCAN-S_x4', 'SwinIR-light_x4')
# (names of option files, batch, side of the input, bf16?)
CASES = [
    *((SMALL, batch, 48, bf16) for bf16 in (False, True) for batch in (2, 8)),
    (('LabNet_x4',), 1, 32, False),
]


def work(name, batch, side, bf16):
    """Make a step for every line of stdin and answer its processor seconds and the peak of memory in MiB."""
    import torch
    import yaml

    import stea_arch  # noqa: F401  (before BasicSR, which it makes fit for today's torchvision)

    build_network = importlib.import_module('basicsr.archs').build_network
    ARCH_REGISTRY = importlib.import_module('basicsr.utils.registry').ARCH_REGISTRY
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings = yaml.safe_load((OPTIONS / f'{name}.yml').read_text())['network_g']
    for key in {'init_scale', 'padding'} - set(inspect.signature(ARCH_REGISTRY.get(settings['type'])).parameters):
        settings.pop(key, None)  # which an older version does not know, and which hardly changes the time
    network = build_network(settings)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=True)
    lq, gt = torch.rand(batch, 3, side, side), torch.rand(batch, 3, 4 * side, 4 * side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in sys.stdin:
        start = time.process_time()
        optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
            output = network(lq)
        (output.float() - gt).abs().mean().backward()
        optimizer.step()
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print('STEP', seconds, round(peak / 1024), flush=True)


class Worker:
    """A process that steps when asked to; ``tree`` is the folder whose ``stea_arch`` it uses."""

    def __init__(self, tree, *arguments):
        # as the training command does, see stea_arch.system.allocator
        keep = {'MALLOC_TRIM_THRESHOLD_': str(2**40), 'MALLOC_MMAP_THRESHOLD_': str(2**25)}
        environment = {**os.environ, **keep, 'PYTHONPATH': str(tree), 'OMP_NUM_THREADS': '1'}
        command = [sys.executable, __file__, '--worker', json.dumps(arguments)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree
        )

    def step(self):
        """Processor seconds and the peak of memory in MiB."""
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        for line in self.process.stdout:  # libraries may have something to say too
            if line.startswith('STEP'):
                _, seconds, peak = line.split()
                return float(seconds), int(peak)
        raise RuntimeError(f'A process ended with status {self.process.wait()}; its message stands above.')

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(names, batch, side, bf16, rounds, before):
    """One case, as a dict for the JSON."""
    here = Path(__file__).parents[1]
    workers = {}
    for name in names:
        workers[name] = Worker(here, name, batch, side, bf16)
        if name.startswith('LabNet') and before:
            workers[f'{name} before'] = Worker(before, name, batch, side, bf16)
    try:
        steps = {name: [] for name in workers}
        for _ in range(rounds + 2):
            for name, worker in workers.items():
                steps[name].append(worker.step())
    finally:
        for worker in workers.values():
            worker.close()
    seconds = {name: [each for each, _ in values[2:]] for name, values in steps.items()}

    def ratios(name):
        pairs = [own / first for own, first in zip(seconds[name], seconds[names[0]], strict=True)]
        return [round(function(pairs), 3) for function in (statistics.median, min, max)]

    return {
        'batch': batch,
        'side': side,
        'precision': 'bf16' if bf16 else 'fp32',
        'median_ms': {name: round(1000 * statistics.median(values)) for name, values in seconds.items()},
        f'ratio_to_{names[0]}': {name: ratios(name) for name in workers},
        'peak_MiB': {name: values[-1][1] for name, values in steps.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/train_speed.json'))
    parser.add_argument('--rounds', type=int, default=7, help='timed rounds per case')
    parser.add_argument('--before', type=Path, help='a folder with another version of this package, to be compared')
    parser.add_argument('--worker', type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(*args.worker)
        return

    from stea_arch.system.versions import get_versions

    report = {
        'protocol': f'interleaved processes of one thread, processor time, 2 rounds to warm up, then {args.rounds}',
        'versions': get_versions(),
        'cases': [],
    }
    for case in CASES:
        report['cases'].append(measure(*case, args.rounds, args.before and args.before.resolve()))
        print(json.dumps(report['cases'][-1]), flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
