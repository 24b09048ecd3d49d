"""Source images in, a folder or LMDB of records out: in parallel, in order, each image decoded once, resumable."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data_prep.output import identity_of, is_complete, resumable, stamp_of, write_whole
from data_prep.parallel import cores, in_threads
from data_prep.sinks import JOURNAL, sink_for
from stea_arch.data.meta_info import can_be_listed

SHOWN = 20  # broken images that a message names
SKIPPED = '.skipped.txt'  # in a result: what was left out of it, and why


@dataclass(frozen=True)
class Way:
    """How a command works, apart from what it makes.

    Attributes:
        workers (int): Threads.
        progress (bool): Show progress bars.
        skip_broken (bool): Leave out images that cannot be used, instead of refusing to go on.
        replace (bool): Put the result in the place of an older one.
    """

    workers: int = field(default_factory=cores)
    progress: bool = True
    skip_broken: bool = False
    replace: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        target (str): The result.
        records (int | None): Images in it; None if it was complete before.
        kept (int): Source images that an interrupted run had done.
        skipped (list[str]): A sentence or more for each source that was left out.
    """

    target: str
    records: int | None
    kept: int = 0
    skipped: list = field(default_factory=list)

    def __str__(self):
        if self.records is None:
            lines = [f'{self.target} is complete: it was made of the same images in the same way.']
        else:
            lines = [f'Wrote {self.records} images to {self.target}.']
        if self.kept:
            lines.insert(0, f'Source images done by an earlier run: {self.kept}.')
        if self.skipped:
            lines.append(f'Source images left out: {len(self.skipped)}')
        return '\n'.join(lines + [f'- {problem}' for problem in self.skipped])


def produce(paths, make, target, way, expected_bytes=0, skipped=(), **settings):
    """Make a folder or, where the name ends in .lmdb, an LMDB.

    Args:
        paths (dict[str, Path]): Source name -> file.
        make (Callable): ``make(name, path)`` -> list[Record]; a ValueError or OSError says that the image cannot be
            used. Runs in threads.
        target (str): What to make.
        way (Way): How.
        expected_bytes (int): Rough size of the result.
        skipped (Iterable[str]): What was left out before, to be reported with the rest.
        settings: Whatever decides, besides the sources, what comes out; JSON values.

    Returns:
        Outcome: What came of it.

    Raises:
        FileExistsError: ``target`` exists and is something else.
        ValueError: Images that cannot be used, all of them; what is done stays for the next run.
    """
    paths, unusable = usable(paths, way)
    skipped = [*skipped, *unusable]
    stamps = {name: stamp_of(path) for name, path in paths.items()}
    identity = identity_of(stamps, **settings)
    if is_complete(target, identity) and not way.replace:
        Path(target, JOURNAL).unlink(missing_ok=True)
        return Outcome(str(target), None, skipped=_lines(Path(target, SKIPPED)))
    with resumable(target, identity, way.replace, ('settings',), paths.values()) as part:
        sink = sink_for(target)(part, stamps, expected_bytes)
        try:
            kept = len(sink.done)
            waiting = {name: path for name, path in paths.items() if name not in sink.done}
            broken = []
            results = in_threads(partial(_attempt, make), waiting.items(), way.workers, way.progress, Path(target).name)
            for result, name in zip(results, waiting):  # in this order: the bar ends when results do
                if isinstance(result, Exception):
                    broken.append(f'{name}: {result}')
                else:
                    sink.put(name, result)
            sink.flush()
            if broken and not (way.skip_broken and len(broken) < len(paths)):
                raise ValueError(_refusal(broken, len(paths)))
            records = sink.finish(paths)
            left_out = [*skipped, *broken]
            (part / SKIPPED).unlink(missing_ok=True)  # of an interrupted run
            if left_out:
                write_whole(part / SKIPPED, (f'{problem}\n' for problem in left_out))
        finally:
            sink.close()
    Path(target, JOURNAL).unlink()
    return Outcome(str(target), records, kept, left_out)


def usable(paths, way):
    """The files that are there and whose names the lists of a result can hold, and a sentence for each of the others.

    A ValueError if there are others and ``way`` does not skip them, or nothing would be left.
    """
    good, unusable = {}, []
    for name, path in paths.items():
        if not can_be_listed(name):
            unusable.append(
                f'{name!a}: the name has line breaks, blanks at its ends or bytes that are not UTF-8, which lists of '
                'names cannot hold: rename it'
            )
        elif not path.exists():
            unusable.append(f'{name}: {path} is a link that leads nowhere.')
        else:
            good[name] = path
    if unusable and not (way.skip_broken and good):
        raise ValueError(_refusal(unusable, len(paths)))
    return good, unusable


def _lines(path):
    return path.read_text(encoding='utf-8').splitlines() if path.is_file() else []


def _attempt(make, item):
    try:
        return make(*item)
    except (ValueError, OSError) as error:
        return error


def _refusal(broken, total):
    more = f' | and {len(broken) - SHOWN} more.' if len(broken) > SHOWN else ''
    return (
        f'Every image should be usable, but {len(broken)} of {total} are not: {" | ".join(broken[:SHOWN])}{more} '
        'Replace them and start again (finished images are not done again), or leave them out by --skip-broken.'
    )
