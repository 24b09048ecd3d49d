"""Where a training patch is cut out of an image, and how it is turned: drawn apart from cutting it."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Recipe:
    """The random choices behind one training item that all datasets draw.

    ``json.dumps(dataclasses.asdict(recipe))`` logs a recipe, ``from_dict(json.loads(text))`` of its class brings it
    back.

    Attributes:
        index (int): Which image.
        top (float), left (float): Where the crop starts, in [0, 1) of the possible positions.
        hflip (bool), vflip (bool), transpose (bool): What is done to the crop, in this order.
    """

    index: int
    top: float
    left: float
    hflip: bool
    vflip: bool
    transpose: bool


def generator_of(index):
    """The generator of an item's random choices.

    Args:
        index (int | Draw): For a :class:`stea_arch.data.sampler.Draw` it depends on ``index.entropy`` alone; for a
            plain index the seed is drawn from torch's global generator, which a DataLoader seeds for each worker.

    Returns:
        numpy.random.Generator: A new one.
    """
    entropy = getattr(index, 'entropy', None)
    return np.random.default_rng(torch.randint(2**63 - 1, ()).item() if entropy is None else entropy)


def draw_place(rng, use_hflip, use_rot):
    """Draw where a patch starts and how it is turned.

    Args:
        rng (numpy.random.Generator): Five numbers are drawn, whatever the switches.
        use_hflip (bool): Flip horizontally with probability 1/2.
        use_rot (bool): Flip vertically, and transpose, each with probability 1/2.

    Returns:
        dict: top, left (float in [0, 1), of the possible positions), hflip, vflip, transpose (bool).
    """
    top, left, hflip, vflip, transpose = rng.random(5).tolist()
    return {
        'top': top,
        'left': left,
        'hflip': bool(use_hflip and hflip < 0.5),
        'vflip': bool(use_rot and vflip < 0.5),
        'transpose': bool(use_rot and transpose < 0.5),
    }


def cut(img, place, size):
    """The patch.

    Args:
        img (ndarray): (H, W, C), H and W at least ``size``.
        place: With the attributes that :func:`draw_place` names; flips come first, then the transposition.
        size (int): Side in pixels.

    Returns:
        ndarray: (size, size, C), a view.
    """
    height, width = img.shape[:2]
    top, left = int(place.top * (height - size + 1)), int(place.left * (width - size + 1))
    patch = img[top : top + size, left : left + size]
    patch = patch[:, ::-1] if place.hflip else patch
    patch = patch[::-1] if place.vflip else patch
    return patch.transpose(1, 0, 2) if place.transpose else patch


def to_tensor(img):
    """(H, W, C) array -> contiguous (C, H, W) tensor of the same type."""
    return torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1)))
