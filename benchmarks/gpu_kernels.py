"""The Triton kernels one by one against stock operations, in bf16, at the shapes that the networks meet.

``first`` and ``last``: stock operations, channels-first and channels-last, the dilated ones as the library computes
them; ``dealt``: on interleaved sub-images. Times are without the host's share (see ``time_kernel``).
"""

import functools

import torch
import torch.nn.functional as F
from gpu_timing import time_kernel
from torch.ops import aten

from stea_arch import triton_ops
from stea_arch.archs.depthwise import Depthwise

SIZES, DILATIONS = [9, 3, 9, 5, 9, 7], [2, 1, 4, 1, 6, 1]  # MLFR's
# (batch, channels, height, width): LabNet-S on 48x48 and 64x64, LabNet on 64x64
SHAPES = [
    (16, 64, 48, 48),
    (16, 128, 64, 64),
    (16, 32, 48, 48),
    (16, 64, 24, 24),
    (16, 128, 12, 12),
    (64, 64, 64, 64),
    (16, 128, 32, 32),
    (16, 256, 16, 16),
]
TOY_SHAPES = [(1, 2, 4, 4)]
INPUTS = 3


def make_group(channels, sizes, device, dtype):
    weights = [torch.randn(channels, 1, k, k, device=device, dtype=dtype) / k for k in sizes]
    return weights, [torch.randn(channels, device=device, dtype=dtype) for _ in sizes]


def stock_forms(x, gradients, weights, biases, dilations):
    """Results, gradient of the input and gradients of the weights by the library, one convolution at a time."""
    channels = x.shape[1]

    def settings(weight, d):
        reach = d * (weight.shape[-1] // 2)
        return [1, 1], [reach, reach], [d, d], False, [0, 0], channels

    def backward(mask):
        return [
            aten.convolution_backward(gradient, x, weight, [channels], *settings(weight, d), mask)
            for gradient, weight, d in zip(gradients, weights, dilations)
        ]

    return {
        'results': lambda: [
            aten.convolution(x, weight, bias, *settings(weight, d))
            for weight, bias, d in zip(weights, biases, dilations)
        ],
        'input gradient': lambda: torch.stack([each[0] for each in backward([True, False, False])]).sum(0),
        'weight gradient': lambda: backward([False, True, True]),
    }


def our_forms(x, gradient, weights, biases, dilations, planes):
    """The same by our kernels."""
    ops = torch.ops.stea_arch
    sizes = [weight.shape[-1] for weight in weights]
    taps, bias = torch.cat([weight.flatten(1) for weight in weights], dim=1).float(), torch.stack(biases).float()
    group = sizes, dilations, planes
    return {
        'results': lambda: ops.depthwise_group(x, taps, bias, *group),
        'input gradient': lambda: ops.depthwise_group_input_gradient(gradient, taps, *group),
        'weight gradient': lambda: ops.depthwise_group_weight_gradient(gradient, x, *group),
    }


def group_forms(shape, sizes, dilations, device, dtype=torch.bfloat16):
    """All ways to a depthwise group on one fresh input: name -> part -> function."""
    weights, biases = make_group(shape[1], sizes, device, dtype)
    x = torch.randn(shape, device=device, dtype=dtype)
    gradient = torch.randn(shape[0], shape[1] * len(sizes), *shape[2:], device=device, dtype=dtype)
    x_last, gradient_last = (each.contiguous(memory_format=torch.channels_last) for each in (x, gradient))
    pieces = [each.contiguous() for each in gradient.chunk(len(sizes), dim=1)]
    last = [each.contiguous(memory_format=torch.channels_last) for each in pieces]
    return {
        'first': stock_forms(x, pieces, weights, biases, dilations),
        'last': stock_forms(x_last, last, weights, biases, dilations),
        'kernels': our_forms(x_last, gradient_last, weights, biases, dilations, False),
        'planes': our_forms(x, gradient, weights, biases, dilations, True),
    }


def measure_group(shape, sizes, dilations, device, seconds):
    """Milliseconds by part and way; a way that fails has its error there."""
    triton_ops.enable()
    inputs = [group_forms(shape, sizes, dilations, device) for _ in range(INPUTS if device.type == 'cuda' else 1)]
    table = {}
    for part in inputs[0]['first']:
        table[part] = {}
        for way in inputs[0]:
            try:
                table[part][way] = time_kernel([each[way][part] for each in inputs], device, seconds)
            except Exception as error:
                table[part][way] = f'{type(error).__name__}: {error}'[:300]
    return {'ms': table}


def measure_dealing(shape, device, seconds):
    """The three dilated convolutions and their gradients together, as LabNet computes them without kernels."""
    layers = [Depthwise(shape[1], 9, d).to(device, torch.bfloat16) for d in (2, 4, 6)]
    x = torch.randn(shape, device=device, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    inputs = [x, *(parameter for layer in layers for parameter in layer.parameters())]

    def infer():
        with torch.no_grad():
            return [layer(x) for layer in layers]

    def train():
        outputs = [layer(x) for layer in layers]
        return torch.autograd.grad(outputs, inputs, [torch.ones_like(output) for output in outputs])

    return {'ms': {name: time_kernel([function], device, seconds) for name, function in _named(infer, train)}}


def measure_gate(shape, device, seconds):
    """The gated 3x3 convolution of the feed-forward, with and without gradients, stock and by our kernel."""
    batch, channels, *size = shape
    hidden = int(2.66 * channels)
    weight = torch.randn(2 * hidden, 1, 3, 3, device=device, dtype=torch.bfloat16, requires_grad=True)
    table = {}
    for way, memory_format, on in (
        ('first', torch.contiguous_format, False),
        ('last', torch.channels_last, False),
        ('kernels', torch.channels_last, True),
    ):
        x = torch.randn(batch, 2 * hidden, *size, device=device, dtype=torch.bfloat16)
        x = x.contiguous(memory_format=memory_format).requires_grad_()
        (triton_ops.enable if on else triton_ops.disable)()

        def infer(x=x):
            with torch.no_grad():
                return triton_ops.gated_depthwise(x, weight)

        def train(x=x):
            output = triton_ops.gated_depthwise(x, weight)
            return torch.autograd.grad(output, [x, weight], torch.ones_like(output))

        table[way] = {name: time_kernel([function], device, seconds) for name, function in _named(infer, train)}
    return {'ms': table}


def _named(*functions):
    return [(function.__name__, function) for function in functions]


def measure_kernels(device, toy):
    """(name, function, *arguments) of every measurement."""
    seconds = 0.01 if toy else 0.05
    shapes = TOY_SHAPES if toy else SHAPES
    sizes, dilations = ([3, 1], [2, 1]) if toy else (SIZES, DILATIONS)
    for shape in shapes[:2]:
        yield f'group {shape}', measure_group, shape, sizes, dilations, device, seconds
    if not toy:
        yield f'dealing {shapes[0]}', measure_dealing, shapes[0], device, seconds
    for shape in shapes[:2]:
        yield f'gate {shape}', measure_gate, shape, device, seconds
    for shape in shapes[2:]:
        yield f'group {shape}', measure_group, shape, sizes, dilations, device, seconds
    for shape in [] if toy else shapes[:2]:
        for size in (3, 7):
            yield f'one {size}x{size} {shape}', measure_group, shape, [size], [1], device, seconds


def prepare_kernels(device, toy):
    """Name -> function that runs some kernels once, for their compilation."""
    if toy:
        return {}
    jobs, half = {}, torch.bfloat16
    tasks = [
        *((way, shape, half) for way in ('kernels',) for shape in ((1, 64, 12, 64), (1, 32, 12, 48))),
        *(('planes', (1, 4, 12, width), half) for width in (48, 24, 12, 32, 16)),
        *(('kernels', (1, 64, 12, 64), dtype) for dtype in (torch.float32, torch.float16)),
        *(('kernels', (1, 32, 12, 37), dtype) for dtype in (torch.float32, torch.float16)),
        ('planes', (1, 4, 12, 37), half),
        ('planes', (1, 4, 12, 37), torch.float16),
    ]
    for way, shape, dtype in tasks:
        for part in ('weight gradient', 'input gradient', 'results'):
            jobs[f'{way} {part} {shape} {dtype}'] = functools.partial(_run_group, way, part, shape, dtype, device)
    for dtype in (half, torch.float32, torch.float16):
        jobs[f'gates {dtype}'] = functools.partial(_run_gates, dtype, device)
    return jobs


def _run_group(way, part, shape, dtype, device):
    triton_ops.enable()
    group_forms(shape, SIZES, DILATIONS, device, dtype)[way][part]()


def _run_gates(dtype, device):
    triton_ops.enable()
    for hidden in (85, 170, 340, 680) if dtype == torch.bfloat16 else (170, 340, 680):
        x = torch.randn(1, 2 * hidden, 4, 64, device=device, dtype=dtype, requires_grad=True)
        weight = torch.randn(2 * hidden, 1, 3, 3, device=device, requires_grad=True)
        output = triton_ops.gated_depthwise(x, weight)
        torch.autograd.grad(output, [x, weight], torch.ones_like(output))


def gate_like(x, weight):
    """The definition of ``gated_depthwise``, in stock operations."""
    q1, q2 = F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight)).chunk(2, dim=1)
    return F.gelu(q1) * q2
