import os
import time
from pathlib import Path

import lmdb
import pytest
from real_files import kill_me, killed, read_lmdb

import data_prep.sinks as sinks
from data_prep.journal import Journal
from data_prep.output import part_of
from data_prep.parallel import in_threads
from data_prep.produce import Way, produce
from data_prep.record import Record, checksum

QUIET = Way(workers=2, progress=False)


@pytest.fixture
def sources(tmp_path):
    """Seven files, the records of each are its letter, twice."""
    (tmp_path / 'in').mkdir()
    for letter in 'abcdefg':
        (tmp_path / 'in' / letter).write_text(letter)
    return {letter: tmp_path / 'in' / letter for letter in 'abcdefg'}


def twice(name, path):
    data = Path(path).read_bytes()
    return [Record(f'{name}_{number}.png', (1, 2, 3), 1, data * 2000 + bytes([number])) for number in (1, 2)]


EXPECTED = {f'{name}_{number}': name.encode() * 2000 + bytes([number]) for name in 'abcdefg' for number in (1, 2)}


@pytest.fixture(params=['out.lmdb', 'out'])
def target(request, tmp_path):
    return tmp_path / request.param


def content(target):
    if target.suffix == '.lmdb':
        return read_lmdb(target)
    return {path.stem: path.read_bytes() for path in target.glob('*.png')}


def test_everything_arrives_with_lists_in_order(sources, target):
    outcome = produce(sources, twice, str(target), QUIET)
    assert outcome.records == 14 and str(outcome) == f'Wrote 14 images to {target}.'
    assert content(target) == EXPECTED
    names = [f'{name}_{number}' for name in 'abcdefg' for number in (1, 2)]
    if target.suffix == '.lmdb':
        assert sorted(os.listdir(target)) == [
            '.prepared.json', 'checksums.txt', 'data.mdb', 'lock.mdb', 'meta_info.txt'
        ]  # fmt: skip
        assert (target / 'meta_info.txt').read_text() == ''.join(f'{name}.png (1,2,3) 1\n' for name in names)
        lines = [f'{checksum(EXPECTED[name])}  {name}\n' for name in names]
        assert (target / 'checksums.txt').read_text() == ''.join(lines)
    else:
        assert {name for name in os.listdir(target) if name.startswith('.')} == {'.prepared.json', '.checksums.txt'}


def test_a_second_run_does_nothing(sources, target, monkeypatch):
    produce(sources, twice, str(target), QUIET, size=3)
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    outcome = produce(sources, lambda *_: pytest.fail('done again'), str(target), QUIET, size=3)
    assert outcome.records is None and 'is complete: it was made of the same images' in str(outcome)
    assert {path.name: path.stat().st_mtime_ns for path in target.iterdir()} == before
    with pytest.raises(FileExistsError, match='nothing is overwritten'):
        produce(sources, twice, str(target), QUIET, size=4)
    produce({'a': sources['a']}, twice, str(target), Way(2, False, replace=True), size=4)
    assert len(content(target)) == 2


def torn_line(journal, entries):
    entries = list(entries)
    if len(journal.done) == 4:
        journal.file.write(b'{"source": "e", "rec')
        journal.file.flush()
        kill_me()
    original_add(journal, entries)


original_add = Journal.add


@pytest.mark.parametrize('moment', ['before_the_journal', 'torn_line', 'lists', 'rename', 'while_storing'])
def test_killed_and_continued(sources, target, monkeypatch, moment):
    monkeypatch.setattr(sinks, 'BATCH_BYTES', 6000)  # two sources a batch
    made = []

    def make(name, path):
        made.append(name)
        return twice(name, path)

    def slow_e(name, path):
        while name == 'e' and (part_of(target) / sinks.JOURNAL).read_bytes().count(b'\n') < 4:
            time.sleep(0.01)
        return kill_me() if name == 'e' else twice(name, path)

    def child():
        if moment == 'before_the_journal':
            Journal.add = lambda journal, entries: (
                kill_me() if len(journal.done) == 4 else original_add(journal, entries)
            )
        elif moment == 'torn_line':
            Journal.add = torn_line
        elif moment == 'lists':
            sinks.write_whole = kill_me
        elif moment == 'rename':
            os.rename = kill_me
        else:
            produce(sources, slow_e, str(target), QUIET)
        produce(sources, twice, str(target), QUIET)

    killed(child)
    assert not target.exists() and part_of(target).is_dir()
    outcome = produce(sources, make, str(target), QUIET)
    kept = {'before_the_journal': 4, 'torn_line': 4, 'while_storing': 4, 'lists': 7, 'rename': 7}[moment]
    assert (outcome.kept, made) == (kept, sorted(made)) and sorted(made) == list('abcdefg')[kept:]
    assert content(target) == EXPECTED and not part_of(target).exists()
    if target.suffix == '.lmdb':
        assert [line.split()[0] for line in (target / 'meta_info.txt').open()] == [f'{key}.png' for key in EXPECTED]


def test_a_replaced_image_is_done_again_and_it_alone(sources, target):
    def fails_at_c(name, path):
        if name == 'c':
            raise ValueError('c is bad.')
        return twice(name, path) + ([Record('e_3.png', (1, 2, 3), 1, b'more')] if name == 'e' else [])

    with pytest.raises(ValueError, match=r'1 of 7 are not: c: c is bad\. Replace them .* or leave them out by --skip-'):
        produce(sources, fails_at_c, str(target), QUIET)
    for letter in 'ce':
        sources[letter].write_text(letter * 2)
    outcome = produce(sources, twice, str(target), QUIET)
    expected = {key: data[:-1] * (1 + (key[0] in 'ce')) + data[-1:] for key, data in EXPECTED.items()}
    assert outcome.kept == 5 and content(target) == expected


def test_what_was_stored_but_not_noted_goes_when_its_image_has_changed(sources, target, monkeypatch):
    monkeypatch.setattr(sinks, 'BATCH_BYTES', 6000)

    def child():
        Journal.add = lambda journal, new: kill_me() if len(journal.done) == 2 else original_add(journal, new)
        produce(sources, lambda name, path: [*twice(name, path), Record(f'{name}_9.png', (1, 2, 3), 1, b'9')], *rest)

    rest = (str(target), QUIET)
    killed(child)
    for path in sources.values():
        path.write_text('z')
    produce(sources, twice, *rest)
    assert sorted(content(target)) == sorted(EXPECTED)


def test_records_that_a_power_cut_took_are_made_again(sources, target):
    """The journal is on the disk, but of what it notes a file is missing, empty or cut short."""
    with pytest.raises(ValueError, match='2 of 9'):
        produce({**sources, 'y': sources['a'], 'z': sources['a']}, only_letters, str(target), QUIET)
    part = part_of(target)
    if target.suffix == '.lmdb':
        with lmdb.open(str(part)) as env, env.begin(write=True) as txn:
            assert all(txn.delete(key) for key in (b'a_1', b'b_2', b'c_1'))
    else:
        (part / 'a_1.png').unlink()
        (part / 'b_2.png').write_bytes(b'')
        (part / 'c_1.png').write_bytes(bytes(2001))
    assert produce(sources, twice, str(target), QUIET).kept == 4
    assert content(target) == EXPECTED


def only_letters(name, path):
    return broken(name, path) if name in 'yz' else twice(name, path)


def test_files_are_on_the_disk_before_they_have_their_name(sources, tmp_path, monkeypatch):
    target, found = tmp_path / 'out', []
    monkeypatch.setattr(os, 'sync', lambda: found.append((len(list(part_of(target).glob('*.png'))), target.exists())))
    assert produce(sources, twice, str(target), QUIET).records == 14
    assert found == [(14, False)]


@pytest.mark.parametrize(
    ('damage', 'advice'),
    [
        (
            lambda whole: b'no LMDB at all' * 999,
            r'could not be written in .*o\.lmdb\.part: .* remove that folder if its',
        ),
        (
            lambda whole: whole[:4096],
            r'could not be written in .*o\.lmdb\.part: .* remove that folder if its data\.mdb',
        ),
        (lambda whole: whole[:8192], r'o\.lmdb\.part is damaged: its data\.mdb was cut short\. Remove that folder and'),
    ],
)
def test_a_damaged_lmdb_of_an_interrupted_run_is_named_with_what_to_do(sources, tmp_path, damage, advice):
    target = tmp_path / 'o.lmdb'
    with pytest.raises(ValueError, match='7 of 7'):
        produce(sources, broken, str(target), QUIET)
    produce(sources, twice, str(tmp_path / 'whole.lmdb'), QUIET)
    (part_of(target) / 'data.mdb').write_bytes(damage((tmp_path / 'whole.lmdb' / 'data.mdb').read_bytes()))
    with pytest.raises(OSError, match=advice):
        produce(sources, twice, str(target), QUIET)


def test_other_settings_begin_anew(sources, target):
    with pytest.raises(ValueError, match='7 of 7 are not'):
        produce(sources, broken, str(target), QUIET, size=1)
    (part_of(target) / '.left').touch()
    with pytest.raises(ValueError, match='7 of 7 are not'):
        produce(sources, broken, str(target), QUIET, size=1)
    assert (part_of(target) / '.left').exists()
    assert produce(sources, twice, str(target), QUIET, size=2).kept == 0
    assert not (target / '.left').exists()


def broken(name, path):
    raise ValueError('bad.')


def test_broken_images_are_all_named_then_skipped_by_choice(sources, target):
    def make(name, path):
        if name in 'bd':
            raise ValueError(f'{name} is bad.')
        if name == 'f':
            raise OSError('f cannot be read.')
        return twice(name, path)

    with pytest.raises(ValueError, match=r'3 of 7 are not: b: b is bad\. \| d: d is bad\. \| f: f cannot be read\.'):
        produce(sources, make, str(target), QUIET)
    assert not target.exists()
    outcome = produce(sources, make, str(target), Way(2, False, skip_broken=True))
    assert (outcome.records, outcome.kept, outcome.skipped[0]) == (8, 4, 'b: b is bad.')
    assert 'Source images left out: 3\n- b: b is bad.' in str(outcome)
    again = produce(sources, make, str(target), QUIET)
    assert again.records is None and str(again).endswith('- b: b is bad.\n- d: d is bad.\n- f: f cannot be read.')
    assert sorted(content(target)) == [key for key in EXPECTED if key[0] in 'aceg']


def test_nothing_usable_is_refused_even_when_skipping(sources, target):
    with pytest.raises(ValueError, match='7 of 7 are not'):
        produce(sources, broken, str(target), Way(2, False, skip_broken=True))
    assert not target.exists()


def test_the_map_grows(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, '_map_size', lambda expected: 16 * 4096)
    monkeypatch.setattr(sinks, 'BATCH_BYTES', 1)
    big = {name: [Record(f'{name}.png', (1, 1, 3), 1, os.urandom(50_000))] for name in sources}
    produce(sources, lambda name, path: big[name], str(tmp_path / 'o.lmdb'), QUIET)
    assert read_lmdb(tmp_path / 'o.lmdb') == {name: records[0].data for name, records in big.items()}


def test_the_map_grows_in_an_interrupted_run_that_has_to_delete_first(sources, tmp_path, monkeypatch):
    """More data than estimated, a source left out since: what it left is deleted in a map that is full."""
    monkeypatch.setattr(sinks, '_map_size', lambda expected: 16 * 4096)
    monkeypatch.setattr(sinks, 'BATCH_BYTES', 1)
    big = {name: [Record(f'{name}.png', (1, 1, 3), 1, os.urandom(50_000))] for name in sources}

    def fails_at_the_end(name, path):
        if name == 'g':
            raise ValueError('broken')
        return big[name]

    with pytest.raises(ValueError, match='broken'):
        produce(sources, fails_at_the_end, str(tmp_path / 'o.lmdb'), QUIET)
    left = {name: path for name, path in sources.items() if name not in 'ag'}
    assert produce(left, fails_at_the_end, str(tmp_path / 'o.lmdb'), QUIET).kept == 5
    assert read_lmdb(tmp_path / 'o.lmdb') == {name: big[name][0].data for name in left}


def test_a_full_disk_is_named_and_the_work_goes_on_when_there_is_room(sources, small_disk, monkeypatch):
    monkeypatch.setattr(sinks, 'BATCH_BYTES', 1)
    big = {name: [Record(f'{name}.png', (1, 1, 3), 1, os.urandom(100_000))] for name in sources}
    with small_disk(750_000) as disk:
        (disk / 'filler').write_bytes(bytes(300_000))
        with pytest.raises(
            OSError, match=r'An LMDB could not be written in .*o\.lmdb\.part: .* are free there\)\. .* Make room'
        ):
            produce(sources, lambda name, path: big[name], str(disk / 'o.lmdb'), QUIET)
        assert not (disk / 'o.lmdb').exists()
        (disk / 'filler').unlink()
        few = dict(list(sources.items())[:2])
        assert produce(few, lambda name, path: big[name], str(disk / 'o.lmdb'), QUIET).kept == 2
        assert read_lmdb(disk / 'o.lmdb') == {name: big[name][0].data for name in few}


def test_errors_of_the_program_are_not_taken_for_broken_images(sources, target):
    with pytest.raises(TypeError):
        produce(sources, lambda name, path: None + 1, str(target), Way(2, False, skip_broken=True))
    assert not target.exists()


def test_few_results_wait():
    running, most = [], 0

    def work(number):
        running.append(number)
        return number

    for number in in_threads(work, range(50), 3, progress=False):
        most = max(most, len(running) - number)
    assert most <= 7 and running == sorted(running)[:50]
