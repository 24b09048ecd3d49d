"""Many files: what becomes of which, and reading, upscaling and writing side by side."""

import glob
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stea_arch.images.decode import Photo, read_photo
from stea_arch.images.encode import FORMATS, encode_photo
from stea_arch.system.files import whole_or_nothing
from stea_arch.upscaling.compare import make_comparison

AHEAD = 2  # images that are decoded before their turn, and results that wait to be written: bounds the memory


@dataclass(frozen=True)
class Job:
    """A file to read, the file that is made of it, and where a comparison of both goes, if it is wanted."""

    source: Path
    target: Path
    comparison: Path | None = None


def find_images(inputs):
    """The images that are meant.

    Args:
        inputs (list[str]): files, folders (without their sub-folders), or patterns such as ``'scans/**/*.png'``.

    Returns:
        dict[Path, Path | None]: each file once, with the folder it was found in; None for a file or a pattern.

    Raises:
        FileNotFoundError: nothing is there under a name, or no image in a folder.
    """
    found = {}
    for entry in inputs:
        path = Path(entry).expanduser()
        if path.is_dir():
            files, folder = path.iterdir(), path.resolve()
        else:
            files, folder = [path] if path.is_file() else map(Path, glob.glob(str(path), recursive=True)), None
        files = sorted(file for file in files if file == path or _is_image(file))
        if not files:
            raise FileNotFoundError(
                f'There is no image under {entry}: a file, a folder of images ({", ".join(FORMATS)}) or a pattern that '
                'fits some was expected. Sub-folders are searched by a pattern such as "folder/**/*.png".'
            )
        found.update(dict.fromkeys(files, folder))
    return found


def plan(images, out=None, suffix='_x4', extension=None, compare=None):
    """Say which file is made of which, before anything is done.

    Args:
        images (dict[Path, Path | None]): from :func:`find_images`.
        out (str | None): a folder; or a file, where there is one input and the name ends as an image's does. None:
            beside the inputs, with ``suffix`` behind the name of the file, or of the folder.
        suffix (str): for names beside the inputs.
        extension (str | None): e.g. '.png'; None: that of the input.
        compare (str | None): also write a comparison beside each result: 'png' or 'html'.

    Returns:
        list[Job]: in the order of ``images``.

    Raises:
        ValueError: two inputs would become the same file, a result or comparison would replace an input, or a name
            does not end as an image's does or not as ``extension`` says.
    """
    jobs = []
    single = out is not None and len(images) == 1 and Path(out).suffix.lower() in FORMATS and not Path(out).is_dir()
    if single and extension and FORMATS[Path(out).suffix.lower()] != FORMATS[extension]:
        raise ValueError(f'--out {out} and --format name different formats. Leave one of them out.')
    for source, folder in images.items():
        ending = extension or source.suffix
        if single:
            target = Path(out)
        elif out is not None:
            target = Path(out, source.stem + ending)
        elif folder is not None:
            target = folder.with_name(folder.name + suffix) / (source.stem + ending)
        else:
            target = source.with_name(source.stem + suffix + ending)
        jobs.append(Job(source, target, compare and target.with_name(f'{target.stem}_compare.{compare}')))
    _check_targets(jobs)
    return jobs


def _is_image(path):
    return path.suffix.lower() in FORMATS and not path.name.startswith('.') and path.is_file()


def _check_targets(jobs):
    inputs = {job.source.resolve(): job.source for job in jobs}
    made_of = {}
    for job in jobs:
        if job.target.suffix.lower() not in FORMATS:
            raise ValueError(f'{job.target} does not end as an image does ({", ".join(FORMATS)}). Give --format.')
        for target in filter(None, (job.target, job.comparison)):
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


def run(jobs, upscale, workers=2, done=None, warn=None):
    """Read, upscale and write all images; one that fails does not stop the others.

    Reading and writing happen in threads, in which decoding and encoding let others work; the network runs here.

    Args:
        jobs (list[Job]): from :func:`plan`.
        upscale (callable): pixels -> larger pixels, see :class:`stea_arch.upscaling.upscaler.Upscaler`.
        workers (int): threads.
        done (callable | None): called with each job when its result is on its way, or has failed.
        warn (callable | None): called with a source and what of it, beside its pixels, could not be read.

    Returns:
        list[tuple[Path, str]]: sources that failed, with the reason.
    """
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
                    reading.append((job, pool.submit(read_photo, job.source)))
                job, future = reading.popleft()
                photo = _note(failed, job, future.result)
                for warning in photo.warnings if photo and warn else ():
                    warn(job.source, warning)
                pixels = None if photo is None else _note(failed, job, lambda photo=photo: upscale(photo.pixels))
                if pixels is not None:
                    result = Photo(pixels, photo.icc, photo.exif)
                    writing.append((job, pool.submit(_write, job, photo, result)))
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
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        failed.append((job.source, str(error) or type(error).__name__))
        return None


def _write(job, photo, result):
    data = encode_photo(result, job.target.suffix)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    if job.comparison:
        kind = job.comparison.suffix.removeprefix('.')
        _write_bytes(job.comparison, make_comparison(photo, result, kind, job.source.name))
    _write_bytes(job.target, data)  # last: whoever finds it need not do anything again


def _write_bytes(path, data):
    with whole_or_nothing(path) as partial:
        partial.write_bytes(data)
