"""What a network's input must be a multiple of, and the eightfold self-ensemble."""

import torch
from basicsr.utils.registry import ARCH_REGISTRY

from stea_arch.inference import upscale_tensor
from stea_arch.options.sections import defaults_of, registered


def input_multiple(network_opt):
    """What height and width of a network's input must be multiples of.

    Args:
        network_opt (dict): ``network_g``. SwinIR and others with a ``window_size``, written or by default, take whole
            windows, RRDBNet at x2 and x1 pixel-unshuffles its input; BasicSR's other networks and ours take any size.
    """
    if network_opt['type'] == 'RRDBNet':
        return {1: 4, 2: 2}.get(network_opt.get('scale', 4), 1)
    network = registered(ARCH_REGISTRY, network_opt['type'])
    return {'window_size': 1, **defaults_of(network), **network_opt}['window_size']


def self_ensemble(net, lq, multiple=1, **inference):
    """Mean of the outputs over the eight flips and transposes of the input (EDSR's "+", arXiv 1707.02921).

    Args:
        net, lq, multiple, **inference: As for :func:`stea_arch.inference.upscale_tensor`.

    Returns:
        Tensor: (B, C, s*H, s*W).
    """
    total = 0
    for dims in ((), (-1,), (-2,), (-2, -1)):
        flipped = torch.flip(lq, dims)
        total = total + torch.flip(upscale_tensor(net, flipped, multiple=multiple, **inference), dims)
        turned = upscale_tensor(net, flipped.transpose(-1, -2), multiple=multiple, **inference)
        total = total + torch.flip(turned.transpose(-1, -2), dims)
    return total / 8
