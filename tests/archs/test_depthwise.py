import plain
import pytest
import torch
import torch.nn.functional as F

from stea_arch.archs.depthwise import Depthwise, weight_gradient

KERNELS = [(3, 1), (5, 1), (7, 1), (9, 1), (9, 2), (9, 3), (9, 4), (9, 6), (5, 4)]


def library(conv, x):
    """The convolution as PyTorch computes it."""
    reach = conv.dilation[0] * (conv.kernel_size[0] // 2)
    return F.conv2d(x, conv.weight, conv.bias, padding=reach, dilation=conv.dilation, groups=len(conv.weight))


def gradients(function, conv, x):
    """Result and gradients of input and parameters, for a fixed weighting of the output."""
    x = x.detach().requires_grad_()
    result = function(x)
    share = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return result.detach(), *torch.autograd.grad((result * share).sum(), [x, *conv.parameters()])


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('size', [(1, 1), (3, 40), (20, 15)])
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_gradients_equal_library(kernel, size, bias, memory_format):
    conv = plain.randomise(Depthwise(16, *kernel, bias))
    x = torch.randn(3, 16, *size).contiguous(memory_format=memory_format)
    ours = gradients(conv, conv, x)
    exact = conv.double()
    expected = gradients(lambda x: library(exact, x), exact, x.double())
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize('kernel', KERNELS)
def test_gradients_under_autocast(kernel):
    """Rounded to bfloat16 on the way, but summed in fp32, over the pixels of one image and over many images."""
    conv = plain.randomise(Depthwise(16, *kernel))
    x = torch.rand(9, 16, 40, 40).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        ours = gradients(conv, conv, x)
    assert [each.dtype for each in ours] == [torch.bfloat16] * 2 + [torch.float32] * 2
    exact = conv.double()
    expected = gradients(lambda x: library(exact, x), exact, x.double())
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=0.01 * float(theirs.abs().max()))


def test_only_the_gradients_asked_for():
    conv, x = Depthwise(4, 5), torch.randn(1, 4, 6, 6, requires_grad=True)
    conv.requires_grad_(False)(x).sum().backward()
    assert x.grad is not None and conv.weight.grad is None
    conv.requires_grad_()(x.detach()).sum().backward()
    assert conv.weight.grad is not None and conv.bias.grad is not None


def test_second_derivatives():
    conv = plain.randomise(Depthwise(2, 5, 2)).double()
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    inputs = (x, conv.weight.detach().requires_grad_(), conv.bias.detach().requires_grad_())

    def call(x, weight, bias):
        return torch.func.functional_call(conv, {'weight': weight, 'bias': bias}, (x,))

    assert torch.autograd.gradcheck(call, inputs) and torch.autograd.gradgradcheck(call, inputs)


def test_obeys_the_rules_of_custom_operations():
    x, grad = (torch.randn(2, 4, 6, 5, requires_grad=True) for _ in range(2))
    torch.library.opcheck(weight_gradient, (x, grad, 5, 2))


def test_partial_padding_does_not_see_the_border():
    """The mean over the part of a window inside the image: of a constant, that constant, wherever the border is."""
    conv = Depthwise(2, 9, 3, partial=True).requires_grad_(False)
    conv.weight.fill_(1 / 81)
    conv.bias.zero_()
    torch.testing.assert_close(conv(torch.ones(1, 2, 5, 40)), torch.ones(1, 2, 5, 40), rtol=1e-6, atol=0)
