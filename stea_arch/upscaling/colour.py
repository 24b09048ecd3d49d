"""The colours of a photograph are not the network's to change: its result keeps the low frequencies of the input."""

import torch.nn.functional as F

BLOCK = 16  # pixels of the input: coarser than noise and the blocks of a JPEG, which are not to come back
ROUNDS = 4  # clipping, and the smooth course from block to block, leave a rest of about a fifth each time


def keep_low_frequencies(sr, lq):
    """Shift the colours of a result, smoothly, until its means over blocks are those of the input.

    Args:
        sr (Tensor): ``(B, C, s H, s W)`` in [0, 1]; changed in place.
        lq (Tensor): ``(B, C, H, W)``, what it was made of; or ``(B, 1, H, W)`` for all channels.

    Returns:
        Tensor: ``sr``.
    """
    height, width = sr.shape[-2:]
    scale = height // lq.shape[-2]
    expected = _block_means(lq, BLOCK)
    for _ in range(ROUNDS):
        shift = expected - _block_means(sr, BLOCK * scale)
        size = [length * BLOCK * scale for length in shift.shape[-2:]]
        for channel in range(sr.shape[1]):  # one at a time: the result is large enough without a copy of it
            smooth = F.interpolate(shift[:, channel, None], size, mode='bilinear')[..., :height, :width]
            sr[:, channel, None].add_(smooth).clamp_(0, 1)
    return sr


def _block_means(image, size):
    return F.avg_pool2d(image, size, ceil_mode=True, count_include_pad=False)
