"""What a network's input must be a multiple of, and the eightfold self-ensemble."""

import torch

from stea_arch.inference import upscale_tensor


def input_multiple(network_opt):
    """What height and width of the input of a network, described by ``network_g``, must be multiples of: SwinIR takes
    whole windows, RRDBNet at x2 and x1 pixel-unshuffles; BasicSR's other networks and ours take any size.
    """
    if network_opt['type'] == 'RRDBNet':
        return {1: 4, 2: 2}.get(network_opt.get('scale', 4), 1)
    return network_opt.get('window_size', 1)


def self_ensemble(net, lq, multiple=1, **inference):
    """Mean of the outputs, (B, C, s*H, s*W), over the eight flips and transposes of the input (EDSR's "+", arXiv
    1707.02921); arguments as for :func:`stea_arch.inference.upscale_tensor`.
    """
    total = 0
    for dims in ((), (-1,), (-2,), (-2, -1)):
        flipped = torch.flip(lq, dims)
        total = total + torch.flip(upscale_tensor(net, flipped, multiple=multiple, **inference), dims)
        turned = upscale_tensor(net, flipped.transpose(-1, -2), multiple=multiple, **inference)
        total = total + torch.flip(turned.transpose(-1, -2), dims)
    return total / 8
