"""Gated depthwise convolution and the network's parts in Triton's interpreter. Run by test_triton_ops.py."""

import plain
import pytest
import torch

from stea_arch import triton_ops
from stea_arch.archs.block import FusedBlock, LabBlock
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.layers import GatedFeedForward


@pytest.fixture(autouse=True)
def switch():
    torch.manual_seed(0)
    triton_ops.enable()
    yield
    triton_ops.disable()


def gradients(function, inputs, share):
    """``function(*inputs)`` and its gradients."""
    result = function(*inputs)
    return (result, *torch.autograd.grad(result, inputs, share.to(result.dtype)))


def module_gradients(module, x):
    """``module(x)`` and the gradients of ``x`` and of the parameters, for a fixed weighting of the outputs."""
    module.zero_grad()
    x = x.detach().requires_grad_()
    result = module(x)
    share = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (result * share).sum().backward()
    return [result, x.grad, *(parameter.grad for parameter in module.parameters())]


def gated(x, weight):
    """The definition, in stock operations."""
    q1, q2 = torch.nn.functional.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight)).chunk(2, dim=1)
    return plain.gelu(q1) * q2


@pytest.mark.parametrize(
    ('shape', 'dtype'),
    [
        ((1, 2, 1, 1), torch.float32),
        ((2, 6, 3, 2), torch.float32),
        ((1, 134, 5, 1), torch.float32),
        ((1, 4, 1, 17), torch.float32),
        ((1, 10, 3, 2), torch.bfloat16),
        ((1, 10, 3, 2), torch.float16),
    ],
)
def test_gated_depthwise(shape, dtype):
    x = torch.randn(shape).to(dtype).requires_grad_()
    weight = torch.randn(shape[1], 1, 3, 3, requires_grad=True)
    share = torch.randn(shape[0], shape[1] // 2, *shape[2:]).to(dtype)
    exact = [x.detach().double().requires_grad_(), weight.detach().double().requires_grad_()]
    result, grad_x, grad_weight = gradients(triton_ops.gated_depthwise, [x, weight], share)
    expected, expected_x, expected_weight = gradients(gated, exact, share)
    eps = torch.finfo(dtype).eps  # one rounding; twice as much is allowed, as the interpreter cuts bfloat16 off
    torch.testing.assert_close(result.double(), expected, rtol=eps + 1e-5, atol=1e-5)
    # the gradient of q is stored in the dtype of x, cut off in the interpreter, before nine of its values are summed
    atol = 1e-5 + 2 * eps * float(expected_x.abs().max())
    torch.testing.assert_close(grad_x.double(), expected_x, rtol=1e-5, atol=atol)
    atol = 1e-5 + 2 * eps * float(expected_weight.abs().max())
    torch.testing.assert_close(grad_weight.double(), expected_weight, rtol=1e-5, atol=atol)


def test_gated_depthwise_obeys_the_rules_of_custom_operations():
    inputs = torch.randn(1, 4, 2, 3, requires_grad=True), torch.randn(4, 9, requires_grad=True)
    torch.library.opcheck(torch.ops.stea_arch.gated_depthwise.default, inputs)


@pytest.mark.parametrize('make', [lambda: LabBlock(16, 'stea', True, (2, 4)), lambda: LabBlock(16, 'none', True, (3,))])
def test_same_function_and_gradients(make):
    """fp32 by the kernels, fp64 by stock operations: fp64 is not a dtype of theirs."""
    module, x = plain.randomise(make()), torch.randn(1, 16, 1, 2)
    assert triton_ops.usable(x) and not triton_ops.usable(x.double())
    ours = module_gradients(module, x)
    for mine, expected in zip(ours, module_gradients(module.double(), x.double())):
        torch.testing.assert_close(mine.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('large_field', [True, False])
def test_fused_block(large_field, monkeypatch):
    """fp32 by the kernels, fp64 by stock operations; both kernels are used."""
    called = []
    for name in ('depthwise_group', 'gated_depthwise'):
        function = getattr(triton_ops, name)
        monkeypatch.setattr(triton_ops, name, lambda *args, name=name, f=function: called.append(name) or f(*args))
    block, f = plain.randomise(LabBlock(16, 'stea', large_field, (2, 4))), torch.randn(1, 16, 1, 2)
    with torch.no_grad():
        ours = FusedBlock(block)(f)
        assert called == ['depthwise_group'] * large_field + ['gated_depthwise']
        torch.testing.assert_close(ours.double(), block.double()(f.double()), rtol=1e-4, atol=1e-4)


def test_planes_in_a_block():
    """A block under autocast, its depthwise group on the matrix units: values and gradients near those in fp32."""
    block, x = plain.randomise(LabBlock(16, 'none', True, (2,))), torch.randn(2, 16, 3, 5)
    triton_ops.disable()
    exact = module_gradients(block, x)
    triton_ops.enable(planes=True)
    with torch.autocast('cpu', torch.float16):
        ours = module_gradients(block, x)
    for mine, expected in zip(ours, exact):
        error = (mine.double() - expected.double()).norm() / expected.double().norm()
        assert error < 1e-2, 'fp16 has 11 bits'


def test_autocast():
    module, x = plain.randomise(LabBlock(16, 'none', True, (2,))), torch.randn(1, 16, 3, 2)
    with torch.no_grad():
        exact = module.double()(x.double())
        module = module.float()
        with torch.autocast('cpu', torch.bfloat16):
            ours = module(x)
            triton_ops.disable()
            stock = module(x)
    assert ours.dtype == stock.dtype
    error, allowed = (ours - exact).abs().max(), (stock - exact).abs().max()
    assert 1e-6 < error < 2 * allowed, 'no bfloat16 took part, or the kernels are worse at it than stock operations'


@pytest.mark.parametrize(
    ('make', 'name'), [(lambda: LabBlock(16, 'none', True, (1,)), 'depthwise_group'), (GatedFeedForward, 'gated')]
)
def test_compiles_to_one_graph_with_gradients(make, name):
    graphs = []

    def backend(graph, example_inputs):
        graphs.append(str(graph.graph))
        return torch._dynamo.lookup_backend('aot_eager')(graph, example_inputs)

    module = plain.randomise(make(16) if name == 'gated' else make())
    x = torch.randn(1, 16, 1, 2)
    expected = module_gradients(module, x)
    compiled = torch.compile(module, backend=backend, fullgraph=True)
    for mine, eager in zip(module_gradients(compiled, x), expected):
        torch.testing.assert_close(mine, eager, rtol=1e-5, atol=1e-5)
    assert len(graphs) == 1 and f'torch.ops.stea_arch.{name}' in graphs[0]


@pytest.mark.parametrize('padding', ['zeros', 'partial'])
def test_whole_network(padding):
    """On an image whose sides are not multiples of 4; the network's weights know nothing of the switch."""
    how = {'num_feat': 16, 'num_blocks': (1, 1, 1, 1, 1, 1), 'upscale': 2, 'dilations': (1,)}
    network = plain.randomise(LabNet(**how, padding=padding)).eval()
    lq = torch.rand(1, 3, 3, 2)
    names = list(network.state_dict())
    with torch.no_grad():
        ours = network(lq)
        triton_ops.disable()
        torch.testing.assert_close(ours, network(lq), rtol=0, atol=1e-4)
    assert names == list(network.state_dict())
