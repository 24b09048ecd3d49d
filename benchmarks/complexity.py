"""Time and peak memory of the attentions against the number of pixels N, with fitted exponents.

Every attention of LabNet at the published width, with its statistics, on square feature maps:

    softmax, N x N      the weights of all pairs as a matrix: the definition
    softmax, fused      the same by PyTorch's scaled_dot_product_attention, which keeps no such matrix
    taylor 1, 2, 3      softmax's Taylor expansion to that order, summed in O(N)
    stea                the published, learned gates

Time is that of the processor, from interleaved rounds in one process, medians. Memory is the growth of the resident
memory of a forked process (VmHWM in /proc/self/status, Linux) in one pass. Both go on for every attention until a pass
is expected to take longer than --seconds or more than --gib. The exponent is the slope of a straight line through the
logarithms of the points of at least 64 x 64 pixels; below that, calls cost more than pixels. Where maps no longer fit
into the processor's caches, a line is steeper for a while: O(N) measures as more than N^1.

    python benchmarks/complexity.py        # writes complexity.json and complexity.png beside this file
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from forked import in_a_fork, peak_memory
from plots import load_pyplot

from stea_arch.archs.softmax import Softmax
from stea_arch.archs.stea import STEA
from stea_arch.archs.taylor import Taylor
from stea_arch.system.versions import get_versions

SIDES = (32, 48, 64, 80, 96, 128, 192, 256, 384, 512, 768, 1024)
FITTED = 64 * 64


class MatrixSoftmax(Softmax):
    """The definition: all weights at once."""

    def expansion(self, x, v, keys, values):
        weights = torch.softmax(self.queries(x).transpose(2, 3) @ keys, dim=-1)
        return (values @ weights.transpose(2, 3)).reshape(v.shape)


ATTENTIONS = {
    'softmax, N x N': MatrixSoftmax,
    'softmax, fused': Softmax,
    'taylor 1': lambda width: Taylor(width, order=1),
    'taylor 2': lambda width: Taylor(width, order=2),
    'taylor 3': lambda width: Taylor(width, order=3),
    'stea': STEA,
}


def run_once(attention, side, width):
    """Processor seconds of one pass over ``side x side`` pixels."""
    x = torch.randn(1, width, side, side).contiguous(memory_format=torch.channels_last)
    start = time.process_time()
    with torch.no_grad():
        attention(x, attention.statistics(x))
    return time.process_time() - start


def probe(name, side, width):
    """The bytes that one pass takes beyond the start, its input among them, and its processor seconds."""
    attention = ATTENTIONS[name](width)
    run_once(attention, 16, width)  # what libraries set up once
    before = peak_memory()
    seconds = run_once(attention, side, width)
    return peak_memory() - before, seconds


def measure_memory(args):
    """``{name: {side: bytes}}``, for every attention as far as time and memory allow."""
    peaks, seconds = {}, {}
    for name in ATTENTIONS:
        peaks[name], seconds[name] = {}, {}
        for side in args.sides:
            expected = (_next(name, values[name], side) for values in (peaks, seconds))
            if all(value <= limit for value, limit in zip(expected, (args.gib * 2**30, args.seconds))):
                peaks[name][side], seconds[name][side] = in_a_fork(probe, name, side, args.width)
        print(name, {side: f'{value / 2**20:.0f} MiB' for side, value in peaks[name].items()}, flush=True)
    return peaks


def measure_time(args, peaks):
    """``{name: {side: median seconds}}`` for the sides whose memory has been measured."""
    torch.manual_seed(0)
    attentions = {name: make(args.width) for name, make in ATTENTIONS.items()}
    times = {name: {} for name in attentions}
    for attention in attentions.values():
        run_once(attention, args.sides[0], args.width)
    for side in args.sides:
        fits = [name for name in attentions if side in peaks[name]]
        rounds = [{name: run_once(attentions[name], side, args.width) for name in fits} for _ in range(args.rounds)]
        for name in fits:
            times[name][side] = statistics.median(values[name] for values in rounds)
        print(side, {name: round(times[name][side], 4) for name in fits}, flush=True)
    return times


def _next(name, values, side):
    """What the next value should be, from the last: softmax grows with N^2, the others with N."""
    if not values:
        return 0
    last = max(values)
    return values[last] * (side / last) ** (4 if name.startswith('softmax') else 2)


def exponent(values):
    """The slope of log(value) over log(N); None of fewer than three points."""
    points = [(side * side, value) for side, value in values.items() if side * side >= FITTED]
    if len(points) < 3:
        return None
    return round(float(np.polyfit(*np.log(np.array(points, dtype=float)).T, 1)[0]), 2)


def crossover(faster, slower):
    """The least measured N from which on ``faster`` takes less than ``slower``; None where it never does."""
    sides = [side for side in faster if side in slower]
    wins = [side for side in sides if all(faster[s] < slower[s] for s in sides if s >= side)]
    return wins[0] ** 2 if wins else None


def draw(report, path, pyplot):
    """Both quantities against N, with the exponents in the legend."""
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.6), layout='constrained')
    colours = ('tab:gray', 'tab:red', 'tab:cyan', 'tab:blue', 'tab:purple', 'tab:green')
    for panel, key, unit in zip(panels, ('seconds', 'mib'), ('processor seconds', 'peak memory, MiB')):
        for entry, colour in zip(report['attentions'], colours):
            points = [point for point in entry['points'] if key in point]
            fitted = entry[f'{key}_exponent']
            label = entry['name'] if fitted is None else f'{entry["name"]}:  N^{fitted:.2f}'
            panel.plot([p['n'] for p in points], [p[key] for p in points], 'o-', color=colour, ms=4, label=label)
        panel.set(
            xscale='log', yscale='log', xlabel='pixels N', title=f'{unit} of one pass, {report["width"]} channels'
        )
        panel.grid(alpha=0.3)
        panel.legend(fontsize=9)
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--width', type=int, default=64, help='channels')
    parser.add_argument('--sides', type=int, nargs='+', default=SIDES)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=30)
    parser.add_argument('--gib', type=float, default=4)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.json'))
    args = parser.parse_args()
    pyplot = load_pyplot()
    torch.set_num_threads(args.threads)
    peaks = measure_memory(args)
    times = measure_time(args, peaks)
    report = {
        'protocol': f'CPU, {args.threads} thread, fp32, 4 heads with keys of 4; time of one pass: median of '
        f'{args.rounds} interleaved rounds after one to warm up; memory: a forked process per point',
        'versions': get_versions(),
        'width': args.width,
        'attentions': [],
    }
    for name, values in times.items():
        points = [{'n': side * side, 'seconds': round(value, 5)} for side, value in values.items()]
        for point, side in zip(points, values):
            if side in peaks[name]:
                point['mib'] = round(peaks[name][side] / 2**20, 1)
        report['attentions'].append(
            {
                'name': name,
                'seconds_exponent': exponent(values),
                'mib_exponent': exponent(peaks[name]),
                'faster_than_fused_softmax_from_n': crossover(values, times['softmax, fused']),
                'points': points,
            }
        )
    args.out.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    draw(report, args.out.with_suffix('.png'), pyplot)


if __name__ == '__main__':
    main()
