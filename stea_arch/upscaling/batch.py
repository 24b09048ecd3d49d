"""Many files: what becomes of which, and reading, upscaling and writing side by side."""

import functools
import glob
import os
import re
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from stea_arch.images.decode import READ_ONLY, read_header, read_photo
from stea_arch.images.encode import FORMATS, OPAQUE, cannot_be_clear, check_size, encode_photo, is_opaque
from stea_arch.system.files import whole_or_nothing
from stea_arch.upscaling import video
from stea_arch.upscaling.compare import make_comparison

READABLE = (*FORMATS, *READ_ONLY)
WRITABLE = (*FORMATS, *video.FORMATS)
LONGEST_NAME = 230  # bytes: file systems allow 255, and the parts of a film lie under a name that is longer by 24
AHEAD = 2  # images that are decoded before their turn, and results that wait to be written: bounds the memory


@dataclass(frozen=True)
class Job:
    """A file to read, the file that is made of it, and where a comparison of both goes, if it is wanted."""

    source: Path
    target: Path
    comparison: Path | None = None


def find_images(inputs, out=None, suffix=None, note=None):
    """The images that are meant.

    Earlier results are known by their names (``photo_x4.jpg`` beside ``photo.jpg``) and left out, unless named.

    Args:
        inputs (list[str]): files, folders with all images below them, or patterns such as ``'scans/**/*.png'``. Films
            take hours: a file or pattern has to name them.
        out (str | None): where results will go: nothing below it is an input, unless named.
        suffix (str | None): what else the names of earlier results end in.
        note (callable | None): called with a sentence on what a folder or pattern leaves out.

    Returns:
        dict[Path, Path | None]: each file once, with the folder it was found in, the innermost of several; None for a
            file or a pattern, which goes before folders.

    Raises:
        FileNotFoundError: nothing is there under a name, or no image in a folder.
    """
    found, out = {}, out and Path(out).expanduser().resolve()
    for entry in inputs:
        path = Path(entry).expanduser()
        if path.is_file():
            found[path] = None  # also where a folder of it was given before
            continue
        folder = path if path.is_dir() else None
        there = sorted(_below(path) if folder else map(Path, glob.glob(str(path), recursive=True)))
        endings = READABLE if folder else (*READABLE, *video.ENDINGS)
        files = [file for file in there if file.suffix.lower() in endings and file.name[0] != '.' and file.is_file()]
        root = path if folder else Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
        results = _earlier_results(files, suffix, out if out and root.resolve() in out.parents else None)
        linked = [path for path in there if folder and path.is_dir()]
        if note and (text := _left_out(there, files, results, linked)):
            note(f'{entry}: left out {text}.')
        files = [file for file in files if file not in results]
        if not files:
            raise FileNotFoundError(
                f'There is no image under {entry}: a file, a folder of images ({", ".join(READABLE)}) or a pattern '
                'that fits some was expected.'
            )
        for file in files:
            given = folder, found.get(file, folder)
            found[file] = None if None in given else max(given, key=lambda path: len(path.parts))
    return found


def _below(folder):
    """All files of a folder and its sub-folders, without hidden ones; and links to folders, which are not followed."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith('.')]
        yield from (Path(parent, name) for name in files)
        yield from (path for name in folders if (path := Path(parent, name)).is_symlink())


def _earlier_results(files, suffix, out):
    stems = {(file.parent, file.stem) for file in files}
    result = re.compile(rf'(.+)(?:_x\d+(?:\.\d+)?{f"|{re.escape(suffix)}" if suffix else ""})(?:_compare)?')
    named = {file: result.fullmatch(file.stem) for file in files}
    beside = {file for file, match in named.items() if match and (file.parent, match[1]) in stems}
    return beside | {file for file in files if out and out in file.resolve().parents}


def _left_out(there, files, results, linked):
    """What is in ``there`` and is not taken, in words; hidden files are not worth a word."""
    seen, files = [path for path in there if not path.name.startswith('.')], set(files)
    groups = {
        'other types': [path for path in seen if path.is_file() and path not in files],
        'earlier results': sorted(results),
        'linked folders': linked,
    }
    return '; '.join(f'{what} ({_some(paths)})' for what, paths in groups.items() if paths)


def _some(paths):
    return ', '.join(path.name for path in paths[:3]) + (f', ... {len(paths)} in all' if len(paths) > 3 else '')


def plan(images, out=None, suffix=None, extension=None, compare=None, scale=4):
    """Say which file is made of which, before anything is done.

    Args:
        images (dict[Path, Path | None]): from :func:`find_images`.
        out (str | None): a folder; or a file, where there is one input and the name ends as an image's does. None:
            beside the inputs, with ``suffix`` behind the name of the file, or of the folder. What lies below a folder
            lies in the same sub-folders there.
        suffix (str | None): for names of results; None: e.g. '_x4' beside the inputs, nothing in ``out``.
        extension (str | None): e.g. '.png'; None: that of the input, or '.png' where that can only be read.
        compare (str | None): also write a comparison beside each result: 'png' or 'html'.
        scale (float): for the suffix.

    Returns:
        list[Job]: in the order of ``images``.

    Raises:
        ValueError: two inputs would become the same file, a result or comparison would replace an input, a name does
            not end as an image's does or not as ``extension`` says, or there can be no such file.
    """
    jobs, out = [], out and os.path.expanduser(out)
    single = out is not None and len(images) == 1 and Path(out).suffix.lower() in WRITABLE and not Path(out).is_dir()
    if single and extension and FORMATS.get(Path(out).suffix.lower()) != FORMATS[extension]:
        raise ValueError(f'--out {out} and --format name different formats. Leave one of them out.')
    if single and suffix:
        raise ValueError(f'--out {out} is the whole name of the result: leave --suffix out, or name a folder.')
    if suffix is None:
        suffix = '' if out else f'_x{scale:g}'
    if out is not None and not single:
        _check_folder(out, len(images))
    for source, folder in images.items():
        ending = _ending(source, extension)
        below = source.parent.relative_to(folder) if folder else ''
        if single:
            target = Path(out)
        elif out is not None:
            target = Path(out, below, source.stem + suffix + ending)
        elif folder is not None:
            home = folder.resolve()
            target = home.with_name(home.name + suffix) / below / (source.stem + ending)
        else:
            target = source.with_name(source.stem + suffix + ending)
        compared = compare and not is_film(source)
        jobs.append(Job(source, target, target.with_name(f'{target.stem}_compare.{compare}') if compared else None))
    _check_targets(jobs)
    return jobs


def is_film(path):
    """Whether a name ends as a film's does."""
    return path.suffix.lower() in video.ENDINGS


def _ending(source, extension):
    if is_film(source):
        return '.mkv' if source.suffix.lower() in video.READ_ONLY else source.suffix
    return extension or ('.png' if source.suffix.lower() in READ_ONLY else source.suffix)


def _check_folder(out, count):
    """``out`` is to be a folder: refuse a file, and a name that was meant to be one of an image."""
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise ValueError(f'--out {out} is a file: a folder was expected{" for several images" if count > 1 else ""}.')
    ending = path.suffix.lower()
    if not path.exists() and not out.endswith(('/', os.sep)) and re.fullmatch(r'\.(?=.*[a-z])\w{1,5}', ending):
        expected = 'a folder for several images' if ending in WRITABLE else f'one of {", ".join(WRITABLE)}'
        raise ValueError(f'--out {out} ends in {ending}: expected {expected}. If it is a folder, write {out}{os.sep}.')


def check_results(jobs, scale):
    """Say what can be known of the results before the first is computed.

    Args:
        jobs (list[Job]): from :func:`plan`.
        scale (float): how much larger they are.

    Raises:
        ValueError: results that their format cannot hold; the message names the inputs.
    """
    problems = {}
    for job in jobs:
        try:
            header = read_header(job.source)
            clear = FORMATS[job.target.suffix.lower()] in OPAQUE and header.channels in (2, 4)
            clear = clear and not is_opaque(read_photo(job.source).pixels)
        except Exception:  # it fails alone when its turn comes
            continue
        try:
            check_size(round(header.height * scale), round(header.width * scale), job.target.suffix)
        except ValueError as error:
            problems[job.source] = error
        if clear:
            problems[job.source] = cannot_be_clear(job.target.suffix)
    if problems:
        more = f' (and {len(problems) - 5} more)' if len(problems) > 5 else ''
        listed = '\n'.join(f'  {source}: {problem}' for source, problem in list(problems.items())[:5])
        raise ValueError(f'{len(problems)} of {len(jobs)} results could not be written{more}:\n{listed}')


def _check_readable(path):
    try:
        read_header(path)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _check_targets(jobs):
    inputs = {job.source.resolve(): job.source for job in jobs}
    for folder in {job.target.parent for job in jobs}:
        there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=there):  # permissions alone do not tell
                pass
        except OSError as error:
            raise ValueError(
                f'Results cannot be written to {folder}: a file in {there} was tried ({error.strerror}). Give another '
                'folder with --out.'
            ) from error
    made_of = {}
    for job in jobs:
        kind, expected = ('a film', video.FORMATS) if is_film(job.source) else ('an image', FORMATS)
        if job.target.suffix.lower() not in expected:
            if not is_film(job.source):
                _check_readable(job.source)
            raise ValueError(
                f'{job.target} does not end as {kind} does ({", ".join(expected)}). Give --format or --out.'
            )
        for target in filter(None, (job.target, job.comparison)):
            if len(os.fsencode(target.name)) > LONGEST_NAME:
                raise ValueError(
                    f'The name of a result can have {LONGEST_NAME} bytes, but {target.name} has '
                    f'{len(os.fsencode(target.name))}. Give a shorter one with --out.'
                )
            path = target.resolve()
            if path in inputs:
                raise ValueError(
                    f'The result of {job.source} would replace the input {inputs[path]}. Give another folder with '
                    '--out.'
                )
            other = made_of.setdefault(path, job.source)
            if other != job.source:
                raise ValueError(
                    f'{other} and {job.source} would both become {target}. Upscale them into different folders, one '
                    'after the other.'
                )


def run(jobs, upscale, workers=2, done=None, warn=None, film=None, **encoding):
    """Read, upscale and write all images; one that fails does not stop the others.

    Reading and writing happen in threads, in which decoding and encoding let others work; the network runs here.

    Args:
        jobs (list[Job]): from :func:`plan`.
        upscale (callable): pixels -> larger pixels, see :class:`stea_arch.upscaling.upscaler.Upscaler`.
        workers (int): threads.
        done (callable | None): called with each job when its result is on its way, or has failed.
        warn (callable | None): called with a source and what of it, beside its pixels, could not be read.
        film (dict | None): ``settings`` and ``resume`` of :func:`stea_arch.upscaling.video.upscale_video`.
        **encoding: see :func:`stea_arch.images.encode.encode_photo`.

    Returns:
        list[tuple[Path, str]]: sources that failed, with the reason.
    """
    from stea_arch.upscaling.colour import upscale_in_srgb  # here: it needs PyTorch, and names are checked before

    failed = []
    reading, writing = deque(), deque()
    waiting = deque(jobs)

    def finish():
        job, future = writing.popleft()
        _note(failed, job, future.result)

    with ThreadPoolExecutor(workers) as pool:
        try:
            while waiting or reading:
                while waiting and len(reading) < AHEAD:
                    job = waiting.popleft()
                    reading.append((job, None if is_film(job.source) else pool.submit(read_photo, job.source)))
                job, future = reading.popleft()
                if future is None:
                    _note(failed, job, lambda job=job: _write_film(job, upscale, film or {}, warn))
                elif photo := _note(failed, job, future.result):
                    for warning in photo.warnings if warn else ():
                        warn(job.source, warning)
                    pixels = _note(failed, job, lambda photo=photo: upscale_in_srgb(photo, upscale))
                    if pixels is not None:
                        result = replace(photo, pixels=pixels)
                        writing.append((job, pool.submit(_write, job, photo, result, encoding)))
                    if len(writing) > AHEAD:
                        finish()
                if done:
                    done(job)
            while writing:
                finish()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def _note(failed, job, function):
    """``function()``, or None after noting why it failed."""
    try:
        return function()
    except Exception as error:  # of any kind: whatever is in one file, the others are to be done
        failed.append((job.source, describe(error)))
        return None


def describe(error):
    """What to say of an exception: its message, and its class where that is needed to make sense of it."""
    kind, meant = type(error), isinstance(error, (ValueError, OSError, MemoryError, RuntimeError))
    name = kind.__name__ if kind.__module__ == 'builtins' else f'{kind.__module__}.{kind.__name__}'
    return (str(error) if meant else f'{name}: {error}') or name


def _write_film(job, upscale, settings, warn):
    job.target.parent.mkdir(parents=True, exist_ok=True)
    warn = warn and functools.partial(warn, job.source)
    video.upscale_video(job.source, job.target, upscale, warn=warn, **settings)


def _write(job, photo, result, encoding):
    data = encode_photo(result, job.target.suffix, **encoding)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    if job.comparison:
        kind = job.comparison.suffix.removeprefix('.')
        _write_bytes(job.comparison, make_comparison(photo, result, kind, job.source.name))
    _write_bytes(job.target, data)  # last: whoever finds it need not do anything again


def _write_bytes(path, data):
    with whole_or_nothing(path) as partial:
        partial.write_bytes(data)
