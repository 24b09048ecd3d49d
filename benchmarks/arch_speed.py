"""How much faster LabNet's form of the same function is on this CPU, in inference and in training.

Three forms with the same weights are timed in turn, round by round, so that a busy machine slows all of them alike:

    plain    dilated 9x9 kernels left to the library, channels first
    dealt    each dilated 9x9 as an undilated one on interleaved sub-images (archs/depthwise.py), channels first
    ours     the same with channels last: LabNet as it is

A ratio is the median over the rounds of plain / form, after one round to warm up. beta and the norms are randomised:
at its start value of 0, beta would hide the large-field part from the comparison of outputs.

    python benchmarks/arch_speed.py --out benchmarks/arch_speed.json
"""

import argparse
import copy
import json
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from stea_arch.archs.depthwise import Depthwise
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.system.versions import get_versions

# (num_feat, num_blocks, batch, height and width of the input, train?)
CASES = [
    (16, (1, 1, 1, 1, 1, 1), 1, 64, False),
    (16, (1, 1, 1, 1, 1, 1), 8, 64, True),
    (32, (1, 1, 2, 1, 1, 1), 1, 64, False),
    (32, (1, 1, 2, 1, 1, 1), 4, 64, True),
    (32, (1, 1, 2, 1, 1, 1), 1, 128, False),
    (64, (6, 8, 10, 6, 8, 8), 1, 64, False),
]


class PlainDilated(nn.Conv2d):
    """A dilated convolution as the library computes it, with the weights of one of ours."""

    def __init__(self, ours):
        super().__init__(
            ours.in_channels, ours.out_channels, ours.kernel_size, 1, ours.padding, ours.dilation, ours.groups
        )
        self.load_state_dict(ours.state_dict())


def make_forms(num_feat, num_blocks):
    """The three forms of one LabNet x4, by name."""
    ours = LabNet(num_feat=num_feat, num_blocks=num_blocks)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if name.endswith('beta') or 'norm' in name:
                parameter.normal_(0.5, 0.1)
    dealt = copy.deepcopy(ours)
    dealt.head.register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
    plain = copy.deepcopy(dealt)
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, Depthwise) and child.dilation[0] > 1:
                setattr(module, name, PlainDilated(child))
    return {'plain': plain, 'dealt': dealt, 'ours': ours}


def run_once(network, lq, train):
    """Seconds and output of one forward pass, or of one forward and backward pass."""
    network.zero_grad()
    start = time.perf_counter()
    with torch.set_grad_enabled(train):
        output = network(lq)
        if train:
            output.abs().mean().backward()
    return time.perf_counter() - start, output.detach()


def measure(num_feat, num_blocks, batch, size, train, rounds):
    """One case, as a dict for the JSON."""
    torch.manual_seed(0)
    forms = make_forms(num_feat, num_blocks)
    lq = torch.rand(batch, 3, size, size)
    seconds = {name: [] for name in forms}
    for _ in range(rounds + 1):
        outputs = {}
        for name, network in forms.items():
            elapsed, outputs[name] = run_once(network, lq, train)
            seconds[name].append(elapsed)
    ratios = {
        name: [plain / own for plain, own in zip(seconds['plain'], values)][1:] for name, values in seconds.items()
    }
    return {
        'num_feat': num_feat,
        'num_blocks': num_blocks,
        'batch': batch,
        'size': size,
        'mode': 'training step' if train else 'inference',
        'median_seconds': {name: round(statistics.median(values[1:]), 4) for name, values in seconds.items()},
        'ratio_to_plain': {name: round(statistics.median(values), 3) for name, values in ratios.items()},
        'max_difference': max(float((outputs[name] - outputs['plain']).abs().max()) for name in ('dealt', 'ours')),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/arch_speed.json'))
    parser.add_argument('--rounds', type=int, default=5, help='timed rounds per case')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--max-feat', type=int, default=64, help='leave out the cases that are wider than this')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    report = {
        'protocol': f'interleaved, 1 round to warm up, median of {args.rounds} rounds, fp32, x4, CPU',
        'versions': get_versions(),
        'cases': [],
    }
    for case in CASES:
        if case[0] > args.max_feat:
            continue
        result = measure(*case, rounds=args.rounds)
        report['cases'].append(result)
        print(json.dumps(result), flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
