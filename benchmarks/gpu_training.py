"""The training itself on a GPU: pairs a second of the data side, steps a second of BasicSR's loop, and a training run.

    python benchmarks/gpu_training.py -opt options/train/LabNet-S_x4_gpu.yml --out training.json --minutes 1
    python benchmarks/gpu_training.py -opt options/train/LabNet-S_x4_gpu.yml --out training.json --train-minutes 5

The first command times: the option file as it is, with ``train.cuda_graph`` and ``train.compile`` on and off; data made
by loader processes and data that stays on the device. The second trains for so long: total_iter, and the schedule with
it, are set by the steps a second that were timed first. The run resumes like any other.
"""

import argparse
import functools
import importlib
import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import torch

from stea_arch import triton_ops
from stea_arch.options import read_options
from stea_arch.system.files import whole_or_nothing
from stea_arch.system.versions import get_versions

train = importlib.import_module('basicsr.train')  # after the plugin, which mends what basicsr needs to be imported
build_model = importlib.import_module('basicsr.models').build_model

QUIET = logging.Logger('quiet', logging.CRITICAL)  # while a part is timed
WARM_UP = 30  # steps or batches: loaders start, libraries choose, graphs are recorded


def load(args, overrides):
    """Options as ``stea-train`` would read them, with directories that nothing is written to."""
    words = ['gpu_training', '-opt', str(args.opt), '--force_yml', 'name=timed', *args.force_yml, *overrides]
    with mock.patch.object(sys, 'argv', words):
        read_options(args.opt, words[4:], is_train=True)
        opt, _ = importlib.import_module('basicsr.utils.options').parse_options(str(Path.cwd()), is_train=True)
    opt['datasets'].pop('val', None)
    return opt


def endless(loader):
    """Batches of one epoch after the other."""
    while True:
        yield from loader


def settle(device):
    """Wait until the device has nothing left to do."""
    if device == 'cuda':
        torch.cuda.synchronize()


def rate(function, seconds, device):
    """Calls of ``function`` a second."""
    for _ in range(WARM_UP):
        function()
    settle(device)
    start, calls = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        for _ in range(10):
            function()
        calls += 10
    settle(device)
    return calls / (time.monotonic() - start)


def time_data(args, device, overrides):
    """Pairs a second that arrive on the device, and nothing is done with."""
    opt = load(args, overrides)
    loader, sampler, *_ = train.create_train_val_dataloader(opt, QUIET)
    sampler.set_epoch(0)
    batches = endless(loader)
    take = lambda: [value.to(device) for value in next(batches).values() if torch.is_tensor(value)]  # noqa: E731
    batch = opt['datasets']['train']['batch_size_per_gpu']
    return {'pairs_per_second': round(batch * rate(take, args.seconds, device), 1)}


def time_steps(args, device, overrides, kernels=False):
    """Steps a second of BasicSR's loop: rate, data, step; with the Triton kernels on, where they are asked for."""
    if kernels:
        triton_ops.enable(planes=True)
    else:
        triton_ops.disable()
    opt = load(args, overrides)
    start = time.monotonic()
    loader, sampler, *_ = train.create_train_val_dataloader(opt, QUIET)
    sampler.set_epoch(0)
    model, batches, done = build_model(opt), endless(loader), 0

    def step():
        nonlocal done
        done += 1
        model.update_learning_rate(done, opt['train'].get('warmup_iter', -1))
        model.feed_data(next(batches))
        model.optimize_parameters(done)

    step()
    settle(device)
    ready = time.monotonic() - start
    steps = rate(step, args.seconds, device)
    batch = opt['datasets']['train']['batch_size_per_gpu']
    peak = round(torch.cuda.max_memory_allocated() / 2**20) if device == 'cuda' else None
    losses = {name: round(value, 5) for name, value in model.get_current_log().items()}
    return {
        'steps_per_second': round(steps, 2),
        'pairs_per_second': round(steps * batch, 1),
        'ready_seconds': round(ready, 1),
        'peak_mib': peak,
        'after': {'steps': done, **losses},
    }


def list_cases(device):
    """Name -> (function, what is changed in the option file)."""
    graph, plain = 'train:cuda_graph=true', 'train:cuda_graph=false'
    alone, compiled = 'train:compile=~', 'train:compile=blocks'
    here, loaded = 'datasets:train:device_images=true', 'datasets:train:device_images=false'
    cases = {
        'step, graph': (time_steps, [graph, alone]),
        'step, graph, kernels': (functools.partial(time_steps, kernels=True), [graph, alone]),
        'step, graph, kernels, compiled blocks': (functools.partial(time_steps, kernels=True), [graph, compiled]),
        'step, graph, compiled blocks': (time_steps, [graph, compiled]),
        'data, on the device': (time_data, [here]),
        'step, eager': (time_steps, [plain, alone]),
        'data, 16 workers': (time_data, [loaded, 'datasets:train:num_worker_per_gpu=16']),
        'data, 8 workers': (time_data, [loaded, 'datasets:train:num_worker_per_gpu=8']),
    }
    on_cpu = {name: case for name, case in cases.items() if 'compiled' not in name and 'kernels' not in name}
    return cases if device == 'cuda' else on_cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-opt', type=Path, required=True, help='training option file')
    parser.add_argument('--force_yml', nargs='+', default=[], metavar='KEY:KEY=VALUE', help='changes of the file')
    parser.add_argument('--out', type=Path, required=True, help='JSON; results of other cases in it are kept')
    parser.add_argument('--minutes', type=float, default=1, help='no case is begun after this time')
    parser.add_argument('--seconds', type=float, default=3, help='of each case, after it is ready')
    parser.add_argument('--train-minutes', type=float, help='train for so long instead')
    args = parser.parse_args()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.backends.cudnn.benchmark = True
    report = json.loads(args.out.read_text()) if args.out.is_file() else {}
    report.setdefault(str(args.opt), {}).update(versions=get_versions(), changes=args.force_yml)
    results = report[str(args.opt)]

    def keep(name, function, *rest):
        try:
            results[name] = function(args, device, *rest)
        except Exception as error:
            results[name] = {'error': f'{type(error).__name__}: {error}'[:2000]}
        print(name, json.dumps(results[name]), flush=True)
        with whole_or_nothing(args.out) as partial:
            partial.write_text(json.dumps(report, indent=1) + '\n')

    end = time.monotonic() + 60 * args.minutes
    if args.train_minutes is None:
        for name, (function, overrides) in list_cases(device).items():
            if time.monotonic() < end:
                keep(name, function, overrides)
        return
    end = time.monotonic() + 60 * args.train_minutes
    keep('before training', time_steps, [])
    steps = int((end - time.monotonic()) * results['before training']['steps_per_second'])
    print(f'{steps} steps', flush=True)
    schedule = 'milestones', [round(steps * part) for part in (0.5, 0.75, 0.9)]
    if load(args, [])['train']['scheduler']['type'] == 'CosineAnnealingRestartLR':
        schedule = 'periods', [steps]
    changes = [f'train:total_iter={steps}', 'train:scheduler:{}={}'.format(*schedule), f'val:val_freq={steps}']
    command = [sys.executable, '-m', 'stea_arch.train', '-opt', str(args.opt), '--auto_resume', '--force_yml']
    subprocess.run([*command, *args.force_yml, *changes], check=True)


if __name__ == '__main__':
    main()
