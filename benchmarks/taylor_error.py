"""How far the Taylor expansion of attention is from softmax, against the largest |q . k|, beside the proven bound.

Two things are measured in double precision, for the orders 1 to 3 and r = 0.05 to 4:

    weights    the largest |exp(s) - T_n(s)| / exp(s) over all pairs, s = q . k
    outputs    the largest difference of the two weighted means of the values, divided by the range of the values: of
               keys in random directions, and of keys at two opposite points, which makes most of the difference

The bound r^(n+1) / (n+1)! e^r (stea_arch/archs/taylor.py) holds for both; for outputs as long as T_n is positive, so
order 1 is only measured up to r = 1 and order 3 up to 1.596 there. LabNet keeps |q . k| below 0.9.

    python benchmarks/taylor_error.py        # writes taylor_error.json and taylor_error.png beside this file
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from plots import load_pyplot

from stea_arch.archs.attention import MAX_LOGIT
from stea_arch.archs.softmax import softmax_attention
from stea_arch.archs.taylor import error_bound, factorials, taylor_attention, taylor_statistics
from stea_arch.system.versions import get_versions

ORDERS = (1, 2, 3)
POSITIVE_UP_TO = {1: 1.0, 2: math.inf, 3: 1.596}
NUM_KEYS, KEY_DIM = 512, 4


def draw_directions(opposite):
    """Queries, keys ``(1, 1, d, N)`` of length 1 and values ``(1, 1, 3, N)``, the first query along the first key."""
    q, k = (F.normalize(torch.randn(1, 1, KEY_DIM, NUM_KEYS, dtype=torch.float64), dim=2) for _ in 'qk')
    v = torch.rand(1, 1, 3, NUM_KEYS, dtype=torch.float64)
    if opposite:
        k = k[..., :1] * torch.sign(torch.arange(NUM_KEYS) - NUM_KEYS / 2 + 0.5)
        v = (k[:, :, :1] > 0).double().expand_as(v).contiguous()  # all values of a point are alike
    q[..., 0] = k[..., 0]
    return q, k, v


def measure(r, order):
    """One point, as a dict for the JSON."""
    torch.manual_seed(0)
    point = {'r': round(r, 4), 'order': order, 'bound': error_bound(r, order)}
    for name in ('random', 'opposite'):
        q, k, v = draw_directions(opposite=name == 'opposite')
        q, k = q * math.sqrt(r), k * math.sqrt(r)
        if name == 'opposite':
            s = q.transpose(2, 3) @ k
            expanded = sum(s**n / math.factorial(n) for n in range(order + 1))
            point['weights'] = float(((s.exp() - expanded).abs() / s.exp()).max())
        if r < POSITIVE_UP_TO[order]:
            statistics = taylor_statistics(k, v, order)
            ours = taylor_attention(q, *statistics, order, factorials(KEY_DIM, order).double())
            point[f'outputs_{name}'] = float((ours - softmax_attention(q, k, v)).abs().max() / (v.max() - v.min()))
    worst = max(point[key] for key in point if key.startswith(('weights', 'outputs')))
    if worst > point['bound']:
        raise AssertionError(f'The bound does not hold: {point}. Either the proof or the code is wrong.')
    return point


def draw(report, path, pyplot):
    """The picture of the JSON."""
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout='constrained')
    for order, colour in zip(ORDERS, ('tab:red', 'tab:blue', 'tab:green')):
        points = [point for point in report['points'] if point['order'] == order]
        r, bound = ([point[key] for point in points] for key in ('r', 'bound'))
        panels[0].plot(r, bound, '--', color=colour, lw=1)
        panels[0].plot(r, [point['weights'] for point in points], color=colour, label=f'order {order}')
        some = [point for point in points if 'outputs_random' in point]
        panels[1].plot([p['r'] for p in some], [p['bound'] for p in some], '--', color=colour, lw=1)
        panels[1].plot([p['r'] for p in some], [p['outputs_opposite'] for p in some], color=colour)
        panels[1].plot([p['r'] for p in some], [p['outputs_random'] for p in some], ':', color=colour)
    for panel, title in zip(panels, ('weights: relative to exp(q·k)', 'outputs: relative to the range of the values')):
        panel.set(xscale='log', yscale='log', ylim=(1e-8, 1e3), xlabel='largest |q·k|', title=title)
        panel.axvline(MAX_LOGIT, color='grey', lw=1)
        panel.annotate(
            "LabNet's limit", (MAX_LOGIT, 2e-8), (-4, 0), textcoords='offset points', ha='right', color='grey'
        )
        panel.grid(alpha=0.3)
    panels[0].set_ylabel('largest error against softmax')
    panels[0].plot([], [], 'k--', lw=1, label='proven bound')
    panels[0].legend(loc='upper left')
    for style, label in (('k--', 'proven bound'), ('k-', 'keys at two opposite points'), ('k:', 'random keys')):
        panels[1].plot([], [], style, lw=1, label=label)
    panels[1].legend(loc='upper left')
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.json'))
    args = parser.parse_args()
    pyplot = load_pyplot()
    radii = sorted([*np.geomspace(0.05, 4, 24), MAX_LOGIT])
    report = {
        'protocol': f'{NUM_KEYS} queries and keys of dimension {KEY_DIM}, all of length sqrt(r), fp64, seed 0',
        'versions': get_versions(),
        'points': [measure(float(r), order) for order in ORDERS for r in radii],
    }
    args.out.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    for point in report['points']:
        if point['r'] == MAX_LOGIT:
            print(json.dumps(point))
    draw(report, args.out.with_suffix('.png'), pyplot)


if __name__ == '__main__':
    main()
