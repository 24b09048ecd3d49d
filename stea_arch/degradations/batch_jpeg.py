"""JPEG compression of a batch as tensor maths, each image with a quality of its own."""

import copy
from functools import lru_cache

import torch
import torch.nn.functional as F
from basicsr.utils import DiffJPEG


def jpeg(img, qualities):
    """Compress and decompress, by BasicSR's DiffJPEG (4:2:0, standard tables, padded with black to multiples of 16).

    Args:
        img (Tensor): (B, 3, H, W), float32 RGB in [0, 1].
        qualities (Sequence[float]): For each sample, in (0, 100].

    Returns:
        Tensor: (B, 3, H, W), float32 in [0, 1], contiguous.
    """
    quality = torch.tensor(qualities, dtype=img.dtype)
    factor = (torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100).to(img.device)
    height, width = img.shape[-2:]
    padded = F.pad(img, (0, -width % 16, 0, -height % 16))
    codec = _codec(img.device)
    planes = codec.compress(padded, factor=factor)
    return codec.decompress(*planes, *padded.shape[-2:], factor=factor)[..., :height, :width].contiguous()


@lru_cache
def _codec(device):
    # a copy, because all DiffJPEG modules share their tables: moving one to a device would move those of the others
    return copy.deepcopy(DiffJPEG(differentiable=False)).requires_grad_(False).to(device)
