"""How fast the classical degradation is beside the plain way, and whether both give the same image.

python benchmarks/degradation_speed.py --out benchmarks/degradation_speed.json
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import cv2
import numpy as np
import torch

from stea_arch.degradations.classical import ClassicalSampler, degrade
from stea_arch.system.versions import get_versions

PROTOCOL = (
    'Plain: cv2.filter2D with the two-dimensional kernel on float32, then imresize of BasicSR, then rounding. '
    'Ours: stea_arch.degradations.classical.degrade. Both get the same patch and the same freshly drawn parameters '
    '(kernels are made within the time), one after the other in turns, in one process on one thread. ratio: of the '
    'median times. differs: the largest difference between the two outputs in 8-bit steps.'
)
SETTINGS = {
    '1 isotropic 21x21': {'kernel_type': 'isotropic', 'kernel_size': 21},
    '2 anisotropic 31x31, disturbed': {'kernel_type': 'anisotropic', 'kernel_size': 31, 'kernel_noise': 0.25},
}


def plain(gt, params):
    """The same image from OpenCV and BasicSR alone."""
    from basicsr.utils.matlab_functions import imresize

    blurred = cv2.filter2D(gt, -1, params.kernel().astype(np.float32), borderType=cv2.BORDER_REFLECT_101)
    lq = imresize(blurred, 1 / params.scale)
    return np.rint(lq.clip(0, 1) * 255).astype(np.float32) / np.float32(255)


def photograph(size):
    """A (size, size, 3) float32 patch of scikit-image's astronaut."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:size, 100 : 100 + size], np.float32) / 255


def measure(scale, setting, size, repeats):
    """Seconds per patch of both ways, and their largest difference; one dictionary."""
    sampler, rng = ClassicalSampler(scale, **SETTINGS[setting]), np.random.default_rng(0)
    gt = photograph(size // scale * scale)
    seconds, differs = {'plain': [], 'ours': []}, 0.0
    for repeat in range(repeats + 2):
        params, outputs = sampler(rng), []
        for name, way in (('plain', plain), ('ours', degrade)):
            start = time.perf_counter()
            outputs.append(way(gt, params))
            if repeat >= 2:  # the first two warm up
                seconds[name].append(time.perf_counter() - start)
        differs = max(differs, float(np.abs(outputs[0] - outputs[1]).max() * 255))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        'setting': setting,
        'scale': scale,
        'gt_size': gt.shape[0],
        'plain_ms': round(medians['plain'] * 1e3, 3),
        'ours_ms': round(medians['ours'] * 1e3, 3),
        'ratio': round(medians['plain'] / medians['ours'], 2),
        'differs': round(differs, 3),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description='Times the classical degradation beside the plain way.')
    parser.add_argument('--out', type=Path, help='write the numbers and the protocol to this JSON file')
    parser.add_argument('--size', type=int, default=256, help='height and width of the ground-truth patch')
    parser.add_argument('--repeats', type=int, default=40, help='patches per setting and scale')
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rows = [measure(scale, setting, args.size, args.repeats) for setting in SETTINGS for scale in (2, 3, 4)]
    print(f'{"setting":32} {"scale":>5} {"plain ms":>9} {"ours ms":>8} {"ratio":>6} {"differs":>8}')
    for row in rows:
        print(
            f'{row["setting"]:32} {row["scale"]:>5} {row["plain_ms"]:>9.2f} {row["ours_ms"]:>8.2f} '
            f'{row["ratio"]:>6.1f} {row["differs"]:>8.2f}'
        )
    print(PROTOCOL)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        protocol = f'{PROTOCOL} {args.repeats} patches of about {args.size}x{args.size} for each row.'
        report = {'protocol': protocol, 'versions': get_versions(), 'rows': rows}
        args.out.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
