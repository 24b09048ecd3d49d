"""LabNet in the authors' operations, with the weights of one of ours: what its other forms are measured against."""

import copy

import torch

from stea_arch.archs.block import LabBlock
from stea_arch.archs.depthwise import Depthwise
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.mlfr import LargeFieldBranch


class PlainDilated(Depthwise):
    """A dilated convolution as the library computes it."""

    def _convolve(self, x, bias):
        return self._conv_forward(x, self.weight, bias)


class PlainBlock(LabBlock):
    """A block by the authors' operations, with nothing multiplied out."""

    def mix(self, x, statistics):
        a = self.beta * self.large_field(self.attention(x, statistics)) + self.self_gate(x)
        return self.merge(torch.cat([a, self.local(x)], dim=1))


def make_labnet(**arguments):
    """A LabNet with ``beta`` and norms random: at its start value of 0, ``beta`` hides the large field."""
    network = LabNet(**arguments)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith('beta') or 'norm' in name:
                parameter.normal_(0.5, 0.1)
    return network


def make_plain(network):
    """A copy of a LabNet, or of a block of one, in the authors' operations."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        if type(module) is LabBlock:
            module.__class__ = PlainBlock
        if isinstance(module, LargeFieldBranch):
            getattr(module, module.wide).__class__ = PlainDilated
    return network
