"""A network applied to an image of any size in one piece."""

import torch.nn.functional as F


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
