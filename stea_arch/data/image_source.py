"""The images of one dataset, from a folder or an LMDB, all of them or those that a list names."""

import os

from stea_arch.data.image_io import check_kind, check_stems, decode, list_images, read_header, stem
from stea_arch.data.lmdb_store import LmdbStore
from stea_arch.data.meta_info import read_meta_info
from stea_arch.system.errors import InputError

BACKENDS = ('disk', 'lmdb')


class ImageSource:
    """Names of images and, on demand, their pixels. Holds no handle, so it can be pickled and forked.

    Args:
        dataroot (str): A folder of images, or the folder of an LMDB.
        backend (str): 'disk' or 'lmdb'.
        meta_info (str | None): Text file that lists the images to use, first word a line; None for all of them.
        allow_gray (bool): Read one channel as three equal ones instead of refusing it.

    Attributes:
        names (list[str]): Image names, usually with extension.

    Raises:
        FileNotFoundError, ValueError: Nothing there, empty, or a listed image missing.
    """

    def __init__(self, dataroot, backend, meta_info=None, allow_gray=False):
        if backend not in BACKENDS:
            raise InputError(
                f'io_backend.type must be disk or lmdb, got {backend!r}. Use disk for a folder of '
                'images and lmdb for what stea-data lmdb has made.'
            )
        if not dataroot:
            raise InputError(
                'Expected dataroot_gt, the folder or LMDB of the ground-truth images, got none. '
                'Set dataroot_gt in the section of the dataset.'
            )
        self.dataroot, self.allow_gray = str(dataroot), allow_gray
        self.store = LmdbStore(self.dataroot) if backend == 'lmdb' else None
        if meta_info:
            self.names = self._find(list(read_meta_info(meta_info)), meta_info)
        else:
            self.names = self.store.names if self.store else list_images(self.dataroot)

    def _find(self, listed, meta_info):
        names, missing = [], []
        for name in listed:
            try:
                names.append(self.store.resolve(name) if self.store else name)
            except KeyError:
                missing.append(name)
            else:
                if not self.store and not os.path.isfile(self.location(name)):
                    missing.append(name)
        if missing:
            raise FileNotFoundError(
                f'Every name in {meta_info} should be an image in {self.dataroot}, but '
                f'{_some(missing, len(listed))}. Correct the list or dataroot_gt.'
            )
        check_stems(names, meta_info)
        return names

    def __len__(self):
        return len(self.names)

    def check_labels(self):
        """Raise a ValueError if two images have the same :func:`label`, so that one's results would be the other's."""
        labels = {}
        for name in self.names:
            other = labels.setdefault(label(name), name)
            if other != name:
                raise InputError(
                    f'Results are called by the names of images, with _ between folder and file, but {self.dataroot} '
                    f'has {other} and {name}: the result of one would overwrite that of the other. Rename one, or '
                    'list the images to use in a file given as meta_info.'
                )

    def location(self, name):
        """Where an image lies: its path, or its key in the LMDB."""
        return self.store.key(name) if self.store else os.path.join(self.dataroot, name)

    def read(self, name):
        """An image's pixels: (H, W, 3), uint8, RGB; a ValueError if it is broken, of another kind or refused."""
        if self.store:
            return decode(self.store.read(name), f'{self.dataroot}, key {self.store.key(name)}', self.allow_gray)
        with open(self.location(name), 'rb') as file:
            return decode(file.read(), self.location(name), self.allow_gray)

    def check(self, smallest, purpose, on_broken=None):
        """Refuse, before anything runs, images that would fail later, as far as is known without decoding pixels.

        Known are the shapes in an LMDB's ``meta_info.txt`` and the headers of files. The rest is found on reading.

        Args:
            smallest (int): Least height and width.
            purpose (str): What needs them, for the message.
            on_broken (callable | None): Called as ``on_broken(name, error)`` for a file without a readable header;
                None: it is refused like the others.

        Raises:
            ValueError: An image is too small, gray where that is refused, transparent, of more bits, or no image.
        """
        small = []
        for name in self.names:
            try:
                header = self._header(name)
            except ValueError as error:
                if on_broken is None:
                    raise
                on_broken(name, error)
                continue
            if header is None:
                continue
            height, width, channels, bits = header
            check_kind(f'{name} of {self.dataroot}', channels, bits, self.allow_gray)
            if min(height, width) < smallest:
                small.append(f'{name} ({height}x{width})')
        if small:
            raise InputError(
                f'Images of at least {smallest}x{smallest} pixels were expected ({purpose}), but in '
                f'{self.dataroot} {_some(small, len(self.names), "are smaller")}. Leave them out '
                '(the meta_info of a dataset lists the images to use), or ask for less.'
            )

    def _header(self, name):
        if self.store:
            shape = self.store.shapes.get(name)
            return (*shape, 8) if shape else None
        return read_header(self.location(name))


def label(name):
    """What results of an image are called: images of sub-folders stay apart, and no folder is needed."""
    return stem(name).replace('/', '_')


def _some(names, total, what='are missing'):
    return f'{len(names)} of {total} {what}: {", ".join(names[:5])}{", ..." if len(names) > 5 else ""}'
