"""Lists of image names in BasicSR's form: one name a line, then perhaps its shape and compression level."""

import re
from pathlib import Path

from stea_arch.system.errors import InputError

_WITH_SHAPE = re.compile(r'(?P<name>\S.*?)\s+\((?P<h>\d+),\s*(?P<w>\d+),\s*(?P<c>\d+)\)')


def read_meta_info(path):
    """Names and, where given, shapes.

    A line is ``name.png (h,w,c) level``, or a name followed by anything after a blank. Empty lines are skipped.

    Args:
        path (str | Path): Text file.

    Returns:
        dict[str, tuple[int] | None]: name -> (h, w, c) or None, in the order of the file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No name in it, or one twice.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'A text file with one image name a line was expected at {path}, but there is none. '
            'Check meta_info, or leave it out to use every image.'
        )
    shapes = {}
    for line in Path(path).read_text(encoding='utf-8').splitlines():
        if not line.strip():
            continue
        match = _WITH_SHAPE.match(line.strip())
        name = match['name'] if match else line.split()[0]
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
