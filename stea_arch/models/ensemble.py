"""Running a network on an image of any size, and the eightfold self-ensemble."""

import torch
import torch.nn.functional as F


def input_multiple(network_opt):
    """What height and width of a network's input must be multiples of.

    Args:
        network_opt (dict): ``network_g``. SwinIR takes whole windows, RRDBNet at x2 and x1 pixel-unshuffles its input;
            BasicSR's other networks and ours take any size.
    """
    if network_opt['type'] == 'RRDBNet':
        return {1: 4, 2: 2}.get(network_opt.get('scale', 4), 1)
    return network_opt.get('window_size', 1)


def forward_any_size(net, lq, multiple=1):
    """Apply a network whose input must be a multiple of something to an image of any size.

    The image is reflected at its right and bottom borders up to the next multiple and the output cropped.

    Args:
        net (nn.Module): (B, C, H, W) -> (B, C, s*H, s*W) with a whole s.
        lq (Tensor): (B, C, H, W), any H, W >= 1.
        multiple (int): What H and W must be multiples of.

    Returns:
        Tensor: (B, C, s*H, s*W).
    """
    height, width = lq.shape[-2:]
    pad_h, pad_w = -height % multiple, -width % multiple
    # a reflection cannot be longer than the image: tiny ones repeat their last row and column
    mode = 'reflect' if pad_h < height and pad_w < width else 'replicate'
    padded = F.pad(lq, (0, pad_w, 0, pad_h), mode) if pad_h or pad_w else lq
    output = net(padded)
    scale = output.shape[-1] // padded.shape[-1]
    return output[..., : height * scale, : width * scale]


def self_ensemble(net, lq, multiple=1):
    """Mean of the outputs over the eight flips and transposes of the input (EDSR's "+", arXiv 1707.02921).

    Args:
        net, lq, multiple: As for :func:`forward_any_size`.

    Returns:
        Tensor: (B, C, s*H, s*W).
    """
    total = 0
    for dims in ((), (-1,), (-2,), (-2, -1)):
        flipped = torch.flip(lq, dims)
        total = total + torch.flip(forward_any_size(net, flipped, multiple), dims)
        turned = forward_any_size(net, flipped.transpose(-1, -2), multiple)
        total = total + torch.flip(turned.transpose(-1, -2), dims)
    return total / 8
