"""The results of the shipped weights, for the model card: from a comparison's JSONs to one JSON and Markdown tables.

stea-compare -opt options/compare/weights_x4.yml
python benchmarks/weights_table.py              # benchmarks/weights.json, and the tables in stea_arch/weights/README.md
python benchmarks/weights_table.py --tables     # only the tables, from the JSON that is there
"""

import argparse
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / 'stea_arch/weights/README.md'
KEPT = ROOT / 'benchmarks/weights.json'
SETS = ('Set5', 'Set14', 'BSD100', 'Urban100')
BLOCK = re.compile(r'(<!-- benchmarks/weights_table.py -->\n).*?(<!-- end -->)', re.DOTALL)


def collect(folder, kept):
    """Put what the card needs of the results of one comparison into what was kept of earlier ones, row by row."""
    for name in SETS:
        rows = kept['sets'].get(name, {})
        for file in sorted((folder / f'{name}_x4').glob('*.json')):
            result = json.loads(file.read_text(encoding='utf-8'))
            rows[result['network']] = {
                'parameters': result['parameters'],
                'weights_sha256': result['weights_sha256'],
                **{metric: round(value, 4) for metric, value in result['mean'].items()},
                'kernels': {
                    kernel: [round(values['psnr'], 3), round(values['ssim'], 4)]
                    for kernel, values in result['groups'].items()
                },
                'images': result['test']['images'],
                'commit': result['commit'],
            }
            kept['versions'] = result['versions']
        if 'LabNet-S' in rows:
            kept['sets'][name] = rows


def tables(kept):
    """Two kinds of tables: means over the kernels, and every kernel of each set."""
    networks = sorted({network: None for rows in kept['sets'].values() for network in rows})
    lines = ['| PSNR / SSIM, mean of eight kernels | ' + ' | '.join(kept['sets']) + ' |']
    lines.append('|---' * (1 + len(kept['sets'])) + '|')
    for network in networks:
        cells = []
        for rows in kept['sets'].values():
            best = max(row['psnr'] for row in rows.values()) if len(rows) == len(networks) else None  # all were tested
            cell = f'{rows[network]["psnr"]:.2f} / {rows[network]["ssim"]:.4f}' if network in rows else ''
            cells.append(f'**{cell}**' if network in rows and rows[network]['psnr'] == best else cell)
        lines.append(f'| {network} | ' + ' | '.join(cells) + ' |')
    for name, rows in kept['sets'].items():
        kernels = list(next(iter(rows.values()))['kernels'])
        lines += ['', f'| {name}, PSNR at sigma | ' + ' | '.join(k.removeprefix('sigma') for k in kernels) + ' |']
        lines.append('|---' * (1 + len(kernels)) + '|')
        for network in networks:
            if network in rows:
                values = (f'{rows[network]["kernels"][kernel][0]:.2f}' for kernel in kernels)
                lines.append(f'| {network} | ' + ' | '.join(values) + ' |')
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--results', type=Path, default=Path('results/compare/weights_x4'))
    parser.add_argument('--tables', action='store_true', help='leave benchmarks/weights.json as it is')
    args = parser.parse_args()
    if not args.tables:
        if not args.results.is_dir():
            parser.error(
                f'{args.results} holds no results: run stea-compare -opt options/compare/weights_x4.yml first.'
            )
        kept = json.loads(KEPT.read_text(encoding='utf-8'))
        collect(args.results, kept)
        KEPT.write_text(json.dumps(kept, indent=1) + '\n', encoding='utf-8')
    text = tables(json.loads(KEPT.read_text(encoding='utf-8')))
    card = CARD.read_text(encoding='utf-8')
    CARD.write_text(BLOCK.sub(lambda block: block[1] + text + '\n' + block[2], card), encoding='utf-8')
    print(text)


if __name__ == '__main__':
    main()
