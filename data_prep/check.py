"""Decode every image of a folder or LMDB and say what training or evaluation would stumble over."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from data_prep.output import part_of
from data_prep.parallel import cores, in_threads
from data_prep.record import checksum
from data_prep.sinks import FOLDER_CHECKSUMS, LMDB_CHECKSUMS
from stea_arch.data.image_io import decode
from stea_arch.data.image_source import ImageSource
from stea_arch.data.lmdb_store import LmdbStore, reading


@dataclass
class Report:
    """What was found.

    Attributes:
        images (int): How many were looked at.
        heights (list[int]), widths (list[int]): Of those that could be read.
        checked (int): Records whose checksum was compared.
        problems (list[str]): One sentence or more for each image that cannot be used.
    """

    images: int = 0
    heights: list = field(default_factory=list)
    widths: list = field(default_factory=list)
    checked: int = 0
    problems: list = field(default_factory=list)

    def __str__(self):
        lines = [f'{self.images} images, {len(self.problems)} with problems']
        if self.heights:
            lines.append(
                f'heights {min(self.heights)} to {max(self.heights)}, widths {min(self.widths)} to {max(self.widths)}'
            )
        if self.checked:
            lines.append(f'{self.checked} checksums compared')
        return '\n'.join(lines + [f'- {problem}' for problem in self.problems])

    def add(self, other, label=''):
        """Take over what another report found, its problems marked with ``label``."""
        self.images += other.images
        self.heights += other.heights
        self.widths += other.widths
        self.checked += other.checked
        self.problems += [f'{label}{problem}' for problem in other.problems]


def check_images(path, gt_size=None, allow_gray=False, workers=None, progress=True, meta_info=None):
    """Decode everything.

    Args:
        path (str): Folder of images, or LMDB (a folder with ``data.mdb``).
        gt_size (int | None): Side of the training crops; smaller images are reported.
        allow_gray (bool): Do not report images of one channel.
        workers (int | None): Threads; None for all cores.
        progress (bool): Show a progress bar.
        meta_info (str | None): Text file that lists the images to look at.

    Returns:
        Report: Empty ``problems`` if all is well.

    Raises:
        FileNotFoundError: There is nothing to look at.
    """
    is_lmdb = (Path(path) / 'data.mdb').exists()
    report = Report()
    try:
        source = ImageSource(path, 'lmdb' if is_lmdb else 'disk', meta_info, allow_gray=allow_gray)
    except ValueError as error:
        report.problems.append(str(error))
        source = _what_there_is(path, allow_gray) if is_lmdb else None
        if source is None:
            return report
    sums = _read_checksums(Path(path, LMDB_CHECKSUMS if is_lmdb else FOLDER_CHECKSUMS))
    report.images = len(source.names)
    looks = in_threads(partial(_look, source, sums, gt_size), source.names, workers or cores(), progress)
    for size, problems in looks:
        report.problems += problems
        if size:
            report.heights.append(size[0])
            report.widths.append(size[1])
    report.checked = sum(_label(source, name) in sums for name in source.names)
    if not meta_info:
        labels = {_label(source, name) for name in source.names}
        report.problems += [
            f'{label} has a checksum, but there is no such image in {path}: it was lost. Make the result again.'
            for label in sums
            if label not in labels
        ]
        report.problems += _unlisted_keys(source) if is_lmdb else []
    if part_of(path).exists():
        report.problems.append(
            f'{part_of(path)} was left by a run that was interrupted. Start it again, or remove that folder.'
        )
    return report


def _what_there_is(path, allow_gray):
    """What checking reads of a source, for an LMDB whose list names more than it has; None if it is unusable."""
    try:
        store = LmdbStore(path, allow_missing=True)
    except ValueError:
        return None
    return SimpleNamespace(dataroot=path, store=store, names=store.names, allow_gray=allow_gray)


def _look(source, sums, gt_size, name):
    """((height, width) or None, problems) of one image."""
    label, where, problems = _label(source, name), f'{name} of {source.dataroot}', []
    try:
        data = source.store.read(name) if source.store else Path(source.location(name)).read_bytes()
        if label in sums and checksum(data) != sums[label]:
            problems.append(f'{where} has another checksum than when it was written: it was changed or damaged.')
        size = decode(data, os.path.join(source.dataroot, name), source.allow_gray).shape[:2]
    except ValueError as error:
        return None, [*problems, str(error)]
    except OSError as error:  # as of a link that leads nowhere
        return None, [*problems, f'{where} could not be read: {error.strerror or error}. Replace it or leave it out.']
    noted = source.store and source.store.shapes.get(name)
    if noted and tuple(noted[:2]) != size:
        problems.append(
            f'{where} is noted as {noted[0]}x{noted[1]} in meta_info.txt, but has {size[0]}x{size[1]} pixels. Make '
            'the LMDB again.'
        )
    if gt_size and min(size) < gt_size:
        problems.append(
            f'{name} has {size[0]}x{size[1]} pixels, but crops of {gt_size}x{gt_size} are wanted. '
            'Leave it out or lower gt_size.'
        )
    return size, problems


def _label(source, name):
    """What the checksums call an image: its key in an LMDB, its name in a folder."""
    return source.store.key(name) if source.store else name


def _unlisted_keys(source):
    listed = {source.store.key(name).encode() for name in source.names}
    try:
        with reading(source.dataroot) as txn:
            keys = [bytes(key) for key in txn.cursor().iternext(values=False)]
    except ValueError as error:
        return [str(error)]
    return [
        f'The key {key.decode(errors="replace")} is in the database, but not in meta_info.txt: nothing reads it. Make '
        'the LMDB again.'
        for key in keys
        if key not in listed
    ]


def _read_checksums(path):
    if not os.path.isfile(path):
        return {}
    lines = Path(path).read_text(encoding='utf-8').split('\n')  # names may hold other characters that end lines
    return {name: digest for digest, _, name in (line.partition('  ') for line in lines if line)}
