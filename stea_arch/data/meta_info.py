"""Lists of image names in BasicSR's form: one name a line, then perhaps its shape and compression level."""

import codecs
import re
from pathlib import Path

from stea_arch.system.errors import InputError

_WITH_SHAPE = re.compile(r'(?P<name>.*\S)\s+\((?P<h>\d+),\s*(?P<w>\d+),\s*(?P<c>\d+)\)(?:\s+\d+)?')
_IMAGE = re.compile(r'.*\.(?:png|jpe?g|webp|bmp|tiff?)', re.IGNORECASE)


def read_meta_info(path):
    """Names and, where given, shapes.

    A line is ``name.png (h,w,c) level``, a name that ends as an image's does, or one without blanks and then anything.
    Empty lines are skipped. UTF-8 is read, and UTF-16 that begins with its mark.

    Args:
        path (str | Path): Text file; ``~`` is the home folder.

    Returns:
        dict[str, tuple[int] | None]: name -> (h, w, c) or None, in the order of the file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No name in it, or one twice; or it is in another encoding.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'A text file with one image name a line was expected at {path}, but there is none. '
            'Check meta_info, or leave it out to use every image.'
        )
    shapes = {}
    for line in _read_text(path).split('\n'):  # other characters that Python calls line breaks may be in names
        line = line.strip()
        if not line:
            continue
        match = _WITH_SHAPE.fullmatch(line)
        name = match['name'] if match else line if _IMAGE.fullmatch(line) else line.split()[0]
        if name in shapes:
            raise InputError(
                f'Every image should stand once in {path}, but {name} stands there twice. Remove one of the lines.'
            )
        shapes[name] = tuple(int(match[axis]) for axis in 'hwc') if match else None
    if not shapes:
        raise InputError(
            f'At least one image name was expected in {path}, but the file is empty. Write one name a line.'
        )
    return shapes


def can_be_listed(name):
    """Whether lists hold a name as it is: text without line breaks, and without blanks at its ends."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of a file's name that are no UTF-8
        return False
    return name == name.strip() and not any(end in name for end in '\r\n\0')


def _read_text(path):
    data = path.read_bytes()
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode('utf-16' if marked else 'utf-8-sig')
        if '\0' not in text:
            return text
        problem = 'it holds NUL bytes, as UTF-16 without its mark does'
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b'\n') + 1
        problem = f'byte 0x{data[error.start]:02x} in line {line} is not; Windows-1252 has such bytes, for one'
    raise InputError(
        f'{path} was expected to be text in UTF-8, or in UTF-16 with its mark, but {problem}. Save it as UTF-8.'
    )
