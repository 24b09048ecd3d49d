"""LabNet's tail for inference: the same function, merged as it is linear."""

import copy

import torch
import torch.nn.functional as F
from torch import nn


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
        self.weight, self.bias = (nn.Parameter(each.to(tail[0].weight)) for each in (weight, bias))

    def forward(self, x):
        s, (h, w) = self.upscale, x.shape[2:]
        edge = 2 * s
        inner = F.conv2d(x, self.weight, self.bias, padding=2)
        inner = F.pixel_shuffle(inner, s).narrow(2, edge, (h - 4) * s).narrow(3, edge, (w - 4) * s)
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


def optimize_for(network, device):
    """The fastest equivalent of a network in PyTorch alone, moved to ``device``: fused, if it can be."""
    return (network.fuse() if hasattr(network, 'fuse') else network).to(device)
