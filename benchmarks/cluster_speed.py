"""How many photographs a day `stea-upscale --ray` makes on so many machines, and what limits it.

python benchmarks/cluster_speed.py --out benchmarks/cluster_speed.json
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')

import ray
import torch
from skimage import data

from stea_arch.images.decode import Photo, decode_photo
from stea_arch.images.encode import encode_photo
from stea_arch.system.versions import get_versions
from stea_arch.upscaling.upscaler import Upscaler

PROTOCOL = (
    'Measured: processor time of one core for decoding, upscaling (x4) and encoding a JPEG of 0.25 megapixels, medians '
    'of --count, taken as proportional to the pixels; bytes of the photograph and of its result; the time in which Ray '
    'hands a task to a waiting actor and gets its answer, on this machine. Simulated from that: photographs a second '
    'of machines with 16 cores, a worker on each, as the least of what the workers compute, what the storage that all '
    'of them share reads and writes, and what the one process that hands out the files can hand out.'
)
CORES = 16


def stages(count):
    """Medians of seconds for each stage, and bytes in and out, for one photograph of 512x512."""
    photo = encode_photo(Photo(data.astronaut()), '.jpg')
    upscaler, seconds = Upscaler('realnet-s-x4', 'cpu'), {'decode': [], 'upscale': [], 'encode': []}
    result = b''

    def timed(stage, function):
        start = time.process_time()
        value = function()
        seconds[stage].append(time.process_time() - start)
        return value

    for _ in range(count):
        pixels = timed('decode', lambda: decode_photo(photo)).pixels
        large = timed('upscale', lambda: upscaler(pixels))  # noqa: B023
        result = timed('encode', lambda: encode_photo(Photo(large), '.jpg'))  # noqa: B023
    return {stage: statistics.median(values) for stage, values in seconds.items()}, len(photo), len(result)


def handing_out(count=500):
    """Seconds in which Ray hands out a task and gets its answer."""

    class Nothing:
        def run(self, job):
            return [], []

    ray.init('local', num_cpus=1, log_to_driver=False, logging_level='ERROR', include_dashboard=False)
    try:
        worker, job = ray.remote(Nothing).remote(), {'source': 'a' * 60, 'target': 'b' * 60}
        ray.get(worker.run.remote(job))
        start = time.perf_counter()
        for _ in range(count):
            ray.get(worker.run.remote(job))
        return (time.perf_counter() - start) / count
    finally:
        ray.shutdown()


def simulate(machines, seconds, moved, storage, each):
    """Photographs a second, and what limits them.

    Args:
        machines (int): with ``CORES`` workers each.
        seconds (float), moved (float): of one photograph on one core; bytes read and written.
        storage (float): bytes a second.
        each (float): seconds in which one file is handed out.
    """
    rates = {'workers': machines * CORES / seconds, 'storage': storage / moved, 'handing out': 1 / each}
    limit = min(rates, key=rates.get)
    return rates[limit], limit


def main(argv=None):
    parser = argparse.ArgumentParser(description='Simulates many machines from what is measured on one.')
    parser.add_argument('--count', type=int, default=3)
    parser.add_argument('--megapixels', type=float, default=1, help='of a photograph')
    parser.add_argument('--storage', type=float, default=1, help='GB a second that all machines share')
    parser.add_argument('--photographs', type=int, default=10**6)
    parser.add_argument('--out', type=Path, help='write the numbers and the protocol to this JSON file')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    seconds, size, result = stages(args.count)
    each = handing_out()
    scale = args.megapixels * 1e6 / 512**2
    total, moved = sum(seconds.values()) * scale, (size + result) * scale
    rows = []
    for machines in (1, 10, 100, 1000, 10_000):
        rate, limit = simulate(machines, total, moved, args.storage * 1e9, each)
        days = args.photographs / rate / 86400
        rows.append({'machines': machines, 'a_second': round(rate, 3), 'days': float(f'{days:.3g}'), 'limit': limit})
        print(f'{machines:>7} machines {rate:>9.3f} a second, {args.photographs:,} in {days:,.2f} days: {limit}')
    full = args.storage * 1e9 / moved * total / CORES
    print(f'The storage is what limits from {full:,.0f} machines on.')
    if args.out:
        report = {
            'protocol': PROTOCOL,
            'versions': get_versions(),
            'megapixels': args.megapixels,
            'storage_bytes_a_second': args.storage * 1e9,
            'photographs': args.photographs,
            'seconds_of_512x512': {stage: round(value, 4) for stage, value in seconds.items()},
            'bytes_of_512x512': {'photograph': size, 'result': result},
            'seconds_to_hand_out': round(each, 5),
            'storage_limits_from_machines': round(full),
            'rows': rows,
        }
        args.out.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
