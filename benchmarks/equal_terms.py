"""Train several networks on equal terms: the same images, patches, batches, optimiser, schedule and seed.

Each option file gives a network; everything else is overridden alike. With ``--iterations`` all of them take the same
number of steps. With ``--cpu-minutes`` all of them get the same processor time: the steps of all networks are timed in
turn first, and each then takes as many as fit. A run that was stopped goes on where it stopped.

    python benchmarks/equal_terms.py --data datasets/train.lmdb --val datasets/benchmark/Set5 --cpu-minutes 15

The weights land in experiments/equal_<name>/models/net_g_latest.pth, where options/compare/equal_x4.yml finds them.
"""

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from stea_arch.options import read_options
from stea_arch.system.versions import get_versions

OPTIONS = [f'options/train/{name}_x4.yml' for name in ('LabNet-S', 'EDSR', 'RCAN-S', 'SwinIR-light', 'RRDBNet-S')]

# after the plugin, which mends what basicsr needs to be imported
build_network = importlib.import_module('basicsr.archs').build_network


def overrides(opt, args, iterations):
    """The same for every network but for its name and, under equal time, its number of iterations."""
    lmdb = args.data.suffix == '.lmdb'
    values = {
        'name': f'equal_{opt["name"]}',
        'manual_seed': args.seed,
        'datasets:train:dataroot_gt': args.data,
        'datasets:train:io_backend:type': 'lmdb' if lmdb else 'disk',
        'datasets:train:gt_size': args.gt_size,
        'datasets:train:batch_size_per_gpu': args.batch,
        'datasets:train:num_worker_per_gpu': 1,
        'datasets:train:dataset_enlarge_ratio': 100,
        'datasets:val:dataroot_gt': args.val,
        'train:ema_decay': args.ema_decay,
        'train:optim_g:lr': args.lr,
        'train:total_iter': iterations,
        'train:scheduler:milestones': f'[{", ".join(str(int(iterations * part)) for part in (0.5, 0.75, 0.9))}]',
        'val:val_freq': iterations,
        'logger:save_checkpoint_freq': max(1, iterations // 4),
        'logger:use_tb_logger': 'false',
    }
    return [f'{key}={value}' for key, value in values.items()]


def step_seconds(options, args, rounds=3):
    """Processor seconds of a training step of every network, from interleaved rounds after one to warm up."""
    lq = torch.rand(args.batch, 3, args.gt_size // 4, args.gt_size // 4)
    nets = [build_network(opt['network_g']) for opt in options]
    optimizers = [torch.optim.Adam(net.parameters(), 1e-5) for net in nets]
    seconds = [[] for _ in nets]
    for _ in range(rounds + 1):
        for net, optimizer, own in zip(nets, optimizers, seconds):
            start = time.process_time()
            optimizer.zero_grad()
            net(lq).abs().mean().backward()
            optimizer.step()
            own.append(time.process_time() - start)
    return [statistics.median(own[1:]) for own in seconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('options', nargs='*', default=OPTIONS, help='training option files, all x4')
    parser.add_argument('--data', type=Path, required=True, help='LMDB or folder of training images')
    parser.add_argument('--val', type=Path, required=True, help='folder of the validation images')
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument('--iterations', type=int, help='the same number of steps for every network')
    length.add_argument('--cpu-minutes', type=float, help='the same processor time for every network')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--gt-size', type=int, default=128, help='side of the ground-truth patches')
    parser.add_argument('--lr', type=float, default=4e-4)
    parser.add_argument('--ema-decay', type=float, default=0.99)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/equal_terms.json'))
    args = parser.parse_args()

    options = [read_options(path, (), is_train=True, check_files=False) for path in args.options]
    terms = {key: str(value) for key, value in vars(args).items() if key != 'out'}
    begun = json.loads(args.out.read_text()) if args.out.is_file() else {}
    if args.iterations:
        iterations, seconds = [args.iterations] * len(options), None
    elif begun.get('terms') == terms:  # timed anew, a run that goes on would get another length
        iterations, seconds = begun['iterations'], begun['step_cpu_seconds']
    else:
        seconds = [round(step, 3) for step in step_seconds(options, args)]
        iterations = [max(4, int(args.cpu_minutes * 60 / step)) for step in seconds]
    report = {
        'terms': terms,
        'threads': torch.get_num_threads(),
        'versions': get_versions(),
        'iterations': iterations,
        'step_cpu_seconds': seconds,
        'networks': [],
    }
    args.out.write_text(json.dumps(report, indent=2) + '\n')
    for path, opt, steps in zip(args.options, options, iterations):
        print(f'{opt["name"]}: {steps} iterations', flush=True)
        command = [sys.executable, '-m', 'stea_arch.train', '-opt', path, '--auto_resume', '--force_yml']
        done = subprocess.run(command + overrides(opt, args, steps), check=False)
        if done.returncode:
            raise SystemExit(f'{path}: the training ended with status {done.returncode}; its message is above.')
        validations = Path('experiments', f'equal_{opt["name"]}', 'validations.jsonl').read_text().splitlines()
        report['networks'].append(
            {
                'name': opt['name'],
                'options': path,
                'parameters': sum(p.numel() for p in build_network(opt['network_g']).parameters()),
                'iterations': steps,
                'validation': json.loads(validations[-1])['mean'],
            }
        )
        args.out.write_text(json.dumps(report, indent=2) + '\n')
        print(json.dumps(report['networks'][-1]), flush=True)


if __name__ == '__main__':
    main()
