"""One encoded image on its way into a result, and how images are encoded."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from stea_arch.data.image_io import decode, read_header, stem

FAST = 1  # the level at which speed decides


@dataclass(frozen=True)
class Record:
    """An encoded image.

    Attributes:
        name (str): With extension; sub-folders are parted by ``/``.
        shape (tuple[int]): (h, w, c).
        level (int): PNG compression level, as BasicSR notes it; 1 for a file that is kept as it came.
        data (bytes): The encoded file.
        digest (str): Its checksum, computed where the record is made: in a worker, not by the one that writes.
    """

    name: str
    shape: tuple
    level: int
    data: bytes
    digest: str = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, 'digest', checksum(self.data))

    @property
    def key(self):
        """The name without its extension."""
        return stem(self.name)


def checksum(data):
    """SHA-256 of bytes, as hexadecimal text."""
    return hashlib.sha256(data).hexdigest()


def encode_png(img, level=FAST):
    """Encode as PNG.

    Level 1 takes the average filter and run lengths, measured on photographs as the fastest to write and to read that
    is not larger than zlib's level 1 with libpng's own choice of filters. Other levels are zlib's.

    Args:
        img (ndarray): (H, W, 3) RGB or (H, W), uint8.
        level (int): 0 (none) to 9 (smallest).

    Returns:
        bytes: The file.
    """
    options = [cv2.IMWRITE_PNG_COMPRESSION, level]
    if level == FAST:
        options += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
        if hasattr(cv2, 'IMWRITE_PNG_FILTER'):  # OpenCV 4.12 or newer
            options += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]
    return cv2.imencode('.png', img if img.ndim == 2 else cv2.cvtColor(img, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def file_record(path, name, allow_gray=False):
    """An image file as it is, after decoding it once.

    Args:
        path (str | Path): The file.
        name (str): What the record is called.
        allow_gray (bool): Accept one channel; it stays one.

    Returns:
        Record: Of the checked image.

    Raises:
        ValueError: Broken or of another kind.
    """
    data = Path(path).read_bytes()
    img = decode(data, str(path), allow_gray)
    return Record(name, (*img.shape[:2], read_header(path)[2]), FAST, data)
