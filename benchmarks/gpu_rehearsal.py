"""Rehearses, without a GPU, what is to happen on a machine that has one and no network.

    python benchmarks/gpu_pack.py pack --python 3.11 datasets/train/photos datasets/benchmark/Set5
    python benchmarks/gpu_rehearsal.py pack --train photos --test Set5

Installs from the folder that gpu_pack.py made for this Python, and runs gpu.py and gpu_training.py at toy sizes, in
processes that may import what comes with PyTorch over there, the package itself and what was packed, and that have no
network. Then the checkpoint that was trained there is resumed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# what such a machine has, as names of modules
THERE = (
    'torch', 'torchvision', 'torchgen', 'functorch', 'triton', 'numpy', 'cv2', 'scipy', 'skimage', 'PIL', 'tqdm',
    'safetensors', 'tifffile', 'yaml', '_yaml', 'requests', 'urllib3', 'certifi', 'idna', 'charset_normalizer', 'sympy',
    'mpmath', 'networkx', 'jinja2', 'markupsafe', 'filelock', 'psutil', 'fsspec', 'typing_extensions', 'setuptools',
    'packaging', '_distutils_hack', 'pkg_resources', 'einops', 'tensorboard', 'imageio', 'lazy_loader', 'absl',
    'google', 'grpc', 'werkzeug', 'markdown', 'ml_dtypes', 'tensorboard_data_server',
)  # fmt: skip
# Run at the start of each process: modules beyond that are not found, and connections are refused.
GUARD = """
import importlib.machinery, os, socket, sys
there = os.environ['REHEARSAL_THERE'].split()

class Guard:
    @staticmethod
    def find_spec(name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        installed = path is None and spec is not None and 'site-packages' in str(spec.origin or '')
        return None if installed and name not in there else spec

connect = socket.socket.connect

def connect_here(self, address):
    if self.family != socket.AF_UNIX:  # which processes of one machine talk by
        raise OSError('there is no network over there')
    return connect(self, address)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Guard
socket.socket.connect = connect_here
"""
SMALL = [
    'datasets:train:gt_size=32', 'datasets:train:batch_size_per_gpu=2', 'network_g:num_feat=16',
    'network_g:num_blocks=[1, 1, 1, 1, 1, 1]', 'network_g:dilations=[1]', 'logger:save_checkpoint_freq=5',
]  # fmt: skip


def set_up(folder, pack):
    """Install what was packed and write the guard: the environment of the processes there."""
    site, guard = folder / 'site', folder / 'guard'
    pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-index', '--no-deps', '--target', str(site)]
    subprocess.run([*pip, *map(str, sorted((pack / 'wheels').glob('*.whl')))], check=True)
    guard.mkdir()
    (guard / 'sitecustomize.py').write_text(GUARD)
    return {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(map(str, (guard, site, ROOT))),
        'REHEARSAL_THERE': ' '.join(THERE),
    }


def run(folder, environment, *command):
    """Run Python with ``command`` in ``folder``."""
    print('$ python', *command, flush=True)
    subprocess.run([sys.executable, *map(str, command)], cwd=folder, env=environment, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pack', type=Path, help='folder that gpu_pack.py made')
    parser.add_argument('--train', required=True, help='folder of images in its data to train on')
    parser.add_argument('--test', required=True, help='folder of images in its data to test on')
    args = parser.parse_args()
    data = args.pack.resolve() / 'data'
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        there = set_up(folder, args.pack.resolve())
        run(folder, there, ROOT / 'benchmarks' / 'gpu.py', '--toy', '--minutes', 3, '--out', 'gpu.json')
        rows = json.loads((folder / 'gpu.json').read_text())['results']
        failed = [row['name'] for row in rows if 'error' in row and 'graph' not in row['name']]  # graphs need a GPU
        failed += [row['name'] for row in rows if not row.get('correct', True)]
        if failed:
            raise SystemExit(f'These results of gpu.py are wrong or missing: {failed}')

        options = ROOT / 'options' / 'train' / 'LabNet-S_x4_gpu.yml'
        sets = [f'datasets:train:dataroot_gt={data / args.train}', f'datasets:val:dataroot_gt={data / args.test}']
        timed = ['--out', 'training.json', '--seconds', 1, '--force_yml', *sets, *SMALL]
        training = [ROOT / 'benchmarks' / 'gpu_training.py', '-opt', options]
        run(folder, there, *training, '--minutes', 0.5, *timed)
        run(folder, there, *training, '--train-minutes', 0.4, *timed)
        failed = [
            case for cases in json.loads((folder / 'training.json').read_text()).values() for case in cases.items()
        ]
        failed = [case for case in failed if isinstance(case[1], dict) and 'error' in case[1]]
        if failed:
            raise SystemExit(f'These results of gpu_training.py are missing: {failed}')

        states = [int(path.stem) for path in folder.glob('experiments/*/training_states/*.state')]
        further = f'train:total_iter={max(states) + 5}'
        here = {**os.environ, 'PYTHONPATH': str(ROOT)}
        resumed = ['-m', 'stea_arch.train', '-opt', options, '--auto_resume', '--force_yml', *sets, *SMALL, further]
        run(folder, here, *resumed)
        now = [int(path.stem) for path in folder.glob('experiments/*/training_states/*.state')]
        if max(now) != max(states) + 5:
            raise SystemExit(f'The checkpoint was not resumed: there are states of the steps {sorted(now)}.')
    print('The rehearsal has passed.')


if __name__ == '__main__':
    main()
