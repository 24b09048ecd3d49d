"""Peak memory and time of the shipped LabNet-S x4, in its form for inference, against image size, for each way of
running it; what is lost by tiles.

Parts, each of which replaces its section of the JSON:

    sizes   square images: a process forked for each method, size and round; the peak is the growth of its resident
            memory (VmHWM in /proc/self/status, Linux), the time that of the processor; beside both, ``estimate_memory``
    limit   the largest image of 16:9 whose estimate stays within 24 GiB, for each method
    large   1920x1080 in strips into a file of bytes: peak and time
    tiles   the difference of tiles from the whole on a photograph against the overlap; and that of strips

    python benchmarks/memory.py --image photo.jpg   # writes memory.json and memory.png beside this file
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from forked import in_a_fork, peak_memory, reset_peak
from plots import load_pyplot

from stea_arch.archs.fused import optimize_for
from stea_arch.inference import METHODS, estimate_memory, upscale_tensor
from stea_arch.system.versions import get_versions
from stea_arch.weights import load_network

GIB = 2**30
SIZES = (64, 128, 256, 384)
OVERLAPS = (0, 16, 32)
TILE = 64


def make_net():
    """What ``stea-upscale --model labnet-s-x4`` runs on a CPU."""
    return optimize_for(load_network('labnet-s-x4'), 'cpu')


def read_photo(path, height, width):
    """A photograph, mirrored up to the size where it is smaller, as ``(1, 3, H, W)`` in [0, 1]."""
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f'{path} is not an image that OpenCV can read. Give one with --image.')
    pad = [(0, max(0, size - have)) for size, have in zip((height, width), image.shape)]
    image = np.pad(image, (*pad, (0, 0)), mode='symmetric')[:height, :width, ::-1]
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()[None] / 255


def probe(method, size):
    """One point: its peak beyond the start, and its processor seconds."""
    net = make_net()
    lq = torch.rand(1, 3, size, size)
    reset_peak()
    before, start = peak_memory(), time.process_time()
    upscale_tensor(net, lq, method)
    return {'bytes': peak_memory() - before, 'seconds': time.process_time() - start}


def measure_sizes(args):
    """Points ``{method, size, mib, estimate_mib, seconds}``, rounds interleaved."""
    found = {}
    for _ in range(args.rounds):
        for size in args.sizes:
            for method in METHODS:
                found.setdefault((method, size), []).append(in_a_fork(probe, method, size))
    points = []
    for (method, size), values in found.items():
        measured = statistics.median(value['bytes'] for value in values)
        estimate = estimate_memory(make_net(), size, size, method)
        point = {
            'method': method,
            'size': size,
            'mib': round(measured / 2**20, 1),
            'estimate_mib': round(estimate / 2**20, 1),
            'ratio': round(measured / estimate, 2),
            'seconds': round(statistics.median(value['seconds'] for value in values), 2),
        }
        print(json.dumps(point), flush=True)
        points.append(point)
    return points


def measure_limit(args):
    """Per method the largest 16:9 image whose estimate is at most 24 GiB, with a result in fp32, to 9 rows."""
    limits = []
    for method in METHODS:
        net, rows = make_net(), 100
        for _ in range(4):  # nearly proportional to the pixels
            rows = int(rows * (24 * GIB / estimate_memory(net, 9 * rows, 16 * rows, method)) ** 0.5)
        while estimate_memory(net, 9 * rows, 16 * rows, method) > 24 * GIB:
            rows -= 1
        limits.append({'method': method, 'width': 16 * rows, 'height': 9 * rows})
        print(json.dumps(limits[-1]), flush=True)
    return limits


def measure_large(args):
    """1920x1080 in strips, into a file."""
    net, lq = make_net(), read_photo(args.image, 1080, 1920)
    with tempfile.TemporaryFile() as file:
        large = np.memmap(file, np.uint8, 'w+', shape=(4320, 7680, 3))
        reset_peak()
        before, start, wall = peak_memory(), time.process_time(), time.perf_counter()
        upscale_tensor(net, lq, 'strips', out=large.transpose(2, 0, 1)[None], strip=args.strip)
    result = {
        'width': 1920,
        'height': 1080,
        'strip': args.strip,
        'mib': round((peak_memory() - before) / 2**20),
        'estimate_mib': round(estimate_memory(net, 1080, 1920, 'strips', strip=args.strip) / 2**20),
        'processor_seconds': round(time.process_time() - start),
        'seconds': round(time.perf_counter() - wall),
    }
    print(json.dumps(result), flush=True)
    return result


def measure_tiles(args):
    """Mean and largest difference from the whole, and PSNR against it, on one photograph."""
    lq = read_photo(args.image, 256, 256)
    net = make_net()
    whole = upscale_tensor(net, lq)
    rows = []
    runs = [('strips', {'strip': 48})]
    runs += [('tiles', {'tile': TILE, 'overlap': overlap}) for overlap in OVERLAPS]
    for method, sizes in runs:
        difference = (upscale_tensor(net, lq, method, **sizes) - whole).abs()
        row = {'method': method, **sizes, 'max': float(difference.max()), 'mean': float(difference.mean())}
        row['psnr'] = round(-10 * float(difference.square().mean().log10()), 2)
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def draw(report, path, pyplot):
    """Memory and time against size, and tiles' difference against their overlap."""
    figure, panels = pyplot.subplots(1, 3, figsize=(14, 4.2), layout='constrained')
    for method, colour in zip(METHODS, ('tab:red', 'tab:blue', 'tab:green')):
        points = [point for point in report['sizes'] if point['method'] == method]
        sizes = [point['size'] for point in points]
        panels[0].plot(sizes, [point['mib'] for point in points], 'o-', color=colour, label=method)
        panels[0].plot(sizes, [point['estimate_mib'] for point in points], '--', color=colour, lw=1)
        panels[1].plot(sizes, [point['seconds'] for point in points], 'o-', color=colour, label=method)
    panels[0].plot([], [], 'k--', lw=1, label='estimate_memory')
    panels[0].set(ylabel='peak memory beyond the start, MiB', title='LabNet-S x4: memory')
    panels[1].set(ylabel='processor seconds', title='LabNet-S x4: time')
    for panel in panels[:2]:
        panel.set(xscale='log', yscale='log', xlabel='side of the square input, pixels')
        panel.set_xticks(sizes, [str(size) for size in sizes])
        low, high = panel.get_ylim()
        ticks = [2.0**power for power in range(-4, 16) if low <= 2.0**power <= high]
        panel.set_yticks(ticks, [f'{tick:g}' for tick in ticks])
        panel.minorticks_off()
    rows = [row for row in report['tiles'] if row['method'] == 'tiles']
    for key, style, label in (('max', 'o-', 'largest'), ('mean', 'o--', 'mean')):
        panels[2].plot(OVERLAPS, [row[key] for row in rows], style, color='tab:green', label=label)
    panels[2].axhline(1 / 255, color='grey', lw=1, label='1 / 255')
    panels[2].set(yscale='log', xlabel='overlap, pixels', title=f'tiles of {TILE} pixels: difference from the whole')
    panels[2].set_xticks(OVERLAPS)
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', default=['sizes', 'limit', 'large', 'tiles'])
    parser.add_argument('--image', type=Path, help='a photograph, for the parts large and tiles')
    parser.add_argument('--sizes', type=int, nargs='+', default=SIZES)
    parser.add_argument('--strip', type=int, default=128, help='of the part large')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.json'))
    args = parser.parse_args()
    pyplot = load_pyplot()
    torch.set_num_threads(args.threads)

    report = json.loads(args.out.read_text(encoding='utf-8')) if args.out.is_file() else {}
    report['protocol'] = (
        f'labnet-s-x4 in its form for inference, fp32, CPU, {args.threads} thread; sizes: a forked process per point, '
        f'{args.rounds} interleaved rounds, medians; strip 128, tile 256 with overlap 32 unless said; MiB beyond the '
        'start of the run'
    )
    report['versions'] = get_versions()
    parts = {'sizes': measure_sizes, 'limit': measure_limit, 'large': measure_large, 'tiles': measure_tiles}
    for part in args.parts:
        report[part] = parts[part](args)
        args.out.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    if 'sizes' in report and 'tiles' in report:
        draw(report, args.out.with_suffix('.png'), pyplot)


if __name__ == '__main__':
    main()
