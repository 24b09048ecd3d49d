"""How fast tiles get into an LMDB, and in how much memory, beside the plain way; whether both hold the same.

    python benchmarks/data_speed.py --data datasets/train/photos --out benchmarks/data_speed.json
    python benchmarks/data_speed.py                       # scikit-image's photographs

Each way runs in a process of its own; Linux only, as memory is read from /proc.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import cv2
import lmdb
import numpy as np

from data_prep.produce import Way
from data_prep.tiles import Cut, folder_paths, tile_starts, write_tiles
from stea_arch.system.versions import get_versions

PROTOCOL = (
    "Plain: what BasicSR's published scripts do, written anew. A process pool cuts tiles by cv2 and saves them as PNG "
    "of level 3, then basicsr's make_lmdb_from_imgs, with the same number of reading processes, decodes them, encodes "
    'them at level 1, holds all in memory and writes the LMDB. Ours: stea-data subimages into an LMDB, with as many '
    'threads. Seconds (elapsed, and of processors) are those of the work, without imports; rounds take turns, medians '
    'count. Memory: the highest sum over the process tree of proportional set sizes (pages shared by processes count '
    'once), read 20 times a second, above that after imports. DF2K: 3450 images of 2040x1400, 40 tiles of 480 each, '
    'from the processor seconds and bytes per pixel of tiles measured here, on two cores that do nothing else.'
)
DF2K_PIXELS = 3450 * 40 * 480**2


def plain(folder, target, size, step, workers):
    """Tiles as files, then an LMDB of them."""
    from multiprocessing import Pool

    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    tiles = Path(f'{target}.tiles')
    tiles.mkdir()
    with Pool(workers) as pool:
        jobs = [(str(path), str(tiles), size, step) for path in folder_paths(folder).values()]
        pool.starmap(plain_cut, jobs, chunksize=1)
    names = sorted(os.listdir(tiles))
    keys = [name.removesuffix('.png') for name in names]
    make_lmdb_from_imgs(str(tiles), target, names, keys, multiprocessing_read=True, n_thread=workers)


def plain_cut(path, tiles, size, step):
    """The tiles of one image as PNG files."""
    img = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    corners = [(y, x) for y in tile_starts(img.shape[0], size, step) for x in tile_starts(img.shape[1], size, step)]
    for number, (y, x) in enumerate(corners, 1):
        tile = np.ascontiguousarray(img[y : y + size, x : x + size])
        cv2.imwrite(f'{tiles}/{Path(path).stem}_s{number:03d}.png', tile, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def ours(folder, target, size, step, workers):
    """Straight into the LMDB."""
    write_tiles(folder_paths(folder), target, Cut(size, step), Way(workers, progress=False))


def work(args):
    """One way, in the process that was started for it; prints its seconds."""
    cv2.setNumThreads(1)
    way = {'plain': plain, 'ours': ours}[args.work]
    base, start, cpu = tree_memory(os.getpid()), time.perf_counter(), cpu_seconds()
    way(str(args.data[0]), str(args.target), args.size, args.step, args.workers)
    print(f'\nRESULT {time.perf_counter() - start} {cpu_seconds() - cpu} {base}')


def cpu_seconds():
    """Of this process and those it has waited for."""
    return sum(os.times()[:4])


def run(way, folder, target, args):
    """Start one way and watch it: elapsed seconds, processor seconds, bytes above those after imports."""
    command = [sys.executable, __file__, '--work', way, '--data', str(folder), '--target', str(target)]
    command += ['--size', str(args.size), '--step', str(args.step), '--workers', str(args.workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_memory(process.pid))
        time.sleep(0.05)
    output = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f'{way} should have made {target}, but it ended with {process.returncode}: {output}')
    elapsed, cpu, base = map(float, output.split('RESULT')[1].split())
    return elapsed, cpu, peak - base


def tree_memory(pid):
    """Bytes in use by a process and those below it."""
    total = 0
    try:
        for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
            if line.startswith('Pss:'):
                total += int(line.split()[1]) * 1024
        for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split():
            total += tree_memory(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended
    return total


def same_content(first, second):
    """Number of records if keys, lists and pixels of two LMDBs are equal; raises otherwise."""
    lists = [sorted((Path(path) / 'meta_info.txt').read_text().splitlines()) for path in (first, second)]
    with (
        lmdb.open(str(first), readonly=True, lock=False) as one,
        lmdb.open(str(second), readonly=True, lock=False) as two,
        one.begin() as here,
        two.begin() as there,
    ):
        if lists[0] != lists[1] or here.stat()['entries'] != there.stat()['entries']:
            raise AssertionError('the two ways made different lists or numbers of records')
        for key, data in here.cursor():
            images = [cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_UNCHANGED) for d in (data, there.get(key))]
            if not np.array_equal(*images):
                raise AssertionError(f'the two ways made different pixels of {key.decode()}')
        return here.stat()['entries']


def link(sources, folder):
    """A folder of links to the images of several."""
    folder.mkdir()
    for path in sources:
        (folder / path.name).symlink_to(path.resolve())
    return folder


def measure(args, work_folder):
    """All runs; a dictionary."""
    paths = [path for folder in args.data for path in folder_paths(folder).values()]
    everything, quarter = link(paths, work_folder / 'all'), link(paths[::4], work_folder / 'quarter')
    runs = {'plain': [], 'ours': []}
    for number in range(args.rounds):
        for way, found in runs.items():
            target = work_folder / f'{way}{number}.lmdb'
            found.append(run(way, everything, target, args))
            print(f'{way}: {found[-1][0]:.1f} s, {found[-1][1]:.1f} s of processors, {found[-1][2] / 1e6:.0f} MB')
    count = same_content(work_folder / 'plain0.lmdb', work_folder / 'ours0.lmdb')
    rows = {}
    for way, found in runs.items():
        elapsed, cpu, memory = (statistics.median(values) for values in zip(*found))
        few = run(way, quarter, work_folder / f'{way}_few.lmdb', args)[2]
        scale = DF2K_PIXELS / (count * args.size**2)
        size = (work_folder / f'{way}0.lmdb' / 'data.mdb').stat().st_size
        rows[way] = {
            'seconds': round(elapsed, 2),
            'all_seconds': [round(run[0], 2) for run in found],
            'processor_seconds': round(cpu, 2),
            'memory_mb': round(memory / 1e6),
            'memory_mb_for_a_quarter_of_the_images': round(few / 1e6),
            'lmdb_mb': round(size / 1e6, 1),
            'df2k_minutes': round(cpu * scale / 2 / 60, 1),
            'df2k_gb': round(size * scale / 1e9, 1),
        }
    return {
        'images': len(paths),
        'tiles': count,
        'size': args.size,
        'step': args.step,
        'workers': args.workers,
        'same_keys_lists_and_pixels': True,
        'ratio': round(rows['plain']['seconds'] / rows['ours']['seconds'], 2),
        'ratio_of_processor_seconds': round(rows['plain']['processor_seconds'] / rows['ours']['processor_seconds'], 2),
        **rows,
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description='Times the way from images to an LMDB of tiles.')
    parser.add_argument('--data', type=Path, nargs='+', help="folders of images (default: scikit-image's photographs)")
    parser.add_argument('--size', type=int, default=480, help='side of a tile')
    parser.add_argument('--step', type=int, default=240, help='distance between tiles')
    parser.add_argument('--workers', type=int, default=2, help='processes of the plain way, threads of ours')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--out', type=Path, help='add the numbers to this JSON file')
    parser.add_argument('--work', choices=['plain', 'ours'], help=argparse.SUPPRESS)
    parser.add_argument('--target', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.work:
        return work(args)
    with tempfile.TemporaryDirectory() as folder:
        if not args.data:
            from data_prep.sample import write_sample

            write_sample(Path(folder, 'sample'))
            args.data, args.size, args.step = [Path(folder, 'sample', 'train')], 240, 120
        row = measure(args, Path(folder))
    print(json.dumps(row, indent=2))
    if args.out:
        rows = json.loads(args.out.read_text())['rows'] if args.out.exists() else []
        report = {'protocol': PROTOCOL, 'versions': get_versions(), 'rows': [*rows, row]}
        args.out.write_text(json.dumps(report, indent=2) + '\n')
    return None


if __name__ == '__main__':
    main()
