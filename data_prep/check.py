"""Decode every image of a folder or LMDB and say what training or evaluation would stumble over."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data_prep.parallel import in_threads
from stea_arch.data.image_source import ImageSource


@dataclass
class Report:
    """What was found.

    Attributes:
        images (int): How many were looked at.
        heights (list[int]), widths (list[int]): Of those that could be read.
        problems (list[str]): One sentence or more for each image that cannot be used.
    """

    images: int = 0
    heights: list = field(default_factory=list)
    widths: list = field(default_factory=list)
    problems: list = field(default_factory=list)

    def __str__(self):
        lines = [f'{self.images} images, {len(self.problems)} with problems']
        if self.heights:
            lines.append(
                f'heights {min(self.heights)} to {max(self.heights)}, widths {min(self.widths)} to {max(self.widths)}'
            )
        return '\n'.join(lines + [f'- {problem}' for problem in self.problems])


def check_images(path, gt_size=None, allow_gray=False, workers=2, progress=True):
    """Decode everything.

    Args:
        path (str): Folder of images, or LMDB (a folder with ``data.mdb``).
        gt_size (int | None): Side of the training crops; smaller images are reported.
        allow_gray (bool): Do not report images of one channel.
        workers (int): Threads.
        progress (bool): Show a progress bar.

    Returns:
        Report: Empty ``problems`` if all is well.

    Raises:
        FileNotFoundError, ValueError: There is nothing to look at; see :class:`ImageSource`.
    """
    backend = 'lmdb' if (Path(path) / 'data.mdb').exists() else 'disk'
    source = ImageSource(path, backend, allow_gray=allow_gray)
    report = Report(images=len(source))
    for found, name in zip(in_threads(partial(_look, source), source.names, workers, progress), source.names):
        if isinstance(found, str):
            report.problems.append(found)
            continue
        height, width = found
        report.heights.append(height)
        report.widths.append(width)
        if gt_size and min(found) < gt_size:
            report.problems.append(
                f'{name} has {height}x{width} pixels, but crops of {gt_size}x{gt_size} are wanted. '
                'Leave it out or lower gt_size.'
            )
    return report


def _look(source, name):
    """(height, width), or what is wrong."""
    try:
        return source.read(name).shape[:2]
    except ValueError as error:
        return str(error)
