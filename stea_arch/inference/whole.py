"""An image in one piece, and where its result goes: a tensor of our own, or whatever the caller has prepared."""

import numpy as np
import torch
import torch.nn.functional as F

from stea_arch.system.errors import InputError


def make_result(out, shape, like):
    """The tensor to be filled.

    Args:
        out (Tensor | ndarray | None): what the caller gave, e.g. a view of an ``np.memmap``, which is then written to.
        shape (sequence of int): that of the whole result, ``(B, C, H, W)``.
        like (Tensor): a first part of the result, which gives type and device where ``out`` is None.

    Returns:
        Tensor: of ``shape``; it shares the memory of ``out``.

    Raises:
        ValueError: ``out`` has another shape or a type that is neither uint8 nor floating.
    """
    if out is None:
        return torch.empty(shape, dtype=like.dtype, device=like.device)
    if isinstance(out, np.ndarray) and out.flags.writeable:
        out = torch.from_numpy(out)
    usable = isinstance(out, torch.Tensor) and (out.is_floating_point() or out.dtype == torch.uint8)
    if not usable or tuple(out.shape) != tuple(shape):
        given = f'{out.dtype} of shape {tuple(out.shape)}' if hasattr(out, 'shape') else f'a {type(out).__name__}'
        raise InputError(
            f'out must be a writable tensor or array of shape {tuple(shape)}, of uint8 or a floating type, got '
            f'{given}. Make it of that shape (channels first; a transposed view will do), or leave it out.'
        )
    return out


def put(target, values):
    """Write floating ``values`` to ``target``, both of one shape; a uint8 target gets them clipped, times 255, rounded.

    Args:
        target (Tensor): the result or a view of it, on any device.
        values (Tensor): a part of an image, about [0, 1].
    """
    if target.dtype == torch.uint8:
        values = values.float().clamp(0, 1).mul_(255).round_()
    target.copy_(values)


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
