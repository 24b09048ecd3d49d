"""How far the work is and how long it will take, also within an image."""

import sys

import torch
from torch import nn
from tqdm import tqdm

from stea_arch.images.decode import read_header
from stea_arch.upscaling import video

FORMAT = '{desc} {percentage:3.0f}% |{bar}| {elapsed}, left {remaining}'
SIDE = 64  # of the image of zeros that shows how the work is shared out; blocks work otherwise on smaller ones


def watch(network, advance):
    """Call ``advance(pixels)`` after every convolution, with its share of the network's work in pixels of the input.

    Over one image the shares add up to about its number of pixels: a little more where it is computed in strips, as
    these overlap.

    Args:
        network (nn.Module): of (B, 3, H, W); it is run once, on a very small image.
        advance (callable): takes a float.

    Returns:
        list: the hooks' handles; ``remove()`` ends it.
    """
    work_per_pixel = 0
    report = False

    def count(layer, _, output):
        nonlocal work_per_pixel
        work = layer.weight.numel() * output.shape[0] * output.shape[2] * output.shape[3]
        if report:
            advance(work / work_per_pixel)
        else:
            work_per_pixel += work / SIDE**2

    handles = [layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        network(torch.zeros(1, 3, SIDE, SIDE, device=next(network.parameters()).device))
    report = True
    return handles


class Progress:
    """A bar over the pixels of all images, with an estimate of the time left. There is none where nobody looks.

    Args:
        jobs (list[Job]): what will be done, in this order.
        network (nn.Module): whose work is watched, so that the bar moves while an image is computed.
    """

    def __init__(self, jobs, network):
        self.bar = tqdm(total=0, disable=None, bar_format=FORMAT)
        self.jobs, self.finished, self.ends, self.handles = jobs, 0, [], []
        if self.bar.disable:
            return
        for job in jobs:
            self.bar.total += _pixels(job.source)
            self.ends.append(self.bar.total)
        self.handles = watch(network, self._advance)
        self._describe()

    def done(self, job):
        """To be called after each job: the bar goes to its end, whatever was counted within it."""
        if not self.bar.disable:
            self.bar.update(self.ends[self.finished] - self.bar.n)
            self.finished += 1
            self._describe()

    def warn(self, source, warning):
        """Print a warning above the bar."""
        self.bar.write(f'{source}: {warning}', file=sys.stderr)

    def close(self):
        """Take the bar away."""
        self.bar.close()
        for handle in self.handles:
            handle.remove()

    def _advance(self, pixels):
        self.bar.update(min(pixels, self.ends[self.finished] - self.bar.n))

    def _describe(self):
        if self.finished < len(self.jobs):
            self.bar.set_description(f'{self.finished + 1}/{len(self.jobs)} {self.jobs[self.finished].source.name}')


def _pixels(path):
    """Height times width, of all pictures of a film; 0 for a file that will fail."""
    if path.suffix.lower() in video.ENDINGS:
        return video.count_pixels(path)
    try:
        header = read_header(path)
    except Exception:  # of any kind, as of a file that will fail
        return 0
    return header.height * header.width
