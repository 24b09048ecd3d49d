import cv2
import lmdb
import numpy as np
import pytest
from basicsr.data.data_util import paths_from_lmdb
from basicsr.utils import FileClient, imfrombytes

import data_prep.lmdb_writer as writer
from data_prep.lmdb_writer import write_lmdb
from stea_arch.data.lmdb_store import LmdbStore


def write(folders, target, **options):
    return write_lmdb([str(folder) for folder in folders], str(target), progress=False, **options)


def basicsr_reads(path, key):
    """BasicSR's own reader, its environment closed again: lmdb refuses to have one open twice."""
    client = FileClient('lmdb', db_paths=[str(path)], client_keys=['gt'])
    data = client.get(key, 'gt')
    client.client._client['gt'].close()
    return data


def test_keeps_the_files_and_basicsr_reads_them(photo_folder, tmp_path):
    target = tmp_path / 'deep' / 'photos.lmdb'
    assert write([photo_folder], target) == 6
    assert sorted(path.name for path in target.iterdir()) == ['data.mdb', 'lock.mdb', 'meta_info.txt']
    assert (target / 'meta_info.txt').read_text().splitlines()[5] == 'photo5.png (72,64,3) 1'
    keys = paths_from_lmdb(str(target))
    assert keys == [f'photo{number}' for number in range(6)]
    for key in keys:
        data = basicsr_reads(target, key)
        assert data == (photo_folder / f'{key}.png').read_bytes()
        assert imfrombytes(data, float32=True).shape == (72, 64, 3)


def test_dots_in_names_stay(photo_folder, tmp_path):
    data = (photo_folder / 'photo0.png').read_bytes()
    (tmp_path / 'f').mkdir()
    for name in ('a.b.png', 'a.c.png'):
        (tmp_path / 'f' / name).write_bytes(data)
    write([tmp_path / 'f'], tmp_path / 'f.lmdb')
    store = LmdbStore(str(tmp_path / 'f.lmdb'))
    assert store.names == ['a.b.png', 'a.c.png'] and store.key('a.b.png') == 'a.b'


def test_map_grows_when_it_is_too_small(photo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, '_map_size', lambda needed: 8 * 4096)
    assert write([photo_folder], tmp_path / 'p.lmdb') == 6
    store = LmdbStore(str(tmp_path / 'p.lmdb'))
    assert [store.read(name) for name in store.names] == [(photo_folder / name).read_bytes() for name in store.names]


def test_many_commits(photo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, 'COMMIT_EVERY', 2)
    write([photo_folder], tmp_path / 'p.lmdb')
    assert len(LmdbStore(str(tmp_path / 'p.lmdb'))) == 6


@pytest.mark.parametrize('moment', ['_commit', 'meta_info_line'])
def test_failure_leaves_nothing(photo_folder, tmp_path, monkeypatch, moment):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, moment, fail)
    with pytest.raises(KeyboardInterrupt):
        write([photo_folder], tmp_path / 'out' / 'p.lmdb')
    assert list((tmp_path / 'out').iterdir()) == []
    monkeypatch.undo()
    assert write([photo_folder], tmp_path / 'out' / 'p.lmdb') == 6


def test_never_overwrites(photo_folder, tmp_path):
    target = tmp_path / 'p.lmdb'
    target.mkdir()
    (target / 'precious').write_text('mine')
    with pytest.raises(FileExistsError, match=r'p.lmdb, a name that must be free, .* nothing is overwritten'):
        write([photo_folder], target)
    assert [path.name for path in tmp_path.iterdir()] == ['p.lmdb'] and (target / 'precious').read_text() == 'mine'


def test_refuses_duplicates_naming_both(photo_folder, tmp_path):
    (tmp_path / 'f').mkdir()
    (tmp_path / 'f' / 'photo3.jpg').write_bytes(b'any')
    with pytest.raises(ValueError, match=r'photo3.png and .*f/photo3.jpg are both called photo3\. Rename one'):
        write([photo_folder, tmp_path / 'f'], tmp_path / 'p.lmdb')


def test_refuses_broken_images_and_other_endings(photo_folder, tmp_path):
    folder = tmp_path / 'f'
    folder.mkdir()
    (folder / 'broken.png').write_bytes((photo_folder / 'photo0.png').read_bytes()[:70])
    with pytest.raises(ValueError, match=r'broken.png, but its 70 bytes could not be decoded'):
        write([folder], tmp_path / 'p.lmdb')
    with pytest.raises(ValueError, match=r'must end in \.lmdb.* Write .*name\.lmdb'):
        write([folder], tmp_path / 'name')
    assert not (tmp_path / 'p.lmdb').exists()


def test_gray_is_allowed_on_request_and_noted(tmp_path):
    (tmp_path / 'f').mkdir()
    cv2.imwrite(str(tmp_path / 'f' / 'bridge.png'), np.arange(240, dtype=np.uint8).reshape(12, 20))
    with pytest.raises(ValueError, match=r'bridge.png is gray'):
        write([tmp_path / 'f'], tmp_path / 'f.lmdb')
    write([tmp_path / 'f'], tmp_path / 'f.lmdb', allow_gray=True)
    assert LmdbStore(str(tmp_path / 'f.lmdb')).shapes == {'bridge.png': (12, 20, 1)}


def test_database_is_sound(photo_folder, tmp_path):
    write([photo_folder], tmp_path / 'p.lmdb')
    with lmdb.open(str(tmp_path / 'p.lmdb'), readonly=True, lock=False) as env, env.begin() as txn:
        assert [key.decode() for key, _ in txn.cursor()] == [f'photo{number}' for number in range(6)]
