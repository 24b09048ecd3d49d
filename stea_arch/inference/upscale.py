"""One entry for all ways to run a network on an image."""

import torch

from stea_arch.inference.parts import upscale_in_parts
from stea_arch.inference.strips import Strips
from stea_arch.inference.tiles import upscale_in_tiles
from stea_arch.inference.whole import forward_any_size, make_result, put
from stea_arch.system.errors import InputError

# method: {size that it reads: (default, least value)}, all in pixels
METHODS = {
    'whole': {},
    'strips': {'strip': (128, 1)},
    'tiles': {'tile': (256, 8), 'overlap': (32, 0)},
}


@torch.no_grad()
def upscale_tensor(net, lq, method='whole', out=None, multiple=1, **sizes):
    """Upscale images with a network, by one of these methods:

    - ``whole``: ``net(lq)``.
    - ``strips``: the same result (difference below 1e-5 in fp32) of a LabNet or RealNet, fused or not, with a few
      feature maps in memory: four times C channels of the image's size, and strips. It computes the pixels around each
      strip again, the fewer the larger ``strip``. The attention ``softmax`` needs its keys and values on top.
    - ``tiles``: any network on overlapping tiles, blended; memory for one tile. Not the same result: the gates of
      LabNet average over a tile in place of the image.

    Args:
        net (nn.Module): ``(B, C, H, W)`` -> ``(B, C, s H, s W)``, in eval mode.
        lq (Tensor): ``(B, C, H, W)`` in [0, 1], on the network's device. Autocast is the caller's.
        method (str): one of those above.
        out (Tensor | ndarray | None): ``(B, C, s H, s W)``, filled and returned as a tensor: of a floating type, or
            uint8, which gets the result clipped, times 255 and rounded; on any device; also a view of an ``np.memmap``.
        multiple (int): what H and W of the network's input must be multiples of, e.g. SwinIR's window.
        strip (int): ``strips``: rows (columns, where the image is wider than high) of a strip at each level; default
            128.
        tile (int): ``tiles``: side of a tile in pixels of ``lq``; default 256.
        overlap (int): ``tiles``: least overlap of two tiles in pixels of ``lq``; default 32.

    Returns:
        Tensor: ``(B, C, s H, s W)``, about [0, 1], not clamped where it is floating.

    Raises:
        ValueError: an unknown method, a size that the method does not read or that is out of range, an ``out`` that
            does not fit, or a network that the method cannot run.
    """
    sizes = resolve_sizes(method, sizes)
    if lq.ndim != 4:
        raise InputError(f'lq must be a batch of images (B, C, H, W), got a tensor of shape {tuple(lq.shape)}.')
    if method == 'tiles':
        return upscale_in_tiles(net, lq, multiple=multiple, out=out, **sizes)
    if method == 'strips':
        return upscale_in_parts(net, lq, Strips(sizes['strip'], longer_axis(*lq.shape[2:])), out)
    output = forward_any_size(net, lq, multiple)
    if out is None:
        return output
    result = make_result(out, output.shape, output)
    put(result, output)
    return result


def longer_axis(height, width):
    """The axis of ``(B, C, H, W)`` that strips cut across."""
    return 2 if height >= width else 3


def resolve_sizes(method, sizes):
    """The sizes of a method with its defaults filled in.

    Args:
        method (str): a key of ``METHODS``.
        sizes (dict): some of its sizes.

    Returns:
        dict[str, int]: all of them.

    Raises:
        ValueError: see :func:`upscale_tensor`.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise InputError(f'method must be one of {", ".join(METHODS)}, got {method!r}.')
    known = METHODS[method]
    for name, value in sizes.items():
        if name not in known:
            takes = ', '.join(known) or 'no sizes'
            raise InputError(f'method {method!r} does not read {name}: it takes {takes}. Remove it or change method.')
        if type(value) is not int or value < known[name][1]:
            least = known[name][1]
            raise InputError(f'{name} must be a whole number of at least {least} pixels, got {value!r}.')
    return {name: sizes.get(name, default) for name, (default, _) in known.items()}
