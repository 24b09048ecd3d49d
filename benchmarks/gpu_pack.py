"""Packs what a machine with a GPU and PyTorch, but without network, lacks: wheels, and folders of images.

    python benchmarks/gpu_pack.py pack datasets/BSDS500 datasets/T91 datasets/benchmark/Set5
    there, in the root of a checkout with the folder pack in it:
    python -m pip install --no-index --no-deps --target site pack/wheels/*.whl
    PYTHONPATH=site:. python benchmarks/gpu.py --out gpu.json

Images go along as they are, each folder under its own name in ``data``. The wheels are for ``--python`` on x86-64
Linux; BasicSR's, of which there is none, is built here.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = {'.jpg', '.jpeg', '.png', '.webp'}
NEEDED = ['lmdb>=1.4', 'addict', 'future', 'yapf']  # what BasicSR needs beside what comes with PyTorch
BUILT = 'basicsr==1.4.2'
PLATFORMS = ['manylinux_2_28_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64']


def fetch_wheels(folder, python):
    """Put the wheels into ``folder``: BasicSR's for any Python, the others for ``python``, e.g. '3.12'."""
    pip = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']
    platforms = [word for platform in PLATFORMS for word in ('--platform', platform)]
    target = ['--only-binary', ':all:', '--python-version', python, '--implementation', 'cp', *platforms]
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([*pip, 'download', '--no-deps', *target, '--dest', scratch, *NEEDED], check=True)
        build = ['wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', scratch, BUILT]
        subprocess.run([*pip, *build], check=True)
        for wheel in Path(scratch).glob('*.whl'):
            shutil.copy2(wheel, folder)


def copy_images(source, folder):
    """Copy the images under ``source`` into ``folder``, named by their path; how many there were."""
    images = [path for path in sorted(source.rglob('*')) if path.suffix.lower() in IMAGES]
    if not images:
        raise SystemExit(f'There is no image ({", ".join(sorted(IMAGES))}) in {source}.')
    folder.mkdir(parents=True, exist_ok=True)
    for path in images:
        shutil.copyfile(path, folder / '_'.join(path.relative_to(source).parts))
    return len(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pack', type=Path, help='folder to fill; must not exist yet')
    parser.add_argument('images', type=Path, nargs='*', help='folders of images')
    parser.add_argument('--python', default='3.12', help='version of Python over there')
    parser.add_argument('--most', type=float, default=64, help='fail if the folder has more MiB than this')
    args = parser.parse_intermixed_args()
    if args.pack.exists():
        raise SystemExit(f'{args.pack} exists. Give the name of a new folder, or delete it.')
    for source in args.images:
        count = copy_images(source, args.pack / 'data' / source.resolve().name)
        print(f'{count:5} images from {source}')
    wheels = args.pack / 'wheels'
    wheels.mkdir(parents=True)
    fetch_wheels(wheels, args.python)
    print('\n'.join(f'      {path.name}' for path in sorted(wheels.iterdir())))
    size = sum(path.stat().st_size for path in args.pack.rglob('*') if path.is_file()) / 2**20
    print(f'{size:.1f} MiB in {args.pack}')
    if size > args.most:
        raise SystemExit(f'That is more than the {args.most:g} MiB that are allowed. Leave some images out.')


if __name__ == '__main__':
    main()
