"""Bicubic enlargement as a network without parameters."""

import torch
from torch import nn

from stea_arch.registry import register


@register('ARCH_REGISTRY')
class Bicubic(nn.Module):
    """MATLAB's bicubic (``imresize``: a = -0.5, borders mirrored), so that the baseline of every table passes through
    the same test pipeline as the networks it is compared with.

    Not the bicubic of LabNet's skip, which has a = -0.75 and repeats its borders.

    Args:
        upscale (int): the factor, at least 1.

    Raises:
        ValueError: ``upscale`` is not a positive whole number.
    """

    def __init__(self, upscale=4):
        super().__init__()
        if type(upscale) is not int or upscale < 1:
            raise ValueError(f'upscale must be a whole number of at least 1, got {upscale!r}. Give the scale.')
        self.upscale = upscale

    def forward(self, lq):
        """``(B, C, H, W)`` in [0, 1] -> ``(B, C, upscale H, upscale W)``, clipped to [0, 1], in the type of ``lq``."""
        from stea_arch.degradations.resize import resize_matrix  # here: networks are imported without BasicSR

        rows, columns = (lq.new_tensor(resize_matrix(length, length * self.upscale)) for length in lq.shape[-2:])
        # Mixed precision would round this reference to 8 bits of mantissa.
        with torch.autocast(lq.device.type, enabled=False):
            return (rows @ lq @ columns.T).clamp(0, 1)
