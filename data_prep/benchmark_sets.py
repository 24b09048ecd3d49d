"""Benchmark pairs as files: Gaussian8 and setting 2, exactly what the dataset makes on the fly.

    OUT/gt/NAME.png            cropped at the bottom and right to a multiple of the scale
    OUT/sigma1.80/NAME.png     the low-quality images of one kernel; setting 2, a kernel for each image: OUT/lq
    OUT/gt.lmdb, OUT/sigma1.80.lmdb, ...   the same in LMDBs, keys NAME
    OUT/manifest.json          protocol, kernels, versions, SHA-256 of every image's pixels

BasicSR's PairedImageDataset reads gt beside any one of the others, as folders or LMDBs.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from data_prep.lmdb_writer import write_lmdb
from data_prep.manifest import MANIFEST, pixel_checksums
from data_prep.output import identity_of, is_complete, resumable, stamp_of, write_whole
from data_prep.produce import Outcome, produce, usable
from data_prep.record import FAST, Record, encode_png
from data_prep.tiles import folder_paths
from stea_arch.data.gaussian8 import gaussian8
from stea_arch.data.image_io import decode, stem
from stea_arch.degradations.classical import (
    SETTING2_KERNEL_NOISE,
    SETTING2_KERNEL_SIZES,
    ClassicalSampler,
    degrade,
)
from stea_arch.system.versions import get_versions

PROTOCOL = {
    'crop': 'at the bottom and right to a multiple of the scale',
    'gray': 'one channel is read as three equal ones',
    'blur': 'correlation with the kernel, borders mirrored without repeating the outermost pixel',
    'downsampler': "MATLAB's imresize, bicubic with a = -0.5, antialiased, borders mirrored with it",
    'rounding': 'clipped to [0, 1], rounded to 8 bits, halves to even',
    'pixels': 'SHA-256 of the decoded RGB pixels, 8 bits, row by row',
}


def write_gaussian8(folder, out, scale, way):
    """Every image under each of the eight isotropic kernels of :func:`stea_arch.data.gaussian8.gaussian8`.

    Args:
        folder (str): Ground-truth images.
        out (str): Folder to make.
        scale (int): 2, 3 or 4.
        way (Way): How to work.

    Returns:
        Outcome: What came of it.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: As for any result; a wrong scale.
    """
    kernels, paths = gaussian8(scale), folder_paths(folder)
    protocol = {
        'protocol': 'Gaussian8 (setting 1): eight isotropic Gaussian kernels, 21x21, sigmas evenly spaced',
        'scale': scale,
        'kernels': {group: asdict(params) for group, params in kernels.items()},
    }
    return _write(paths, out, {group: dict.fromkeys(paths, params) for group, params in kernels.items()}, protocol, way)


def write_setting2(folder, out, scale, way, seed=0, kernel_size=None):
    """Every image under one anisotropic, disturbed kernel of its own, as in DIV2KRK.

    Args:
        folder (str), out (str), scale (int), way (Way): As for :func:`write_gaussian8`.
        seed (int): Of the kernels. That of the image number ``i``, counted from 0 in the order of names, is drawn from
            ``numpy.random.default_rng((seed, i))``.
        kernel_size (int | None): Odd; None for 31, or 11 at x2.

    Returns:
        Outcome: What came of it.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: As for any result; a wrong scale or kernel size.
    """
    sampler = ClassicalSampler(
        scale,
        'anisotropic',
        kernel_size=kernel_size or SETTING2_KERNEL_SIZES.get(scale, 31),
        kernel_noise=SETTING2_KERNEL_NOISE,
    )
    paths = folder_paths(folder)
    kernels = {name: sampler(np.random.default_rng((seed, number))) for number, name in enumerate(paths)}
    protocol = {
        'protocol': 'setting 2: an anisotropic Gaussian kernel for each image, sigmas uniform in [0.6, 5], rotation '
        'uniform in [0, pi), weights times 1 + uniform in [0, 0.25]',
        'scale': scale,
        'seed': seed,
        'kernels': {'lq': {f'{stem(name)}.png': asdict(params) for name, params in kernels.items()}},
    }
    return _write(paths, out, {'lq': kernels}, protocol, way)


def _write(paths, out, groups, protocol, way):
    """``groups`` maps the name of a folder to the parameters of each image."""
    protocol = {**protocol, **PROTOCOL}
    given, (paths, unusable) = paths, usable(paths, way)
    stamps = {name: stamp_of(path) for name, path in paths.items()}
    identity = identity_of(stamps, kind='benchmark', **protocol)
    if is_complete(out, identity) and not way.replace:
        return Outcome(str(out), None)
    with resumable(out, identity, way.replace, sources=paths.values()) as part:
        inside = replace(way, replace=False)
        for name, parameters in (('gt', None), *groups.items()):
            _write_group(paths, part / name, protocol['scale'], parameters, inside)
        sums = {name: pixel_checksums(part / name) for name in ('gt', *groups)}
        left_out = [name for name in given if f'{stem(name)}.png' not in sums['gt']]
        manifest = {**protocol, 'pixels_sha256': sums, 'left_out': left_out, 'versions': get_versions()}
        write_whole(part / MANIFEST, [json.dumps(manifest, indent=1), '\n'])
    return Outcome(
        str(out), sum(map(len, sums.values())), 0, [*unusable, *(name for name in left_out if name in paths)]
    )


def _write_group(paths, target, scale, parameters, way):
    """One folder and the LMDB of the same images; the ground truth where ``parameters`` is None."""

    def make(name, path):
        img = decode(Path(path).read_bytes(), str(path), allow_gray=True)
        height, width = (length - length % scale for length in img.shape[:2])
        if not (height and width):
            raise ValueError(f'An image of at least {scale}x{scale} pixels was expected (the scale). Leave it out.')
        img = img[:height, :width]
        if parameters is not None:
            img = degrade(np.ascontiguousarray(img, np.float32) / np.float32(255), parameters[name])
            img = np.rint(img * 255).astype(np.uint8)
        return [Record(f'{stem(name)}.png', img.shape, FAST, encode_png(img))]

    produce(paths, make, str(target), way, kind='pairs')
    write_lmdb([str(target)], f'{target}.lmdb', workers=way.workers, progress=False)
