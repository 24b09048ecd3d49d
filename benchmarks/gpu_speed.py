"""How much faster the Triton kernels make LabNet on a GPU, in inference and training, and how near the limit that is.

Three forms with the same weights are timed in turn, round by round, all of them channels-last:

    plain      dilated 9x9 kernels left to the library
    dealt      each dilated 9x9 as an undilated one on interleaved sub-images: LabNet with the kernels off
    kernels    LabNet with the kernels on (stea_arch/triton_ops)

With --compile, dealt and kernels are also timed under torch.compile. A ratio is the median over the rounds of plain /
form, after rounds to warm up (autotuning and compilation happen there). A training step is forward, L1 loss, backward
and Adam; bf16 means bf16 weights in inference and autocast in training. fp32 is PyTorch's default: TF32 in
convolutions. beta and the norms are randomised: at its start value of 0, beta would hide the large-field part.

The memory traffic of a form is counted by looking at every operation: the bytes of its inputs and of its outputs, once
each, as if nothing stayed in a cache. Divided by the time, and by the bandwidth that a large copy reaches, it gives the
share of the bandwidth limit. The parts are timed apart as well, with the kernels off and on.

    python benchmarks/gpu_speed.py --out benchmarks/gpu_speed.json
    python benchmarks/gpu_speed.py --count        only the traffic of one block, without a GPU
"""

import argparse
import copy
import json
import os
import statistics
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from arch_speed import PlainDilated
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stea_arch import triton_ops
from stea_arch.archs.fused import FusedBlock
from stea_arch.archs.labnet_arch import LabBlock, LabNet
from stea_arch.archs.layers import GatedFeedForward, depthwise
from stea_arch.archs.mlfr import MLFR, LargeFieldBranch
from stea_arch.system.versions import get_versions

PUBLISHED = (64, (6, 8, 10, 6, 8, 8))
PARTS = (16, 128, 64, 64)  # where a published LabNet spends most
# (batch, height, width of the input, train?)
CASES = [(16, 64, 64, False), (1, 180, 320, False), (16, 64, 64, True)]
WARM_UP = 3


class Traffic(TorchDispatchMode):
    """Counts, as ``bytes``, what operations read and write. A view or an empty tensor costs nothing."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        returned = func._schema.returns
        views = any(each.alias_info is not None and not each.alias_info.is_write for each in returned)
        written = [leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if written and not views and 'empty' not in func.name():
            read = [leaf.nbytes for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(read) + sum(written)
        return result


def count_traffic(function):
    """Bytes that one call of ``function`` moves."""
    with Traffic() as traffic:
        function()
    return traffic.bytes


def count_block(batch, channels, height, width):
    """Traffic of one block's forward in bf16, in sizes of its input, by form: counted on tensors without content.

    ``TRITON_INTERPRET=1`` must be set before Triton is imported, as the tensors are on the CPU; nothing is computed.
    """
    block = LabBlock(channels, 'stea', True).to(torch.bfloat16)
    plain = copy.deepcopy(block)
    for branch in plain.large_field.branches:
        branch.far = PlainDilated(branch.far).to(torch.bfloat16)
    fused = FusedBlock(block)
    counted = {}
    for name, module, on in [
        ('plain', plain, False),
        ('dealt', block, False),
        ('kernels', block, True),
        ('fused', fused, False),
        ('fused, kernels', fused, True),
    ]:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            x = torch.empty(batch, channels, height, width, dtype=torch.bfloat16)
            x = x.contiguous(memory_format=torch.channels_last)
            counted[name] = round(count_traffic(switched(lambda module=module, x=x: module(x), on)) / x.nbytes)
    return counted


def run_timed(function):
    """Milliseconds of one call of ``function`` on the GPU."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    function()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def measure_bandwidth(device):
    """Bytes a second that a copy of 1 GiB reads and writes."""
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = [run_timed(lambda: target.copy_(source)) for _ in range(20)]
    return 2 * source.nbytes / (statistics.median(times[5:]) / 1000)


def switched(function, on):
    """``function`` with the kernels on or off."""

    def run():
        (triton_ops.enable if on else triton_ops.disable)()
        return function()

    return run


def compare(forms, rounds, bandwidth, counted):
    """Time the functions ``forms``, by name, in turn; the first is what the others are compared with."""
    times = {name: [] for name in forms}
    for _ in range(WARM_UP + rounds):
        for name, function in forms.items():
            times[name].append(run_timed(function))
    first = next(iter(forms))
    report = {}
    for name, function in forms.items():
        own = times[name][WARM_UP:]
        report[name] = {
            'median_ms': round(statistics.median(own), 3),
            'ratio': round(statistics.median(a / b for a, b in zip(times[first][WARM_UP:], own)), 3),
        }
        if name in counted:
            traffic = count_traffic(function)
            report[name]['bytes'] = traffic
            share = traffic / (statistics.median(own) / 1000) / bandwidth
            report[name]['share_of_bandwidth'] = round(share, 3)
    return report


def make_step(network, lq, dtype, train):
    """One inference or one training step of ``network``, as a function that returns the output."""
    if not train:
        network, lq = network.to(dtype).eval(), lq.to(dtype)

        def infer():
            with torch.no_grad():
                return network(lq)

        return infer
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)
    with torch.no_grad():
        target = F.interpolate(lq, scale_factor=4)

    def step():
        optimizer.zero_grad()
        with torch.autocast(lq.device.type, dtype, enabled=dtype != torch.float32):
            output = network(lq)
        F.l1_loss(output.float(), target).backward()
        optimizer.step()
        return output.detach()

    return step


def make_networks(num_feat, num_blocks):
    """A LabNet x4 with plain dilated convolutions, and the same as it is."""
    network = LabNet(num_feat=num_feat, num_blocks=num_blocks, upscale=4)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith('beta') or 'norm' in name:
                parameter.normal_(0.5, 0.1)
    plain = copy.deepcopy(network)
    for branch in [module for module in plain.modules() if isinstance(module, LargeFieldBranch)]:
        branch.far = PlainDilated(branch.far)
    return plain, network


def measure_network(networks, case, dtype, rounds, bandwidth, compiled):
    """One case of a whole network, as a dict for the JSON; ``networks`` are those of ``make_networks``."""
    batch, height, width, train = case
    plain, network = networks
    lq = torch.rand(batch, 3, height, width, device=next(network.parameters()).device)
    steps = {'plain': switched(make_step(copy.deepcopy(plain), lq, dtype, train), False)}
    for name, on in (('dealt', False), ('kernels', True)):
        steps[name] = switched(make_step(copy.deepcopy(network), lq, dtype, train), on)
        if compiled:
            step = make_step(torch.compile(copy.deepcopy(network)), lq, dtype, train)
            steps[f'{name}, compiled'] = switched(step, on)
    outputs = {name: step().float() for name, step in steps.items()}
    return {
        'case': 'training step' if train else 'inference',
        'input': [batch, 3, height, width],
        'dtype': str(dtype).removeprefix('torch.'),
        'largest_output': float(outputs['plain'].abs().max()),
        'max_difference': {name: float((each - outputs['plain']).abs().max()) for name, each in outputs.items()},
        'forms': compare(steps, rounds, bandwidth, ('plain', 'dealt', 'kernels')),
    }


def make_parts(channels, device):
    """Modules and functions of features whose forms are compared one by one, and the width of their input."""
    mlfr, feed_forward = MLFR(channels).to(device), GatedFeedForward(channels).to(device)
    layers = [layer for branch in mlfr.branches for layer in (branch.far, branch.near)]
    group = (
        [layer.weight for layer in layers],
        [layer.bias for layer in layers],
        [layer.dilation[0] for layer in layers],
    )
    parts = {
        'depthwise group': (lambda t: triton_ops.depthwise_group(t, *group), channels),
        'MLFR': (mlfr, channels),
        'gated depthwise': (
            lambda x: triton_ops.gated_depthwise(x, feed_forward.spatial.weight),
            2 * feed_forward.reduce.in_channels,
        ),
        'feed-forward': (feed_forward, channels),
    }
    for size in (3, 7):
        conv = depthwise(channels, size).to(device)
        single = [conv.weight], [conv.bias], [1]
        parts[f'one depthwise {size}x{size}'] = (
            lambda t, single=single: triton_ops.depthwise_group(t, *single),
            channels,
        )
    return parts


def measure_parts(shape, device, dtype, rounds, bandwidth):
    """Each part in inference and with its gradients, under autocast, with the kernels off (``stock``) and on."""
    report = {}
    batch, channels, *size = shape
    for name, (part, width) in make_parts(channels, device).items():
        x = torch.randn(batch, width, *size, device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()

        def forward(part=part, x=x):
            with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
                return part(x)

        def infer(forward=forward):
            with torch.no_grad():
                forward()

        def train(forward=forward):
            forward().float().mean().backward()

        for mode, function in (('inference', infer), ('training', train)):
            forms = {'stock': switched(function, False), 'kernels': switched(function, True)}
            report[f'{name}, {mode}'] = compare(forms, rounds, bandwidth, forms)
            print(name, mode, report[f'{name}, {mode}'], flush=True)
    return {'dtype': str(dtype).removeprefix('torch.'), 'input': shape, 'parts': report}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/gpu_speed.json'))
    parser.add_argument('--rounds', type=int, default=15, help='timed rounds per case')
    parser.add_argument('--compile', action='store_true', help='time torch.compile too; minutes more')
    parser.add_argument('--count', action='store_true', help='count the traffic of one block instead; needs no GPU')
    args = parser.parse_args()
    if args.count:
        os.environ['TRITON_INTERPRET'] = '1'
    try:
        triton_ops.enable()
    except RuntimeError as error:
        raise SystemExit(f'gpu_speed measures a GPU. {error}') from None
    if args.count:
        print(json.dumps(count_block(*PARTS), indent=2))
        return
    torch.backends.cudnn.benchmark = True

    device = torch.device('cuda')
    bandwidth = measure_bandwidth(device)
    torch.manual_seed(0)
    networks = [network.to(device) for network in make_networks(*PUBLISHED)]
    report = {
        'protocol': f'interleaved, {WARM_UP} rounds to warm up, median of {args.rounds} rounds, CUDA events, x4',
        'versions': {**get_versions(), 'triton': version('triton')},
        'bandwidth_gigabytes_per_second': round(bandwidth / 1e9, 1),
        'parts': [],
        'network': [],
    }
    for dtype in (torch.bfloat16, torch.float32):
        report['parts'].append(measure_parts(PARTS, device, dtype, args.rounds, bandwidth))
        for case in CASES:
            result = measure_network(networks, case, dtype, args.rounds, bandwidth, args.compile)
            report['network'].append(result)
            print(json.dumps(result), flush=True)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
