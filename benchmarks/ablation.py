"""What each part of LabNet contributes: variants trained on equal terms, one table.

Every variant of options/ablation/LabNet-T_x4.yml sees the same crops under the same degradations in the same order for
the same number of steps (a sample depends on the seed and its number in the run alone), and is tested on the last EMA
weights. Several seeds show how far a difference can be chance. Runs that the JSON holds already are not repeated.

    python benchmarks/ablation.py --train datasets/train/BSDS500/train --test datasets/benchmark/Set5 --seeds 0 1
    python benchmarks/ablation.py --table benchmarks/ablation.md        # only the table, from the JSON
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import yaml

from stea_arch.results.files import read_json
from stea_arch.system.plain_values import parse_value
from stea_arch.system.versions import get_versions

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / 'options/ablation/LabNet-T_x4.yml'
# name -> (row of the table, what differs from the file)
VARIANTS = {
    'stea': ('STEA, dilations 2, 4, 6 (published)', []),
    'ttea': ('TTEA', ['attention=ttea']),
    'taylor1': ('Taylor, order 1', ['attention=taylor', 'taylor_order=1']),
    'taylor2': ('Taylor, order 2', ['attention=taylor', 'taylor_order=2']),
    'taylor3': ('Taylor, order 3', ['attention=taylor', 'taylor_order=3']),
    'softmax': ('softmax', ['attention=softmax']),
    'no_attention': ('no attention', ['attention=none']),
    'partial': ('STEA, partial padding', ['padding=partial']),
    'dilations_2': ('STEA, dilation 2', ['dilations=[2]']),
    'dilations_2_4': ('STEA, dilations 2, 4', ['dilations=[2,4]']),
    'no_large_field': ('STEA, no large field', ['large_field=false']),
    'neither': ('no attention, no large field', ['attention=none', 'large_field=false']),
}


def run_entry(module, options, folder, *arguments):
    """``python -m module`` in ``folder``; what it said comes only if it failed."""
    command = [sys.executable, '-m', module, '-opt', str(options), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}')


def measure(variant, seed, args):
    """Train and test one variant with one seed, as a dict for the JSON."""
    network = [f'network_g:{entry}' for entry in VARIANTS[variant][1]]
    name = f'ablation_{variant}_seed{seed}'
    weights = args.work / 'experiments' / name / 'models/net_g_latest.pth'
    train = [f'name={name}', f'manual_seed={seed}', f'datasets:train:dataroot_gt={args.train.resolve()}', *network]
    run_entry('stea_arch.train', TRAIN, args.work, '--force_yml', *train)
    changed = dict(entry.split('=') for entry in VARIANTS[variant][1])
    section = {'from': str(TRAIN), 'network_g': {key: parse_value(value) for key, value in changed.items()}}
    comparison = {
        'name': name,
        'scales': [4],
        'networks': {name: {**section, 'weights': str(weights)}},
        'datasets': {'test': {'protocol': 'gaussian8', 'gt': str(args.test.resolve()), 'num_kernels': args.kernels}},
        'crops': {'rows': 0},
    }
    file = args.work / f'{name}.yml'
    file.write_text(yaml.safe_dump(comparison), encoding='utf-8')
    run_entry('stea_arch.commands.compare', file, args.work)
    result = read_json(args.work / 'results/compare' / name / f'test_x4/{name}.json')
    return {'variant': variant, 'seed': seed, 'parameters': result['parameters'], **result['mean']}


def read_protocol(args):
    """What the numbers depend on, beside the variant and the seed."""
    opt = yaml.safe_load(TRAIN.read_text(encoding='utf-8'))
    train = opt['datasets']['train']
    return {
        'network': 'LabNet-T x4',
        'trained_on': '/'.join(args.train.resolve().parts[-2:]),
        'tested_on': f'{args.test.name}, {args.kernels} kernels of sigma 1.8 to 3.2, on Y',
        'iterations': opt['train']['total_iter'],
        'batch': train['batch_size_per_gpu'],
        'lq_patch': train['gt_size'] // opt['scale'],
    }


def make_table(report):
    """Markdown: a row a variant, in the order of ``VARIANTS``; means over its seeds, and the gain with each of them.

    A seed moves all variants alike, as they see the same samples: gains tell more than the range of the results.
    """
    lines = ['| variant | parameters | PSNR / SSIM | to published (with each seed) |', '|---|---|---|---|']
    runs = {name: [run for run in report['runs'] if run['variant'] == name] for name in VARIANTS}
    for name, (label, _) in VARIANTS.items():
        if not runs[name]:
            continue
        psnr = [run['psnr'] for run in runs[name]]
        own = {run['seed']: run['psnr'] for run in runs[name]}
        published = {run['seed']: run['psnr'] for run in runs['stea']}
        gains = [value - published[seed] for seed, value in own.items() if seed in published]
        gain = ''
        if gains and name != 'stea':
            gain = f'{statistics.mean(gains):+.3f} ({", ".join(f"{value:+.3f}" for value in gains)})'
        means = f'{statistics.mean(psnr):.2f} / {statistics.mean(run["ssim"] for run in runs[name]):.4f}'
        lines.append(f'| {label} | {runs[name][0]["parameters"]:,} | {means} | {gain} |')
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--train', type=Path, help='folder of training photographs; without it only the table is made')
    parser.add_argument('--test', type=Path, help='folder of HR test images, e.g. Set5')
    parser.add_argument('--variants', nargs='+', choices=VARIANTS, default=list(VARIANTS), metavar='NAME')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--kernels', type=int, default=8, help='blur kernels of the test (softmax takes minutes each)')
    parser.add_argument('--work', type=Path, default=Path('.'), help='experiments/ and results/ are made here')
    parser.add_argument('--out', type=Path, default=ROOT / 'benchmarks/ablation.json')
    parser.add_argument('--table', type=Path, help='also write the table to this Markdown file')
    args = parser.parse_args()
    args.work = args.work.resolve()

    report = json.loads(args.out.read_text(encoding='utf-8')) if args.out.is_file() else {'runs': []}
    if args.train:
        if not args.test:
            parser.error('--train needs --test, the folder of the images to test on')
        protocol = read_protocol(args)
        if report.setdefault('protocol', protocol) != protocol:
            parser.error(f'{args.out} holds runs of another protocol, {report["protocol"]}: name another --out')
        report['versions'] = get_versions()
        done = {(run['variant'], run['seed']) for run in report['runs']}
        for variant, seed in ((v, s) for s in args.seeds for v in args.variants if (v, s) not in done):
            report['runs'].append(measure(variant, seed, args))
            print(json.dumps(report['runs'][-1]), flush=True)
            args.out.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    table = make_table(report)
    print(table)
    if args.table:
        args.table.write_text(table + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
