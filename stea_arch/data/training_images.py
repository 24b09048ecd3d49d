"""The ground truth of a training set: images of one or several roots, a few of which may be broken."""

import bisect

import torch
from basicsr.utils import get_root_logger

from stea_arch.data.image_source import ImageSource
from stea_arch.system.errors import InputError

MAX_BAD_IMAGES = 3


class UnreadableImages(InputError):
    """More images than allowed, or all of them, cannot be read."""


class TrainingImages:
    """Images by number over all roots. One that cannot be read is replaced by the next that can.

    Which images are bad is known to all loader processes of one training process: the flags lie in shared memory. So
    the bound holds for the run since its start (each process of a distributed run counts for itself, and a resumed run
    counts anew), each bad image is logged once, and what replaces it does not depend on the number of workers.

    Args:
        dataroot (str | list[str]): Folder of images or LMDB, or several.
        backend (str): 'disk' or 'lmdb', for all of them.
        meta_info (str | list[str | None] | None): Text file that lists the images to use, or one for each root.
        max_bad_images (int | None): How many images may be unreadable; None: :data:`MAX_BAD_IMAGES`.

    Attributes:
        sources (list[ImageSource]): One for each root.

    Raises:
        FileNotFoundError, ValueError: What is asked for is impossible.
    """

    def __init__(self, dataroot, backend, meta_info=None, max_bad_images=None):
        max_bad_images = MAX_BAD_IMAGES if max_bad_images is None else max_bad_images
        if type(max_bad_images) is not int or max_bad_images < 0:
            raise InputError(
                f'max_bad_images must be a whole number of at least 0, got {max_bad_images!r}. Give 0 to stop at '
                'the first image that cannot be read.'
            )
        roots = dataroot if isinstance(dataroot, list) else [dataroot]
        lists = meta_info if isinstance(meta_info, list) else [meta_info]
        if meta_info is None:
            lists = [None] * len(roots)
        if len(lists) != len(roots) or not roots:
            raise InputError(
                f'Expected one meta_info for each dataroot_gt, got {len(lists)} for {len(roots)}. Write a '
                'list as long as that of dataroot_gt, with ~ where all images are used.'
            )
        self.max_bad_images = max_bad_images
        self.sources = [ImageSource(root, backend, names) for root, names in zip(roots, lists, strict=True)]
        self._starts = [sum(map(len, self.sources[:number])) for number in range(len(self.sources))]
        self._bad = torch.zeros(sum(map(len, self.sources)), dtype=torch.bool).share_memory_()

    def __len__(self):
        return len(self._bad)

    @property
    def num_bad(self):
        """How many images have been found unreadable, by any loader process."""
        return int(self._bad.sum())

    def check(self, smallest, purpose):
        """As :meth:`ImageSource.check` for every root, but files without a readable header count as bad images."""
        for start, source in zip(self._starts, self.sources, strict=True):
            numbers = {name: start + position for position, name in enumerate(source.names)}
            source.check(smallest, purpose, lambda name, error, numbers=numbers: self._note(numbers[name], error))

    def read(self, index, gt_size=1):
        """An image, or the next readable one after it.

        Args:
            index (int): Position, counted over the roots in order.
            gt_size (int): Least height and width. A smaller image is refused, not replaced: it is whole, but the
                option or the list is wrong.

        Returns:
            tuple[ndarray, str]: (H, W, 3), uint8, RGB; and its path or LMDB key.

        Raises:
            UnreadableImages: More than ``max_bad_images`` are bad, or all of them.
            ValueError: The image is too small.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'The dataset has {len(self)} images; number {index} was asked.')
        for step in range(len(self)):
            number = (index + step) % len(self)
            if self._bad[number]:
                continue
            source, name = self._find(number)
            try:
                img = source.read(name)
            except (ValueError, OSError) as error:
                self._note(number, error)
                continue
            if min(img.shape[:2]) < gt_size:
                raise InputError(
                    f'Images of at least gt_size {gt_size}x{gt_size} pixels were expected, but '
                    f'{source.location(name)} of {source.dataroot} has {img.shape[0]}x{img.shape[1]}. Leave it out by '
                    'listing the others in a file given as meta_info, or lower gt_size.'
                )
            return img, source.location(name)
        raise UnreadableImages(
            f'None of the {len(self)} images of {", ".join(source.dataroot for source in self.sources)} can be read; '
            'the log names a reason for each. Replace them.'
        )

    def _find(self, number):
        root = bisect.bisect_right(self._starts, number) - 1
        return self.sources[root], self.sources[root].names[number - self._starts[root]]

    def _note(self, number, error):
        """Count a bad image; re-raise with the reason if it is one too many, or the only one."""
        self._bad[number] = True
        bad, allowed = self.num_bad, self.max_bad_images
        if bad > allowed or len(self) == 1:
            raise UnreadableImages(
                f'At most {allowed} unreadable images were expected (max_bad_images), but {bad} of {len(self)} cannot '
                f'be read. The last: {error} To go on without them, leave them out of meta_info or raise '
                'max_bad_images.'
            ) from error
        get_root_logger().warning(
            f'Image {bad} of at most {allowed} that cannot be read; from now on the next one takes its place. {error}'
        )
