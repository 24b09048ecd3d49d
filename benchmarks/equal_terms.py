"""Networks trained on equal terms: the same processor time, images, patches, batches, schedule and precision.

Each network has a learning rate of its own, and as many steps as fit into the time. A step is timed as it runs in the
training, data included, in turn with those of the other networks; one that is added later is timed in turn with the
first, and the ratio counts: a busy machine favours nobody. Networks see the same samples where their seeds agree.

    python benchmarks/equal_terms.py LabNet-S=1.2e-3 EDSR=4e-4 --cpu-minutes 16 --seeds 0 1 2 --kernels 4 --images 10

NAME=RATE is options/train/NAME_x4.yml with this learning rate. A variant has a label and other values too, as of
--force_yml; a search is a few variants with little time:

    python benchmarks/equal_terms.py --out results/search.json --cpu-minutes 8 \\
        --variant deep LabNet-S=1.6e-3 network_g:num_blocks=[2,2,4,2,1,1] --variant L2 LabNet-S=8e-4 ...

The same command continues what was stopped and repeats nothing; --out holds results on the same terms and tests only.
Without networks the table and the plot are made from it, those that are published from what was measured for them:

    python benchmarks/equal_terms.py --out benchmarks/equal_terms.json --plot benchmarks/equal_terms.png

Weights: experiments/<stem of --out>_<label>_seed<seed>/models/net_g_latest.pth. A run's cpu_minutes are of all its
starts, added up in its folder; in benchmarks/equal_terms*.json a resumed run counts only from its last start. Linux and
macOS.
"""

import argparse
import functools
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml
from plots import load_pyplot
from torch.utils.data import default_collate

from stea_arch.compare.evaluate import compare_one, metric_options
from stea_arch.compare.networks import Network, describe
from stea_arch.compare.testsets import TestSet
from stea_arch.options import read_options
from stea_arch.results.files import read_json, write_json
from stea_arch.system.allocator import give_back_memory, keep_freed_memory
from stea_arch.system.versions import get_versions

from basicsr.data import build_dataset  # isort: skip  (after the plugin, which mends what basicsr needs)
from basicsr.models import build_model  # isort: skip

ROOT = Path(__file__).resolve().parents[1]
SETS = ('Set5', 'Set14', 'BSD100', 'Urban100')
POINTS, CURVE_KERNELS = 8, 2  # of the curve: how often, and under how many of the blurs, Set5 is tested meanwhile
TERMS = ('data', 'cpu_minutes', 'batch', 'gt_size', 'ema_decay', 'amp')


def read_network(text):
    """``NAME=RATE`` -> how one network is trained, as kept in the JSON."""
    name, _, rate = text.partition('=')
    try:
        return {'label': name, 'options': f'options/train/{name}_x4.yml', 'lr': float(rate), 'overrides': []}
    except ValueError:
        raise argparse.ArgumentTypeError(f'expected NAME=RATE, such as EDSR=4e-4, got {text!r}') from None


def run_name(network, seed, args):
    return f'{args.out.stem}_{network["label"]}_seed{seed}'


def training_options(network, args, seed=0, iterations=1000):
    """The content of the option file of one run: the same for all networks but for name, rate, steps and overrides."""
    force = {
        'name': run_name(network, seed, args),
        'num_gpu': 0,
        'manual_seed': seed,
        'datasets:train:dataroot_gt': args.data,
        'datasets:train:io_backend:type': 'lmdb' if args.data.suffix == '.lmdb' else 'disk',
        'datasets:train:gt_size': args.gt_size,
        'datasets:train:batch_size_per_gpu': args.batch,
        'datasets:train:num_worker_per_gpu': 0,  # what makes the data counts as the training's time
        'datasets:train:dataset_enlarge_ratio': 100,
        'datasets:train:pin_memory': 'false',
        'datasets:val:dataroot_gt': args.benchmark / 'Set5',
        'datasets:val:num_kernels': CURVE_KERNELS,
        'train:amp': args.amp or '~',
        'train:ema_decay': args.ema_decay,
        'train:optim_g:lr': network['lr'],
        'train:total_iter': iterations,
        'train:warmup_iter': iterations // 20,
        'val:val_freq': math.ceil(iterations / POINTS),
        'logger:save_checkpoint_freq': math.ceil(iterations / POINTS),
        'logger:keep_checkpoints': 1,
        'logger:use_tb_logger': 'false',
    }
    force = [f'{key}={value}' for key, value in force.items()] + network['overrides']
    opt = read_options(ROOT / network['options'], force, is_train=True, check_files=False)
    cosine = {'type': 'CosineAnnealingRestartLR', 'periods': [iterations], 'restart_weights': [1], 'eta_min': 1e-7}
    opt['train']['scheduler'] = cosine
    return opt


def training_step(network, args):
    """A function that trains one step, and the number of parameters."""
    opt = training_options(network, args)
    running = {'dist': False, 'rank': 0, 'world_size': 1, 'is_train': True}
    model = build_model({**opt, **running})
    dataset = build_dataset({**opt['datasets']['train'], 'phase': 'train', 'scale': opt['scale']})
    size = opt['datasets']['train']['batch_size_per_gpu']

    def step(number):
        batch = range(number * size, (number + 1) * size)
        model.feed_data(default_collate([dataset[index % len(dataset)] for index in batch]))
        model.optimize_parameters(number + 1)

    return step, sum(p.numel() for p in model.net_g.parameters())


def plan(networks, known, args):
    """Time those that are not ``known`` and add them to it, with their number of steps."""
    new = [network for network in networks if network['label'] not in known]
    reference = list(known.values())[:1]
    timed = reference + new
    if not new:
        return
    keep_freed_memory()
    steps, parameters = zip(*(training_step(network, args) for network in timed), strict=True)
    seconds = [[] for _ in timed]
    for number in range(args.rounds + 2):  # two to warm up
        for step, own in zip(steps, seconds, strict=True):
            step(2 * number)  # not timed: it finds another network's data in the caches
            start = time.process_time()
            step(2 * number + 1)
            own.append(time.process_time() - start)
    medians = [statistics.median(own[2:]) for own in seconds]
    busy = medians[0] / reference[0]['step_cpu_seconds'] if reference else 1
    for network, median, count in list(zip(timed, medians, parameters, strict=True))[len(reference) :]:
        step_seconds = median / busy
        known[network['label']] = {
            **network,
            'parameters': count,
            'step_cpu_seconds': round(step_seconds, 4),
            'iterations': max(POINTS, round(args.cpu_minutes * 60 / step_seconds)),
        }


def train(network, seed, args):
    """Train one network with one seed, from where it was stopped. Returns its entry of ``runs``."""
    name = run_name(network, seed, args)
    file = Path('experiments', f'{name}.yml')
    file.parent.mkdir(exist_ok=True)
    opt = training_options(network, args, seed, network['iterations'])
    file.write_text(yaml.safe_dump(opt, sort_keys=False), encoding='utf-8')
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run([sys.executable, '-m', 'stea_arch.train', '-opt', file, '--auto_resume'], check=False)
    finally:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        seconds = add_up(seconds, Path('experiments', name))
    if done.returncode:
        raise SystemExit(f'{file}: the training ended with status {done.returncode}; its message is above.')
    lines = Path('experiments', name, 'validations.jsonl').read_text(encoding='utf-8').splitlines()
    return {
        'network': network['label'],
        'seed': seed,
        'cpu_minutes': round(seconds / 60, 2),
        'curve': [[line['iter'], round(line['mean']['psnr'], 4)] for line in map(json.loads, lines)],
    }


def add_up(seconds, folder):
    """Processor time of all starts of a run, of which the last has just ended; its folder keeps it, if there is one."""
    file = folder / 'cpu_seconds.txt'
    if file.is_file():
        seconds += float(file.read_text(encoding='utf-8'))
    if folder.is_dir():
        file.write_text(f'{seconds}\n', encoding='utf-8')
    return seconds


def find_sets(args):
    return [dataset for dataset in SETS if (args.benchmark / dataset).is_dir()]


def test(network, seed, args):
    """Results of the last running mean of one run, ``{set: {'psnr': float, 'ssim': float}}``."""
    name = run_name(network, seed, args)
    section = {
        'network_g': training_options(network, args)['network_g'],
        'weights': f'experiments/{name}/models/net_g_latest.pth',
        'param_key': 'params_ema',
    }
    opt = {'scales': [4], 'num_gpu': 0, 'networks': {name: section}}
    opened = functools.cache(lambda: Network(opt, name, 4))
    results = {}
    for dataset in find_sets(args):
        how = {'protocol': 'gaussian8', 'gt': str(args.benchmark / dataset), 'num_kernels': args.kernels}
        testset = TestSet(dataset, how, 4)
        if args.images:
            names = testset.gt.names
            used = names[:: math.ceil(len(names) / args.images)]
            testset = TestSet(dataset, {**how, 'leave_out': [n for n in names if n not in used]}, 4)
        folder, metrics = Path('results', args.out.stem, dataset), metric_options(('psnr', 'ssim'), 4, True)
        about = describe(opt, name, 4)
        result, _ = compare_one(opened, about, testset, testset.fingerprint(), metrics, folder, {})
        results[dataset] = {metric: round(value, 4) for metric, value in result['mean'].items()}
    return results


def make_table(report):
    """Markdown: a row a network, means over its seeds, the range of the PSNR behind them."""
    tested = [run for run in report['runs'] if 'sets' in run]
    sets = list(tested[0]['sets']) if tested else []
    lines = ['| network | parameters | rate | s a step | steps | seeds | ' + ' | '.join(sets) + ' |']
    lines.append('|---' * (6 + len(sets)) + '|')
    for label, about in report['networks'].items():
        runs = [run for run in tested if run['network'] == label]
        cells = [label, f'{about["parameters"]:,}', f'{about["lr"]:g}', f'{about["step_cpu_seconds"]:.2f}']
        cells += [str(about['iterations']), str(len(runs))]
        for dataset in sets if runs else ():
            psnr = [run['sets'][dataset]['psnr'] for run in runs]
            ssim = statistics.mean(run['sets'][dataset]['ssim'] for run in runs)
            spread = f' (±{(max(psnr) - min(psnr)) / 2:.2f})' if len(psnr) > 1 else ''
            cells.append(f'{statistics.mean(psnr):.2f}{spread} / {ssim:.4f}')
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def draw(report, pyplot, file):
    """PSNR on Set5 over processor minutes: the mean of a network's seeds, and their range as a band."""
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for label, about in report['networks'].items():
        curves = [run['curve'] for run in report['runs'] if run['network'] == label]
        if curves:
            minutes = [step * about['step_cpu_seconds'] / 60 for step, _ in curves[0]]
            values = list(zip(*([psnr for _, psnr in curve] for curve in curves), strict=True))
            (line,) = axes.plot(minutes, [statistics.mean(v) for v in values], marker='.', label=label)
            low, high = ([pick(v) for v in values] for pick in (min, max))
            axes.fill_between(minutes, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xlabel('processor minutes')
    axes.set_ylabel('PSNR on Set5 (sigma 1.8 and 3.2), dB')
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('networks', nargs='*', type=read_network, metavar='NAME=RATE')
    parser.add_argument('--variant', nargs='+', action='append', default=[], metavar='LABEL NAME=RATE KEY:KEY=VALUE')
    parser.add_argument('--data', type=Path, default=Path('datasets/train.lmdb'), help='LMDB or folder of images')
    parser.add_argument('--benchmark', type=Path, default=Path('datasets/benchmark'), help='folder of the test sets')
    parser.add_argument('--cpu-minutes', type=float, default=16, help='processor time of each training')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--gt-size', type=int, default=192, help='side of the ground-truth patches')
    parser.add_argument('--ema-decay', type=float, default=0.99)
    parser.add_argument('--amp', choices=['bf16'], help='mixed precision')
    parser.add_argument('--rounds', type=int, default=15, help='how often the steps are timed')
    parser.add_argument('--kernels', type=int, default=8, help='blur kernels of the tests')
    parser.add_argument('--images', type=int, help='at most this many images of each test set, evenly chosen')
    parser.add_argument('--out', type=Path, default=Path('results/equal_terms.json'), help='JSON of all runs')
    parser.add_argument('--plot', type=Path, help='draw the curves here')
    args = parser.parse_args()
    networks = list(args.networks)
    for label, name, *overrides in args.variant:
        networks.append({**read_network(name), 'label': label, 'overrides': overrides})
    pyplot = load_pyplot() if args.plot else None

    report = read_json(args.out) or {'networks': {}, 'runs': []}

    def save():
        write_json(report, args.out)

    if not networks and not args.out.is_file():
        parser.error(f'there is no {args.out} to make a table from: name networks to train, or another --out')
    if networks:
        terms = {**{key: getattr(args, key) for key in TERMS}, 'data': str(args.data)}
        if report.setdefault('terms', terms) != terms:
            parser.error(f'{args.out} holds runs on other terms, {report["terms"]}: name another --out')
        for network in networks:
            kept = report['networks'].get(network['label'], network)
            if any(kept[key] != value for key, value in network.items()):
                parser.error(f'{args.out} holds another {network["label"]}, {kept}: give it another label')
        tested, sets = {'kernels': args.kernels, 'images': args.images}, find_sets(args)
        if SETS[0] not in sets:
            parser.error(f'expected {SETS[0]}, which the curve is measured on, in {args.benchmark}, but it has {sets}')
        held = next((list(run['sets']) for run in report['runs'] if 'sets' in run), None)
        if held and (report.get('tested'), held) != (tested, sets):
            own = f'holds results of {held} with {report.get("tested")}, not of {sets} with {tested}'
            parser.error(f'{args.out} {own}: test as there, or name another --out')
        report |= {'tested': tested, 'threads': torch.get_num_threads(), 'versions': get_versions()}
        plan(networks, report['networks'], args)
        give_back_memory()
        save()
    for seed, network in ((seed, report['networks'][n['label']]) for seed in args.seeds for n in networks):
        found = [run for run in report['runs'] if (run['network'], run['seed']) == (network['label'], seed)]
        if not found:
            print(f'{network["label"]}, seed {seed}: {network["iterations"]} steps', flush=True)
            found = [train(network, seed, args)]
            report['runs'] += found
            save()
        if 'sets' not in found[0]:
            found[0]['sets'] = test(network, seed, args)
            save()
            print(json.dumps(found[0]), flush=True)
    print(make_table(report))
    if pyplot:
        draw(report, pyplot, args.plot)


if __name__ == '__main__':
    main()
