"""LabNet in the authors' operations, with the weights of one of ours: what its other forms are measured against."""

import copy

import torch
from torch import nn

from stea_arch.archs.block import LabBlock
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.mlfr import LargeFieldBranch


class PlainDilated(nn.Conv2d):
    """A dilated convolution as the library computes it, with the weights of one of ours."""

    def __init__(self, ours):
        super().__init__(
            ours.in_channels, ours.out_channels, ours.kernel_size, 1, ours.padding, ours.dilation, ours.groups
        )
        self.load_state_dict(ours.state_dict())


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
            module.far = PlainDilated(module.far).to(module.far.weight)
    return network
