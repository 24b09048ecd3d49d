"""Is it right on a GPU? Kernels against stock operations in fp64, networks against the CPU, forms of a step alike."""

import itertools

import torch
from gpu_forms import Case, make_input, make_network, make_step
from gpu_kernels import DILATIONS, SIZES, gate_like, make_group, stock_forms

from stea_arch import triton_ops

ALLOWED = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}


def relative(result, exact):
    """``|result - exact| / |exact|``, NaN if anything of the result is."""
    return float((result.double().to(exact.device) - exact.double()).norm() / exact.double().norm())


def judge(errors, allowed):
    return {'errors': errors, 'allowed': allowed, 'correct': all(each <= allowed for each in errors.values())}


def poison(device, megabytes=256):
    """Leave NaN in memory that is handed out next, so that what a kernel does not write is seen."""
    torch.full((megabytes * 2**18,), float('nan'), device=device)


def check_group(way, shape, dtype, sizes, dilations, device):
    """Results and all gradients of a depthwise group."""
    triton_ops.enable()
    weights, biases = make_group(shape[1], sizes, device, dtype)
    x = torch.randn(shape, device=device, dtype=dtype)
    share = torch.randn(shape[0], shape[1] * len(sizes), *shape[2:], device=device, dtype=dtype)
    if way == 'kernels':
        x = x.contiguous(memory_format=torch.channels_last)
    inputs = [each.requires_grad_() for each in (x, *weights, *biases)]
    group = triton_ops.plane_group if way == 'planes' else triton_ops.depthwise_group
    poison(device, 1 if device.type == 'cpu' else 256)
    output = group(x, weights, biases, dilations)
    gradients = torch.autograd.grad(output, inputs, share)
    exact = [each.detach().double() for each in inputs]
    count = len(sizes)
    stock = stock_forms(
        exact[0], share.double().chunk(count, dim=1), exact[1 : count + 1], exact[count + 1 :], dilations
    )
    errors = {
        'results': relative(output, torch.cat(stock['results'](), dim=1)),
        'input gradient': relative(gradients[0], stock['input gradient']()),
    }
    expected = stock['weight gradient']()
    for index, (k, d) in enumerate(zip(sizes, dilations)):
        errors[f'weight gradient {k} {d}'] = relative(gradients[1 + index], expected[index][1])
        errors[f'bias gradient {k} {d}'] = relative(gradients[1 + count + index], expected[index][2])
    return judge(errors, ALLOWED[dtype])


def check_gate(shape, dtype, device):
    """Results and gradients of the gated depthwise convolution."""
    triton_ops.enable()
    x = torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(shape[1], 1, 3, 3, device=device, dtype=dtype)
    share = torch.randn(shape[0], shape[1] // 2, *shape[2:], device=device, dtype=dtype)
    poison(device, 1 if device.type == 'cpu' else 256)
    results = []
    for function, kind in ((triton_ops.gated_depthwise, dtype), (gate_like, torch.float64)):
        inputs = [each.detach().to(kind).requires_grad_() for each in (x, weight)]
        output = function(*inputs)
        results.append([output, *torch.autograd.grad(output, inputs, share.to(kind))])
    names = ('results', 'input gradient', 'weight gradient')
    return judge({name: relative(*each) for name, *each in zip(names, *results)}, ALLOWED[dtype])


def check_kernels(run):
    """(name, function, *arguments) of the checks of every kernel."""
    if run.toy:
        yield 'kernels', check_group, 'kernels', (1, 3, 4, 5), torch.float32, [3, 1], [2, 1], run.device
        yield 'planes', check_group, 'planes', (1, 3, 4, 5), torch.float16, [3, 1], [2, 1], run.device
        yield 'gate', check_gate, (1, 6, 3, 4), torch.float32, run.device
        return
    for dtype in (torch.bfloat16, torch.float32, torch.float16):
        for way, shape in (('kernels', (2, 64, 48, 64)), ('kernels', (3, 32, 21, 37)), ('planes', (3, 32, 21, 37))):
            if way == 'planes' and dtype == torch.float32:
                continue
            name = f'{way} {shape} {dtype}'
            yield name, check_group, way, shape, dtype, SIZES, DILATIONS, run.device
        yield f'gate {dtype}', check_gate, (2, 170, 33, 48), dtype, run.device
    for shape in ((2, 64, 48, 48), (2, 128, 64, 64), (5, 64, 16, 16), (5, 64, 12, 12), (3, 16, 24, 24)):
        yield f'planes {shape}', check_group, 'planes', shape, torch.bfloat16, SIZES, DILATIONS, run.device


def check_network(case, form, device, toy):
    """A network on the device, in fp32 or bf16, against itself on the CPU in fp32. TF32 is off for this."""
    torch.manual_seed(0)
    network = make_network(case.network, torch.device('cpu'), toy).eval()
    lq, _ = make_input(case, torch.device('cpu'))
    triton_ops.disable()
    allowed = torch.backends.cudnn.allow_tf32
    with torch.inference_mode():
        expected = network(lq)
        torch.backends.cudnn.allow_tf32 = False
        try:
            step = make_step(case, form, device, toy)
            result = step()
        finally:
            torch.backends.cudnn.allow_tf32 = allowed
    return judge({'output': relative(result, expected.to(device))}, 1e-4 if case.dtype == 'fp32' else 3e-2)


def check_networks(run):
    """(name, function, *arguments) of networks against the CPU."""
    forms = ['ours', 'fused', 'ours+kernels', 'fused+kernels', 'ours+planes']
    for name, dtype in itertools.product(['LabNet'] if run.toy else ['LabNet', 'LabNet-S'], ('fp32', 'bf16')):
        case = Case(name, 1, *((4, 4) if run.toy else (37, 42)), dtype, False)
        for form in forms[1:3] if run.toy else forms if name == 'LabNet' else forms[:2]:
            if form != 'ours+planes' or dtype == 'bf16':
                yield f'{case} {form}', check_network, case, form, run.device, run.toy


def check_step(case, form, device, toy, steps=4):
    """The losses of some training steps against those of the plain form; the steps of capturing count too."""
    losses = []
    for each in ('plain', form):
        step = make_step(case, each, device, toy)
        skipped = 3 if 'graph' in each else 0
        losses.append([float(step()) for _ in range(steps + 4 - skipped)][-steps:])
    errors = {'loss': max(abs(a - b) / a for a, b in zip(*losses))}
    return {**judge(errors, 1e-2 if case.dtype == 'bf16' else 1e-3), 'losses': losses}


def check_steps(run):
    """(name, function, *arguments) of training steps in all forms."""
    case = Case('LabNet', *((1, 4, 4) if run.toy else (2, 48, 48)), 'bf16', True)
    for form in ('ours',) if run.toy else ('ours+graph', 'ours+kernels+graph', 'ours+planes+graph', 'ours+planes'):
        yield f'{case} {form}', check_step, case, form, run.device, run.toy
