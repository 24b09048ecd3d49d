"""The parts of LabNet for inference: the same functions with everything linear in them merged."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from stea_arch import triton_ops
from stea_arch.archs.layers import average, depthwise_results
from stea_arch.archs.stea import STEA, TTEA


class FusedBlock(nn.Module):
    """What a ``LabBlock`` computes, in fewer multiply-adds and with fewer feature maps. ``(B, C, H, W)`` both ways.

    What is linear between the depthwise results and ``y`` is one 1x1 convolution, see ``LabBlock.merged``. STEA
    and TTEA are merged too, see ``FusedSTEA``; the other attentions stay as they are. With STEA a pixel costs
    ``21.4 C^2`` multiply-adds in 1x1 convolutions, in a ``LabBlock`` 25.5. The two halves of the feed-forward are
    computed apart, so that neither has to be read out of a wider map. The methods are those of ``LabBlock``.

    Args:
        block (LabBlock): the block to be computed; its weights are copied and merged in fp64.
    """

    def __init__(self, block):
        super().__init__()
        block = copy.deepcopy(block)
        self.mix_halo = block.mix_halo
        self.norm1 = block.norm1
        fuse_attention = {STEA: FusedSTEA, TTEA: FusedTTEA}.get(type(block.attention))
        self.attention = fuse_attention(block.attention) if fuse_attention else block.attention
        self.fields = nn.ModuleList(block.fields())
        self.self_gate = block.self_gate.project
        self.local = block.local
        self.merge = ConcatConv(_pointwise(*copy.deepcopy(block).double().merged(), block))
        self.channel_attention = block.channel_attention
        self.norm2 = block.norm2
        self.feed_forward = FusedFeedForward(block.feed_forward)

    def forward(self, f):
        x = self.norm1(f)
        y = self.mix(x, self.statistics(x))
        return self.finish(f, y, average(y))

    def statistics(self, x):
        """What the attention has to know of all pixels of ``x``, a tuple of tensors."""
        return self.attention.statistics(x)

    def mix(self, x, statistics):
        """``y`` of ``x``, given the ``statistics`` of the whole image; a pixel sees ``mix_halo`` pixels around it."""
        t = self.attention(x, statistics)
        s = torch.addcmul(x, x, F.gelu(self.self_gate(x)))
        return self.merge(self.parts(x, t, s))

    def parts(self, x, t, s):
        """What ``merge`` joins, one by one, so that it need not hold all at once."""
        yield from depthwise_results(t, self.fields)
        yield from (t, s, self.local(x))

    def finish(self, f, y, mean):
        """``out`` of ``f``, ``y`` and the average of ``y`` over the whole image; a pixel sees one around it."""
        z = torch.addcmul(f, y, self.channel_attention(mean))
        return self.feed_forward(z, self.norm2(z))


class ConcatConv(nn.Module):
    """A 1x1 convolution of several maps side by side."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, parts):
        """An iterable of ``(B, C, H, W)`` -> ``(B, C, H, W)``."""
        return self.conv(torch.cat(list(parts), dim=1))


class AddConv(nn.Module):
    """``y + P x`` with a 1x1 convolution ``P`` without bias; ``y`` may be overwritten."""

    def __init__(self, weight, like):
        super().__init__()
        self.conv = _pointwise(weight, None, like)

    def forward(self, y, x):
        return y + self.conv(x)


class _FusedGatedExpansion(nn.Module):
    """What both orders share. A subclass makes ``hidden`` and ``out`` and defines ``expansion(hidden, *gates)``.

    The first layers of the bottlenecks ``phi`` that read ``x`` (that of ``phi_3`` also reads ``v``, which is linear in
    ``x``) are stacked into ``hidden``. From one bottleneck to the next lead two 1x1 convolutions with nothing but a
    gate between them, which are one small convolution for each image, see ``gated_step``: maps of C channels shrink to
    C/4. ``out`` is made of the last layers, whose biases ``local`` adds. ``mergeable`` as in ``Attention``.
    """

    mergeable = True

    def __init__(self, attention):
        super().__init__()
        self.value = attention.value
        self.gate = attention.self_gate.project
        self.local = attention.local
        names = [name for name, _ in attention.named_children() if name.startswith('gate')]
        self.gates = nn.ModuleList(getattr(attention, name) for name in names)
        self.expand1, self.expand2 = attention.phi1[2], attention.phi2[2]
        self.reduce2, self.reduce3 = attention.phi2[0], attention.phi3[0]

    def statistics(self, x):
        """Means over the pixels of ``x``, ``(B, C, H, W)``; those of an image are the weighted means of its parts'."""
        return (average(x),)

    def forward(self, x, statistics):
        """Normalised features ``x`` -> ``t``, both ``(B, C, H, W)``; ``statistics`` are those of the whole image."""
        expansion = self.expansion(self.hidden(x), *(gate(*statistics) for gate in self.gates))
        t = torch.addcmul(x, x, F.gelu(self.gate(x))) + self.local(self.value(x))
        return self.out(t, expansion)


class FusedSTEA(_FusedGatedExpansion):
    """``STEA`` with ``phi_i = E_i . GELU . R_i`` (``R`` reduces C channels to C/4, ``E`` expands them again) as ::

        h1 = GELU( R_1 x )
        h2 = GELU( R_2 x + [R_2 g_1 E_1] h1 )
        h3 = GELU( R_3 (I + P) x + [R_3 g_2 E_2] h2 )
        t  = [E_2 E_3] [h2, h3] + DW[7,1](v) + x * GELU(P[C->C] x) + x,   v = P x

    Biases left out here.
    """

    def __init__(self, attention):
        super().__init__(attention)
        phi1, phi2, phi3 = attention.phi1, attention.phi2, attention.phi3
        self.hidden = _stack([_affine(phi1[0]), _affine(phi2[0]), _of_input_and_value(phi3[0], attention.value)], phi1)
        (weight2, bias2), (weight3, bias3) = _affine(phi2[2]), _affine(phi3[2])
        self.out = AddConv(torch.cat([weight2, weight3], dim=1), phi1)
        self.local.bias.data += (bias2 + bias3).to(self.local.bias)

    def expansion(self, hidden, gate1, gate2):
        h1, h2, h3 = hidden.chunk(3, dim=1)
        h2 = F.gelu(h2 + gated_step(F.gelu(h1), self.expand1, gate1, self.reduce2))
        h3 = F.gelu(h3 + gated_step(h2, self.expand2, gate2, self.reduce3))
        return torch.cat([h2, h3], dim=1)


class FusedTTEA(_FusedGatedExpansion):
    """``TTEA`` with ``R`` and ``E`` as in ``FusedSTEA``::

    h  = GELU( R_1 x )
    k1 = GELU( [R_2 g_1 E_1] h ),  k2 = GELU( [R_2 g_2 E_2] k1 )
    e  = GELU( r + [R_3 g_1 E_1] h ) + GELU( r + [R_3 g_2 E_2] k1 ) + GELU( r + [R_3 g_3 E_2] k2 ),  r = R_3 (I + P) x
    t  = E_3 e + DW[7,1](v) + x * GELU(P[C->C] x) + x,   v = P x
    """

    def __init__(self, attention):
        super().__init__(attention)
        phi1, phi3 = attention.phi1, attention.phi3
        self.hidden = _stack([_affine(phi1[0]), _of_input_and_value(phi3[0], attention.value)], phi1)
        weight, bias = _affine(phi3[2])
        self.out = AddConv(weight, phi1)
        self.local.bias.data += (3 * bias).to(self.local.bias)

    def expansion(self, hidden, gate1, gate2, gate3):
        h, r = hidden.chunk(2, dim=1)
        h, b = F.gelu(h), self.reduce2.bias.view(-1, 1, 1)
        k1 = F.gelu(gated_step(h, self.expand1, gate1, self.reduce2) + b)
        k2 = F.gelu(gated_step(k1, self.expand2, gate2, self.reduce2) + b)
        steps = [(h, self.expand1, gate1), (k1, self.expand2, gate2), (k2, self.expand2, gate3)]
        e1, e2, e3 = (F.gelu(r + gated_step(*step, self.reduce3)) for step in steps)
        return e1 + e2 + e3


def gated_step(h, expand, gate, reduce):
    """``R (g * E h)``, without the bias of ``R``, as one product with the matrix ``R diag(g) E`` of each image.

    Args:
        h (Tensor): ``(B, C/4, H, W)``.
        expand (nn.Conv2d): ``E``, 1x1, C/4 -> C.
        gate (Tensor): ``g``, ``(B, C, 1, 1)``.
        reduce (nn.Conv2d): ``R``, 1x1, C -> C/4.

    Returns:
        Tensor: ``(B, C/4, H, W)``.
    """
    gated = reduce.weight.flatten(1) * gate.flatten(1)[:, None]
    weight, bias = gated @ expand.weight.flatten(1), gated @ expand.bias
    pixels = h.flatten(2).transpose(1, 2) @ weight.transpose(1, 2) + bias[:, None]
    return pixels.transpose(1, 2).unflatten(2, h.shape[2:])


class FusedFeedForward(nn.Module):
    """``z + GatedFeedForward(x)`` with a convolution for each of ``q1`` and ``q2``; ``z`` may be overwritten."""

    def __init__(self, feed_forward):
        super().__init__()
        self.expand = nn.ModuleList(_halves(feed_forward.expand))
        self.spatial = nn.ModuleList(_halves(feed_forward.spatial))
        self.reduce = feed_forward.reduce

    def forward(self, z, x):
        if triton_ops.usable(x):
            expand, spatial = (torch.cat([conv.weight for conv in pair]) for pair in (self.expand, self.spatial))
            return z + self.reduce(triton_ops.gated_depthwise(F.conv2d(x, expand), spatial))
        q1, q2 = (spatial(expand(x)) for expand, spatial in zip(self.expand, self.spatial))
        return z + self.reduce(F.gelu(q1) * q2)


class FusedTail(nn.Module):
    """The tail of LabNet, which has no nonlinearity, as one 5x5 convolution and one pixel-shuffle.

    Two or three 3x3 convolutions with pixel-shuffles between them join an output pixel with less than two pixels
    around it, so far from the border they are ``5x5 C -> s^2 out`` followed by a pixel-shuffle s: a tenth of the
    multiply-adds and no large feature map. Up to two pixels from the border, where each of them fills up with zeros in
    its own way, the tail itself is computed, on strips of four pixels.

    Args:
        tail (nn.Sequential): convolutions and pixel-shuffles, ``(B, C, H, W)`` -> ``(B, out, s H, s W)``, H, W >= 4.
    """

    def __init__(self, tail):
        super().__init__()
        self.tail = copy.deepcopy(tail)
        self.upscale = 1
        for layer in tail:
            self.upscale *= getattr(layer, 'upscale_factor', 1)
        weight, bias = _impulse_response(copy.deepcopy(tail).double(), self.upscale)
        self.inner = _convolution(weight, bias, tail)

    def forward(self, x):
        s, (h, w) = self.upscale, x.shape[2:]
        edge = 2 * s
        inner = F.pixel_shuffle(self.inner(x), s).narrow(2, edge, (h - 4) * s).narrow(3, edge, (w - 4) * s)
        top, bottom = self.tail(x.narrow(2, 0, 4)), self.tail(x.narrow(2, h - 4, 4))
        left, right = self.tail(x.narrow(3, 0, 4)), self.tail(x.narrow(3, w - 4, 4))
        columns = [side.narrow(2, edge, (h - 4) * s) for side in (left, right)]
        middle = torch.cat([columns[0].narrow(3, 0, edge), inner, columns[1].narrow(3, edge, edge)], dim=3)
        return torch.cat([top.narrow(2, 0, edge), middle, bottom.narrow(2, edge, edge)], dim=2)


def _impulse_response(tail, s):
    """Weight ``(s^2 out, C, 5, 5)`` and bias of the convolution that a linear ``tail`` is far from its border."""
    c, device = tail[0].in_channels, tail[0].weight.device
    impulses = torch.zeros(c + 1, c, 9, 9, dtype=torch.float64, device=device)
    impulses[range(c), range(c), 4, 4] = 1
    with torch.no_grad():
        *responses, silence = F.pixel_unshuffle(tail(impulses), s)[..., 2:7, 2:7]
    # The pixel at distance d sees the impulse at distance -d.
    return torch.stack([response - silence for response in responses], dim=1).flip(2, 3), silence[:, 2, 2]


def _of_input_and_value(reduce, value):
    """``R (x + v)`` as a map of ``x``, where ``v`` is the value of ``x``."""
    (weight, bias), (inner, shift) = _affine(reduce), _affine(value)
    return weight + weight @ inner, bias + weight @ shift


def _halves(conv):
    """The two convolutions without bias that give the two halves of ``conv``'s channels."""
    for weight in conv.weight.detach().chunk(2):
        depthwise = conv.groups > 1
        yield _convolution(weight, None, conv, len(weight) if depthwise else 1)


def _affine(conv):
    """Weight ``(out, in)`` and bias ``(out,)`` of a 1x1 convolution, in fp64."""
    return conv.weight.detach().double().flatten(1), conv.bias.detach().double()


def _stack(affine, like):
    weights, biases = zip(*affine)
    return _pointwise(torch.cat(weights), torch.cat(biases), like)


def _pointwise(weight, bias, like):
    return _convolution(weight[:, :, None, None], bias, like)


def _convolution(weight, bias, like, groups=1):
    """A convolution that keeps H and W, of the type and on the device of the module ``like``."""
    like = next(like.parameters())
    out_ch, in_ch, kernel_size, _ = weight.shape
    conv = nn.Conv2d(
        in_ch * groups, out_ch, kernel_size, padding=kernel_size // 2, groups=groups, bias=bias is not None
    )
    conv.weight.data = weight.detach().to(like, copy=True)
    if bias is not None:
        conv.bias.data = bias.detach().to(like, copy=True)
    return conv
