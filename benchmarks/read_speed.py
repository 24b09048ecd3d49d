"""Training crops a second and worker, from an LMDB of tiles and from folders, through the training dataset.

python benchmarks/read_speed.py --data datasets/train/photos --out benchmarks/read_speed.json
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import cv2
import numpy as np
import torch

from data_prep.produce import Way
from data_prep.record import file_record
from data_prep.tiles import Cut, folder_paths, write_tiles
from stea_arch.data.classical_dataset import ClassicalDegradationDataset
from stea_arch.data.sampler import Draw
from stea_arch.system.versions import get_versions

PROTOCOL = (
    'One process on one thread, random images, a crop of --gt-size each; the files are in memory (page cache). Places: '
    'whole images as PNG of level 3 in a folder; tiles of 480 as PNG of level 3 in a folder and, re-encoded by '
    'basicsr at level 1, in an LMDB, both as the plain way makes them; tiles in an LMDB as stea-data makes it. crop: '
    'reading and decoding alone. item: the whole training pair, blurred and reduced by 4 (setting 1). The places take '
    'turns, crop by crop. Medians of processor time, as crops a second of a core that does nothing else. What an H100 '
    'needs: 20 crops a step of 3 x the forward pass of 16 inputs of 64x64 (23 ms at full memory bandwidth in the plain '
    'form, estimated, not measured), scaled to 20; and twice that, as is aimed at.'
)
STEP_SECONDS = 3 * 0.023 * 20 / 16


def places(folder, work, gt_size):
    """The same images in four places, each as a training dataset."""
    whole, tiles = work / 'whole', work / 'tiles'
    whole.mkdir()
    for name, path in folder_paths(folder).items():
        (whole / f'{Path(name).stem}.png').write_bytes(file_record(path, name, level=3).data)
    write_tiles(folder_paths(whole), str(tiles), Cut(level=3), Way(progress=False))
    write_tiles(folder_paths(whole), str(work / 'ours.lmdb'), Cut(), Way(progress=False))
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    names = sorted(folder_paths(tiles))
    make_lmdb_from_imgs(str(tiles), str(work / 'basicsr.lmdb'), names, [name[:-4] for name in names])
    found = {
        'whole images, folder': whole,
        'tiles, folder': tiles,
        "tiles, basicsr's LMDB": work / 'basicsr.lmdb',
        'tiles, LMDB': work / 'ours.lmdb',
    }
    return {
        label: ClassicalDegradationDataset(
            {
                'name': label,
                'phase': 'train',
                'scale': 4,
                'gt_size': gt_size,
                'dataroot_gt': str(root),
                'io_backend': {'type': 'lmdb' if root.suffix == '.lmdb' else 'disk'},
            }
        )
        for label, root in found.items()
    }


def crop(dataset, draw):
    """Read and cut, nothing else."""
    recipe, size = dataset.recipe(draw), dataset.gt_size
    img = dataset.source.read(dataset.source.names[recipe.index])
    top, left = (int(at * (length - size + 1)) for at, length in zip((recipe.top, recipe.left), img.shape))
    return np.ascontiguousarray(img[top : top + size, left : left + size])


def measure(datasets, count):
    """Median crops a second of each place."""
    rng = np.random.default_rng(0)
    seconds = {label: {'crop': [], 'item': []} for label in datasets}
    for number in range(count + 5):
        for label, dataset in datasets.items():
            draw = Draw(int(rng.integers(len(dataset))), (0, number))
            for kind, read in (('crop', lambda: crop(dataset, draw)), ('item', lambda: dataset[draw])):  # noqa: B023
                start = time.process_time()
                read()
                if number >= 5:  # the first ones warm up
                    seconds[label][kind].append(time.process_time() - start)
    return {
        label: {f'{kind}s_per_second': round(1 / statistics.median(values), 1) for kind, values in kinds.items()}
        for label, kinds in seconds.items()
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description='Times training crops from folders and LMDBs.')
    parser.add_argument('--data', type=Path, required=True, help='folder of images of at least 480x480')
    parser.add_argument('--gt-size', type=int, default=256)
    parser.add_argument('--count', type=int, default=300, help='crops from each place')
    parser.add_argument('--out', type=Path, help='write the numbers and the protocol to this JSON file')
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(places(args.data, Path(folder), args.gt_size), args.count)
    needs = [round(20 / STEP_SECONDS), round(2 * 20 / STEP_SECONDS)]
    for label, row in rows.items():
        print(f'{label:24} {row["crops_per_second"]:>8} crops/s {row["items_per_second"]:>8} items/s')
    print(f'an H100 needs about {needs[0]} to {needs[1]} items/s')
    if args.out:
        report = {'protocol': PROTOCOL, 'versions': get_versions(), 'gt_size': args.gt_size, 'rows': rows}
        args.out.write_text(json.dumps({**report, 'h100_needs_items_per_second': needs}, indent=2) + '\n')


if __name__ == '__main__':
    main()
