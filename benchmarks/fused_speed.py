"""How much faster the fused forms of LabNet are on this CPU, through which backend, and how far from the plain form.

All forms have the same weights and are timed in turn, round by round, so that a busy machine slows all of them alike:

    plain             the authors' operations, dilated kernels left to the library (see plain_form.py)
    labnet            LabNet as it trains
    fused             LabNet.fuse()
    <backend> <type>  stea_arch.backends.load_backend: torch is the fused network

A ratio is the median over the rounds of plain / form, after one round to warm up. beta and the norms are randomised,
because beta's start value of 0 would hide most of what is fused.

    pip install -e '.[openvino]'
    python benchmarks/fused_speed.py --threads 2 --out benchmarks/fused_speed.json
"""

import argparse
import json
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from plain_form import make_labnet, make_plain

from stea_arch.backends import load_backend
from stea_arch.system.versions import get_versions
from stea_arch.weights.export import read_option_file

OPTIONS = Path(__file__).resolve().parents[1] / 'options/train/LabNet_x4.yml'

BACKENDS = {
    'torch fp32': ('torch', torch.float32),
    'torch bf16': ('torch', torch.bfloat16),
    'onnxruntime fp32': ('onnxruntime', torch.float32),
    'openvino fp32': ('openvino', torch.float32),
    'openvino bf16': ('openvino', torch.bfloat16),
}
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


def load_forms(arguments, names, threads):
    """Callables by name, ``plain`` first."""
    torch.manual_seed(0)
    network = make_labnet(**arguments).eval().requires_grad_(False)
    forms = {'plain': make_plain(network), 'labnet': network, 'fused': network.fuse()}
    for name in names:
        start = time.perf_counter()
        forms[name] = load_backend(network, *BACKENDS[name], threads=threads)
        print(f'{name} loaded and checked in {time.perf_counter() - start:.0f} s', flush=True)
    return forms


def measure(forms, size, rounds, clock):
    """One size, as a dict for the JSON."""
    lq = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    seconds = {name: [] for name in forms}
    outputs = {}
    for _ in range(rounds + 1):
        for name, form in forms.items():
            start = clock()
            with torch.inference_mode():
                outputs[name] = form(lq)
            seconds[name].append(clock() - start)
    ratios = {
        name: [plain / own for plain, own in zip(seconds['plain'][1:], values[1:])] for name, values in seconds.items()
    }
    return {
        'size': size,
        'rounds': rounds,
        'median_seconds': {name: round(statistics.median(values[1:]), 4) for name, values in seconds.items()},
        'ratio_to_plain': {name: round(statistics.median(values), 3) for name, values in ratios.items()},
        'largest_and_smallest_ratio': {
            name: [round(max(values), 3), round(min(values), 3)] for name, values in ratios.items()
        },
        'max_difference': {name: float((sr - outputs['plain']).abs().max()) for name, sr in outputs.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/fused_speed.json'))
    parser.add_argument('--rounds', type=int, default=5, help='timed rounds per size')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument(
        '--clock',
        choices=CLOCKS,
        default='wall',
        help="'cpu' is the process's own time, for one thread on a machine that others use too",
    )
    parser.add_argument('--sizes', type=int, nargs='+', default=[64, 128], help='height and width of the inputs')
    parser.add_argument('-opt', type=Path, default=OPTIONS, metavar='FILE', help='option file of a LabNet')
    parser.add_argument('--backends', nargs='*', choices=BACKENDS, default=list(BACKENDS))
    args = parser.parse_args()
    if args.clock == 'cpu' and args.threads != 1:
        parser.error('--clock cpu adds up the time of all threads: use it with --threads 1.')
    torch.set_num_threads(args.threads)
    _, arguments = read_option_file(args.opt)

    versions = get_versions()
    for package in ('onnxruntime', 'openvino'):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    report = {
        'protocol': f'interleaved, 1 round to warm up, median of the rounds, {args.clock} time, batch 1, CPU, '
        f'{args.opt.stem}',
        'versions': versions,
        'cases': [],
    }
    forms = load_forms(arguments, args.backends, args.threads)
    for size in args.sizes:
        report['cases'].append(measure(forms, size, args.rounds, CLOCKS[args.clock]))
        print(json.dumps(report['cases'][-1], indent=2), flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
