"""Depthwise convolutions, dilated or not, in the forms for which CPU libraries have fast kernels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.library import custom_op


def exporting():
    """Whether ``torch.export`` or ONNX traces the network: for other programs and any size, so as plain operations."""
    return torch.onnx.is_in_onnx_export() or torch.jit.is_tracing() or getattr(torch.compiler, 'is_exporting', bool)()


class Depthwise(nn.Conv2d):
    """``DW[k,d]``: one kernel per channel, zero padding that keeps H and W.

    With ``partial`` padding (Liu et al., arXiv 1811.11718) the sum over the taps is divided by the share of them that
    lies inside of the image: as if the part outside were like the part inside. Away from the border it is the same.

    Two things differ from ``nn.Conv2d``, only in their speed on CPUs (benchmarks/train_speed.py measures it): a dilated
    kernel is applied without dilation, see :func:`convolve`, and the gradient of a kernel of 5x5 and more is a
    convolution too, see :func:`weight_gradient`.

    Args:
        num_feat (int): channels C.
        kernel_size (int): odd side k of the kernel.
        dilation (int): d.
        bias (bool): a learned shift for each channel.
        partial (bool): partial padding; with a bias.
    """

    def __init__(self, num_feat, kernel_size, dilation=1, bias=True, partial=False):
        reach = dilation * (kernel_size // 2)
        super().__init__(num_feat, num_feat, kernel_size, padding=reach, dilation=dilation, groups=num_feat, bias=bias)
        self.partial = partial

    def forward(self, x):
        if not self.partial:
            return self._convolve(x, self.bias)
        sums, taps = self._convolve(x, None), torch.ones_like(self.weight[:1])
        ones = x[:1, :1].detach().clamp(1, 1)  # of this size; ones_like would be a constant of one size in ncnn
        inside = F.conv2d(ones, taps, padding=self.padding, dilation=self.dilation)
        return sums * (taps.numel() / inside.to(sums.dtype)) + self.bias.view(-1, 1, 1).to(sums.dtype)

    def _convolve(self, x, bias):
        dilation = self.dilation[0]
        if exporting():  # the runtimes have better kernels for dilation than for dealing out
            return self._conv_forward(x, self.weight, bias)
        if x.device.type != 'cpu' or self.kernel_size[0] < 5:
            return convolve(x, self.weight, bias, dilation)
        parameters = [self.weight] if bias is None else [self.weight, bias]
        if torch.is_autocast_enabled('cpu'):
            x, *parameters = (each.to(torch.get_autocast_dtype('cpu')) for each in (x, *parameters))
        return _Convolution.apply(x, *parameters, *[None] * (2 - len(parameters)), dilation)


def convolve(x, weight, bias, dilation):
    """A dilated depthwise convolution with zero padding that keeps H and W, computed without dilation.

    A kernel dilated by d only ever joins pixels whose coordinates agree modulo d. So the image is dealt out into its
    d * d interleaved sub-images, each is convolved with the undilated kernel, and the results are interleaved again:
    the same sums in an order for which CPU libraries have fast kernels. H and W are filled up with zeros to multiples
    of d and cropped again; beyond the border the convolution sees zeros anyway.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        weight (Tensor): ``(C, 1, k, k)`` with odd k.
        bias (Tensor | None): ``(C,)``.
        dilation (int): d.

    Returns:
        Tensor: ``(B, C, H, W)``.
    """
    b, c, h, w = x.shape
    d, padding = dilation, weight.shape[-1] // 2
    if d == 1:
        return F.conv2d(x, weight, bias, padding=padding, groups=c)
    rows, cols = (h + d - 1) // d, (w + d - 1) // d
    # Channels stay last throughout, so that whole pixels are moved instead of single values.
    x = F.pad(x, (0, cols * d - w, 0, rows * d - h)).permute(0, 2, 3, 1)
    x = x.reshape(b, rows, d, cols, d, c).permute(0, 2, 4, 1, 3, 5).reshape(b * d * d, rows, cols, c)
    x = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=padding, groups=c)
    x = x.permute(0, 2, 3, 1).reshape(b, d, d, rows, cols, c).permute(0, 3, 1, 4, 2, 5)
    # narrow, where a slice's end may lie beyond the tensor: export must know that H and W come out as they went in
    return x.reshape(b, rows * d, cols * d, c).narrow(1, 0, h).narrow(2, 0, w).permute(0, 3, 1, 2)


@custom_op('stea_arch::depthwise_weight_gradient', mutates_args=())
def weight_gradient(x: Tensor, grad: Tensor, size: int, dilation: int) -> Tensor:
    """Gradient of the weight of :func:`convolve`, as a convolution.

    Tap (i, j) of a channel is the sum over the pixels of the output's gradient times the input i d rows and j d columns
    further on. That is the padded input, convolved with the gradient as its kernel and with a stride of d. Each image
    has a kernel of its own. One node in a compiled graph, whatever the number of images.

    Args:
        x (Tensor): ``(B, C, H, W)``, what was convolved.
        grad (Tensor): the same shape, gradient of the result.
        size (int): k.
        dilation (int): d.

    Returns:
        Tensor: ``(C, 1, k, k)``, summed over the images in fp32 at least.
    """
    arguments = {'padding': dilation * (size // 2), 'stride': dilation, 'groups': x.shape[1]}
    kernels = grad.unsqueeze(2)
    each = [F.conv2d(x[i : i + 1], kernels[i], **arguments) for i in range(len(x))]
    total = torch.cat(each).sum(0, dtype=torch.promote_types(x.dtype, torch.float32))
    return total.unsqueeze(1).to(x.dtype)


@weight_gradient.register_fake
def _(x, grad, size, dilation):
    return x.new_empty(x.shape[1], 1, size, size)


def _keep(ctx, inputs, output):
    x, grad, _, ctx.dilation = inputs
    ctx.save_for_backward(x, grad)


def _second_order(ctx, share):
    x, grad = ctx.saved_tensors
    d = ctx.dilation
    return convolve(grad, share.flip(2, 3), None, d), convolve(x, share, None, d), None, None


weight_gradient.register_autograd(_second_order, setup_context=_keep)


class _Convolution(torch.autograd.Function):
    """:func:`convolve` with :func:`weight_gradient`."""

    @staticmethod
    def forward(x, weight, bias, dilation):
        return convolve(x, weight, bias, dilation)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, _, ctx.dilation = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        d = ctx.dilation
        wanted = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last)  # of a part of a wider map, it is read several times
        return (
            convolve(grad, weight.flip(2, 3), None, d) if wanted[0] else None,
            weight_gradient(x, grad, weight.shape[-1], d) if wanted[1] else None,
            grad.sum((0, 2, 3)) if wanted[2] else None,
            None,
        )
