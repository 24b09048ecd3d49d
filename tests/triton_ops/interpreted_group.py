"""The depthwise group in Triton's interpreter, against convolutions of PyTorch in fp64. Run by test_triton_ops.py."""

import pytest
import torch
import torch.nn.functional as F

from stea_arch import triton_ops
from stea_arch.triton_ops import tiles

triton_ops.enable()

MLFR = ([9, 3, 9, 5, 9, 7], [2, 1, 4, 1, 6, 1])
SMALL = ([5, 3, 1], [2, 1, 1])


def make(shape, sizes, dtype=torch.float32, memory_format=torch.channels_last):
    """Input, weights and biases with gradients: ``x`` as given, parameters fp32."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=memory_format)
    weights = [torch.randn(shape[1], 1, k, k, generator=generator) for k in sizes]
    biases = [torch.randn(shape[1], generator=generator) for _ in sizes]
    return [each.requires_grad_() for each in (x, *weights, *biases)]


def stock(x, *parameters, dilations):
    """The same by F.conv2d, one convolution at a time."""
    n = len(dilations)
    results = [
        F.conv2d(x, weight, bias, padding=d * (weight.shape[-1] // 2), dilation=d, groups=len(weight))
        for weight, bias, d in zip(parameters[:n], parameters[n:], dilations)
    ]
    return torch.cat(results, dim=1)


def both(inputs, dilations, group=triton_ops.depthwise_group):
    """Results and gradients of all inputs: of the kernels, and in fp64 of the same numbers."""
    n = len(dilations)
    ours = group(inputs[0], inputs[1 : n + 1], inputs[n + 1 :], dilations)
    exact = [each.detach().double().requires_grad_() for each in inputs]
    expected = stock(*exact, dilations=dilations)
    share = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(ours.dtype)
    return (
        (ours, *torch.autograd.grad(ours, inputs, share)),
        (expected, *torch.autograd.grad(expected, exact, share.double())),
    )


@pytest.mark.parametrize(
    ('shape', 'sizes', 'dilations', 'memory_format'),
    [
        ((1, 1, 1, 1), *SMALL, torch.channels_last),
        ((2, 5, 2, 3), *SMALL, torch.channels_last),
        ((2, 5, 2, 3), *SMALL, torch.contiguous_format),
        ((1, 2, 3, 17), *SMALL, torch.contiguous_format),
        ((1, 66, 2, 1), *SMALL, torch.channels_last),
        ((1, 3, 5, 2), [3, 5], [3, 4], torch.channels_last),
        ((1, 2, 1, 3), *MLFR, torch.channels_last),
        ((1, 1, 18, 9), [9], [2], torch.channels_last),  # every tap meets a pixel
    ],
)
def test_equals_library(shape, sizes, dilations, memory_format):
    for ours, expected in zip(*both(make(shape, sizes, memory_format=memory_format), dilations)):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('height', [5, 6, 7, 33])
def test_rows_of_every_residue(height):
    """33 rows of 2 images make 18 tiles, which the weight gradient sums up in 3 chunks."""
    for ours, expected in zip(*both(make((2, 2, height, 2), [3]), [1])):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(dtype):
    """Sums are fp32: what is half precision is off by its last rounding only, the weights' gradients not even by that.

    The interpreter cuts a number off where it becomes bfloat16, which may be off by twice as much as rounding is.
    """
    ours, expected = both(make((1, 3, 3, 4), SMALL[0], dtype), SMALL[1])
    assert [each.dtype for each in ours[:2]] == [dtype, dtype]
    for mine, exact in zip(ours, expected):
        rtol = torch.finfo(mine.dtype).eps + 1e-5
        torch.testing.assert_close(mine.double(), exact, rtol=rtol, atol=1e-5)


def test_only_the_gradients_asked_for():
    x, *parameters = make((1, 2, 2, 2), [3])
    for each in parameters:
        each.requires_grad_(False)
    triton_ops.depthwise_group(x, parameters[:1], parameters[1:], [1]).sum().backward()
    assert x.grad is not None and all(each.grad is None for each in parameters)


def test_result_is_channels_last():
    x, weight, bias = make((1, 4, 2, 3), [3], memory_format=torch.contiguous_format)
    assert triton_ops.depthwise_group(x, [weight], [bias], [1]).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ('shape', 'sizes', 'dilations'),
    [
        ((1, 1, 1, 1), *SMALL),
        ((2, 3, 5, 6), *SMALL),
        ((1, 2, 20, 33), [9, 7], [6, 1]),  # tap rows one by one
        ((1, 2, 20, 18), [9, 3], [4, 2]),  # two at once
        ((3, 1, 60, 16), [9, 5], [2, 1]),  # four at once; more rows of images than a program takes
        ((1, 1, 18, 9), [9], [2]),  # every tap meets a pixel
    ],
)
def test_planes_equal_library(shape, sizes, dilations):
    """In fp16, as the interpreter has no product of bfloat16 matrices; taps are rounded to it."""
    inputs = make(shape, sizes, torch.float16)
    with torch.no_grad():
        for weight in inputs[1 : len(sizes) + 1]:
            weight.copy_(weight.half())
    assert not triton_ops.planes_usable(inputs[0])
    triton_ops.enable(planes=True)
    assert triton_ops.planes_usable(inputs[0]) and not triton_ops.planes_usable(inputs[0].float())
    for ours, expected in zip(*both(inputs, dilations, triton_ops.plane_group)):
        expected = expected.detach()
        torch.testing.assert_close(ours.double(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    triton_ops.enable()


@pytest.mark.parametrize('in_planes', [False, True])
def test_obeys_the_rules_of_custom_operations(in_planes):
    x, weight, bias = make((1, 2, 2, 3), [3], torch.float16 if in_planes else torch.float32)
    taps = weight.detach().flatten(1).requires_grad_()
    operation = torch.ops.stea_arch.depthwise_group.default
    torch.library.opcheck(operation, (x, taps, bias.detach()[None].requires_grad_(), [3], [2], in_planes))


@pytest.mark.parametrize('width', [1, 16, 17, 32, 64, 1000])
def test_a_tile_for_every_image(width):
    for channels in range(1, 700, 3):
        block_w, block_c = tiles.tile_sizes(width, channels)
        assert channels % tiles.unit(channels) == 0
        assert block_c < 2 * max(channels, 9) and block_w < 2 * max(width, 9)
        assert 1 <= block_w * block_c // 256 <= 4, 'warps of 8 values a thread'
