"""All training images decoded once and kept as bytes on the training device, where patches are cut out of them.

With ``device_images: true`` a dataset's items are the random choices alone, a few numbers. Cutting and degrading, which
is what takes a loader's time, then happens on the device, for whole batches.
"""

from concurrent.futures import ThreadPoolExecutor

import torch

from stea_arch.system.errors import InputError

LARGEST_SHARE = 0.6  # of the free memory of a GPU; the rest is for the training itself


class DeviceImages:
    """Images of a training set on one device.

    Args:
        images (TrainingImages): What is decoded, by number; an unreadable image is replaced there.
        smallest (int): Least height and width of an image.
        device (torch.device): Where they are kept: 3 bytes a pixel.

    Raises:
        UnreadableImages, ValueError: As ``images.read``; or the images do not fit into the device's free memory.
    """

    def __init__(self, images, smallest, device):
        with ThreadPoolExecutor() as pool:
            arrays = list(pool.map(lambda number: images.read(number, smallest)[0], range(len(images))))
        self._check_room(sum(array.nbytes for array in arrays), len(arrays), device)
        sizes = torch.tensor([array.shape[:2] for array in arrays], device=device)
        self.heights, self.widths = sizes.unbind(1)
        pixels = self.heights * self.widths
        self.starts = pixels.cumsum(0) - pixels
        self.white = torch.tensor(255.0, device=device)  # by a plain 255 CUDA multiplies with the rounded inverse
        self.pixels = torch.cat([torch.from_numpy(array).to(device).view(-1, 3) for array in arrays])

    @staticmethod
    def _check_room(needed, count, device):
        if device.type != 'cuda':
            return
        free = torch.cuda.mem_get_info(device)[0]
        if needed > LARGEST_SHARE * free:
            raise InputError(
                f'device_images: true keeps all {count} images on the GPU. They take {needed / 2**30:.1f} GiB decoded, '
                f'and {free / 2**30:.1f} GiB are free, of which {LARGEST_SHARE:.0%} may be used. Write '
                'device_images: false, or name fewer images in meta_info.'
            )

    def cut(self, places, size):
        """Cut one patch for each place, as :func:`stea_arch.data.patches.cut` does from one image.

        Where an image is smaller than the patch, it is mirrored at its bottom and right without repeating the edge.

        Args:
            places (Tensor): (B, 6), float64: number of the image, top, left (both in [0, 1), of the possible
                positions), hflip, vflip, transpose (0 or 1).
            size (int): Side of the patches in pixels.

        Returns:
            Tensor: (B, 3, size, size), float32 in [0, 1], of 8-bit values.
        """
        number, top, left, hflip, vflip, transpose = places.unbind(1)
        number = number.long()
        heights, widths = self.heights[number], self.widths[number]
        steps = torch.arange(size, device=places.device)
        rows = _along(top, heights, vflip, steps)
        columns = _along(left, widths, hflip, steps)
        indices = self.starts[number, None, None] + rows[:, :, None] * widths[:, None, None] + columns[:, None, :]
        indices = torch.where(transpose.bool()[:, None, None], indices.transpose(1, 2), indices)
        return (self.pixels[indices].float() / self.white).permute(0, 3, 1, 2).contiguous()


def _along(start, lengths, flip, steps):
    """Which rows (or columns) of its image each patch is made of, (B, size)."""
    size = len(steps)
    first = (start * (lengths.clamp(min=size) - size + 1)).long()
    steps = torch.where(flip.bool()[:, None], size - 1 - steps, steps)
    positions = first[:, None] + steps
    period = (2 * (lengths - 1)).clamp(min=1)[:, None]
    positions = positions % period
    return torch.minimum(positions, period - positions).minimum(lengths[:, None] - 1)


def place_tensor(recipe):
    """What :meth:`DeviceImages.cut` wants to know of a recipe: (6,), float64."""
    values = (recipe.index, recipe.top, recipe.left, recipe.hflip, recipe.vflip, recipe.transpose)
    return torch.tensor(values, dtype=torch.float64)
