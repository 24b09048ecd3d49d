"""The manifest of a benchmark set: what its pixels must be."""

import hashlib
import json
from pathlib import Path

from stea_arch.data.image_io import decode, list_images

MANIFEST = 'manifest.json'


def pixel_checksums(folder):
    """SHA-256 of every image's RGB pixels, row by row.

    Args:
        folder (str | Path): Folder of images.

    Returns:
        dict[str, str]: File name -> hexadecimal text.
    """
    return {name: pixel_checksum(Path(folder, name)) for name in list_images(folder)}


def pixel_checksum(path):
    """That of one file; a ValueError if it is broken."""
    return hashlib.sha256(decode(Path(path).read_bytes(), str(path), allow_gray=True).tobytes()).hexdigest()


def read_manifest(folder):
    """The manifest of a folder as a dictionary; a ValueError if it is none."""
    path = Path(folder, MANIFEST)
    try:
        manifest = json.loads(path.read_text(encoding='utf-8'))
        if isinstance(manifest['scale'], int) and 'gt' in manifest['pixels_sha256']:
            return manifest
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(
        f'A manifest with scale and pixels_sha256, as stea-data gaussian8 writes it, was expected in {path}, but it '
        'cannot be read as one. Make the set again.'
    )
