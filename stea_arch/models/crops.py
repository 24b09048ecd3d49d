"""A picture of validation crops for TensorBoard: input, result and, where there is one, truth."""

import torch
import torch.nn.functional as F

GAP = 4  # white pixels between crops


def crop_row(visuals, side=128):
    """The middle of one image, side by side.

    Args:
        visuals (dict): ``lq`` (1, 3, H, W), ``result`` (1, 3, sH, sW) and perhaps ``gt``, as ``get_current_visuals``
            gives them, about [0, 1].
        side (int): of a crop, in pixels of the result; smaller images are shown whole, with white around.

    Returns:
        Tensor: (3, side, 3 * (side + GAP)) in [0, 1]; the input enlarged pixel by pixel, white where no truth is.
    """
    result = visuals['result']
    lq = F.interpolate(visuals['lq'], size=result.shape[-2:], mode='nearest')
    tiles = []
    for image in (lq, result, visuals.get('gt')):
        tile = result.new_ones(3, side, side + GAP)
        if image is not None:
            top, left = (max(0, (length - side) // 2) for length in image.shape[-2:])
            crop = image[0, :, top : top + side, left : left + side].clamp(0, 1)
            tile[:, : crop.shape[-2], : crop.shape[-1]] = crop
        tiles.append(tile)
    return torch.cat(tiles, dim=2)


def stack_rows(rows):
    """Rows below each other: list of (3, H, W) -> (3, N * (H + GAP), W)."""
    return torch.cat([F.pad(row, (0, 0, 0, GAP), value=1.0) for row in rows], dim=1)
