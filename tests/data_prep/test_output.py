import os
import re
from pathlib import Path

import pytest

from data_prep.output import identity_of, is_complete, part_of, resumable, stamp_of, write_whole


def of(number):
    return {'settings': {'number': number}, 'sources': '1: x'}


def make(target, identity, text='new', **options):
    with resumable(target, identity, **options) as part:
        (part / 'file').write_text(text)


def test_appears_when_complete_and_says_what_it_was_made_of(tmp_path):
    target, identity = tmp_path / 'deep' / 'result', {'settings': {'a': [1, 'ü']}, 'sources': '1: x'}
    with resumable(target, identity) as part:
        assert not target.exists() and part == part_of(target)
    assert is_complete(target, identity) and not is_complete(target, {'settings': {'a': [2, 'ü']}, 'sources': '1: x'})
    assert not part.exists() and not is_complete(tmp_path / 'none', identity)


def test_interrupted_work_is_kept_for_the_same_and_dropped_for_another_identity(tmp_path):
    target = tmp_path / 'result'
    with pytest.raises(KeyboardInterrupt), resumable(target, of(1)) as part:
        (part / 'half').touch()
        raise KeyboardInterrupt
    assert not target.exists()
    with pytest.raises(KeyboardInterrupt), resumable(target, of(1)) as part:
        assert (part / 'half').exists()
        raise KeyboardInterrupt
    with resumable(target, of(2)) as part:
        assert not (part / 'half').exists()


def test_two_writers(tmp_path):
    target = tmp_path / 'result'
    with (
        resumable(target, of(1)),
        pytest.raises(BlockingIOError, match=r'^Only one process .* at work in .*\.result\.part\. Wait'),
        resumable(target, of(2)),
    ):
        pass
    assert is_complete(target, of(1))


def test_replacing(tmp_path):
    target = tmp_path / 'result'
    make(target, of(1), 'old')
    reader = open(target / 'file')  # noqa: SIM115
    with pytest.raises(FileExistsError, match=r'result, a name that must be free, .* nothing is overwritten'):
        make(target, of(2))
    make(target, of(2), replace=True)
    assert (target / 'file').read_text() == 'new' and is_complete(target, of(2))
    assert reader.read() == 'old'
    assert os.listdir(tmp_path) == ['result']


@pytest.mark.parametrize(
    'found',
    ['is none', 'is another command', 'is another protocol', 'is a link', 'is a lost link', 'holds .*/own, of which'],
)
def test_only_an_earlier_result_of_the_same_command_is_replaced(tmp_path, found):
    target, own = tmp_path / 'result', tmp_path / 'result' / 'own'
    if found != 'is none':
        settings = {'another command': {'kind': 'other'}, 'another protocol': {'protocol': 'other'}}
        make(target, {**of(1), 'settings': settings.get(found.removeprefix('is '), {'size': 2})})
    target.mkdir(exist_ok=True)
    own.write_text('mine')
    if 'link' in found:
        target = tmp_path / 'link'
        target.symlink_to('nowhere' if 'lost' in found else own.parent)
    (tmp_path / 'source').symlink_to(own)
    sources = [tmp_path / 'source'] if 'holds' in found else []
    message = f'Only an earlier result .* but {target} {re.sub("another.*", "none", found).replace("lost ", "")}'
    with pytest.raises(FileExistsError, match=message.replace('/own', '/source')):
        make(target, of(2), replace=True, sources=sources)
    assert own.read_text() == 'mine' and not part_of(target).exists()


def test_identity_changes_with_every_source_and_setting(tmp_path):
    files = {name: tmp_path / name for name in ('a', 'b')}

    def identity(size):
        return identity_of({name: stamp_of(path) for name, path in files.items()}, size=size)

    for path in files.values():
        path.write_text('1')
    found = [identity(3), identity(4)]
    assert identity(3) == found[0]
    os.utime(files['b'], ns=(0, 0))
    found.append(identity(3))
    files['b'].write_text('22')
    os.utime(files['b'], ns=(0, 0))
    found.append(identity(3))
    files['c'] = files.pop('b')
    found.append(identity(3))
    assert len({str(value) for value in found}) == 5


def test_other_sources_may_continue_where_asked(tmp_path):
    target, other = tmp_path / 'result', {**of(1), 'sources': '2: y'}
    with pytest.raises(KeyboardInterrupt), resumable(target, of(1)) as part:
        (part / 'half').touch()
        raise KeyboardInterrupt
    with resumable(target, other, same=('settings',)) as part:
        assert (part / 'half').exists()
    assert is_complete(target, other)


def test_text_files_are_whole(tmp_path):
    def lines():
        yield 'one\n'
        raise KeyboardInterrupt

    file = tmp_path / 'list.txt'
    assert write_whole(file, ['old\n', 'er\n']) == 2
    with pytest.raises(KeyboardInterrupt):
        write_whole(file, lines())
    assert file.read_text() == 'old\ner\n'


def test_parts_are_hidden():
    assert part_of('a/b.lmdb') == Path('a/.b.lmdb.part')


def test_the_working_directory_has_a_place_beside_it(tmp_path, monkeypatch):
    (tmp_path / 'images').mkdir()
    monkeypatch.chdir(tmp_path / 'images')
    assert part_of('.') == part_of('../images').resolve() == tmp_path / '.images.part'
