"""Smaller copies of an image, so that a network also meets the texture of things that are far away.

Real-ESRGAN's training data are DF2K at the factors 0.75, 0.5 and 1/3 and once with a shortest edge of 400 pixels,
resized by Lanczos, called NAMET0 to NAMET3; it then cuts tiles of 400. Source: Real-ESRGAN's documentation of training.
Here a copy that is smaller than a tile is left out: a training crop would not fit into it; so is one of 400 pixels that
would be larger than the image.
"""

import numpy as np
from PIL import Image

FACTORS = (0.75, 0.5, 1 / 3)
SHORTEST_EDGE = 400


def copy_sizes(height, width, smallest):
    """Sizes of the copies.

    Args:
        height (int), width (int): Of the image.
        smallest (int): Copies with a shorter edge are left out.

    Returns:
        list[tuple[str, tuple[int]]]: Suffix (``T0`` to ``T3``) and (height, width), rounded down, none enlarged.
    """
    sizes = [(int(height * factor), int(width * factor)) for factor in FACTORS]
    longest = int(SHORTEST_EDGE * (max(height, width) / min(height, width)))
    if min(height, width) >= SHORTEST_EDGE:  # else it would be an enlargement, blurred
        sizes.append((longest, SHORTEST_EDGE) if width < height else (SHORTEST_EDGE, longest))
    return [(f'T{number}', size) for number, size in enumerate(sizes) if min(size) >= smallest]


def copies(img, smallest):
    """The copies themselves.

    Args:
        img (ndarray): (H, W, 3), uint8.
        smallest (int): Copies with a shorter edge are left out.

    Yields:
        tuple[str, ndarray]: Suffix and pixels.
    """
    picture = Image.fromarray(img)
    for suffix, (height, width) in copy_sizes(*img.shape[:2], smallest):
        yield suffix, np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
