import hashlib
import os

import cv2
import numpy as np
import pytest
from basicsr.data.data_util import paths_from_lmdb
from basicsr.utils import FileClient, imfrombytes
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from real_files import decoded, read_lmdb

from data_prep.lmdb_writer import unknown_to_basicsr, write_lmdb
from stea_arch.data.lmdb_store import LmdbStore


def write(folders, target, **options):
    return write_lmdb([str(folder) for folder in folders], str(target), progress=False, **options)


def basicsr_reads(path, key):
    """BasicSR's own reader, its environment closed again: lmdb refuses to have one open twice."""
    client = FileClient('lmdb', db_paths=[str(path)], client_keys=['gt'])
    data = client.get(key, 'gt')
    client.client._client['gt'].close()
    return data


@pytest.mark.usefixtures('basicsrs_reader')
def test_keeps_the_files_and_basicsr_reads_them(photo_folder, tmp_path):
    target = tmp_path / 'deep' / 'photos.lmdb'
    assert write([photo_folder], target).records == 6
    assert sorted(path.name for path in target.iterdir() if path.name[0] != '.') == [
        'checksums.txt', 'data.mdb', 'lock.mdb', 'meta_info.txt'
    ]  # fmt: skip
    assert (target / 'meta_info.txt').read_text().splitlines()[5] == 'photo5.png (72,64,3) 1'
    keys = paths_from_lmdb(str(target))
    assert keys == [f'photo{number}' for number in range(6)]
    for key in keys:
        data = basicsr_reads(target, key)
        assert data == (photo_folder / f'{key}.png').read_bytes()
        assert imfrombytes(data, float32=True).shape == (72, 64, 3)


def test_content_and_list_equal_those_of_basicsrs_writer(photo_folder, tmp_path):
    names = sorted(os.listdir(photo_folder))
    make_lmdb_from_imgs(str(photo_folder), str(tmp_path / 'b.lmdb'), names, [name[:-4] for name in names])
    write([photo_folder], tmp_path / 'o.lmdb')
    assert (tmp_path / 'o.lmdb/meta_info.txt').read_text() == (tmp_path / 'b.lmdb/meta_info.txt').read_text()
    ours, theirs = read_lmdb(tmp_path / 'o.lmdb'), read_lmdb(tmp_path / 'b.lmdb')
    assert ours.keys() == theirs.keys()
    for key, data in ours.items():
        np.testing.assert_array_equal(decoded(data), decoded(theirs[key]))


def test_map_is_of_the_size_of_the_content(photo_folder, tmp_path):
    flat = np.zeros((400, 400, 3), np.uint8)  # BasicSR would size its map by this one
    (tmp_path / 'f').mkdir()
    cv2.imwrite(str(tmp_path / 'f' / 'a.png'), flat)
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'f' / 'b.png'), noise)
    write([tmp_path / 'f'], tmp_path / 'f.lmdb')
    content = sum(len(data) for data in read_lmdb(tmp_path / 'f.lmdb').values())
    assert content < (tmp_path / 'f.lmdb' / 'data.mdb').stat().st_size < content + 20 * 4096


@pytest.mark.usefixtures('basicsrs_reader')
def test_sub_folders_dots_and_other_letters(photo_folder, tmp_path):
    known, unknown = ['a', 'sub/a', 'sp ace (1)'], ['sub/deep.er/b', 'x.y', 'x.z', 'übermütig', '写真']
    names = [f'{name}.png' for name in (*known, *unknown)]
    for number, name in enumerate(names):
        path = tmp_path / 'f' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((photo_folder / f'photo{number % 6}.png').read_bytes())
    (tmp_path / 'f' / '.hidden').mkdir()
    (tmp_path / 'f' / '.hidden' / 'c.png').write_text('no image')
    write([tmp_path / 'f'], tmp_path / 'f.lmdb')
    assert sorted(read_lmdb(tmp_path / 'f.lmdb')) == sorted(name[:-4] for name in names)
    for name in known:
        assert basicsr_reads(tmp_path / 'f.lmdb', name) == (tmp_path / 'f' / f'{name}.png').read_bytes()
    store = LmdbStore(str(tmp_path / 'f.lmdb'))
    assert sorted(store.names) == sorted(names)
    for name in names:
        assert store.read(name) == (tmp_path / 'f' / name).read_bytes()
    assert sorted(unknown_to_basicsr(names)) == [f'{name}.png' for name in unknown]


def test_checksums_are_those_of_the_records(photo_folder, tmp_path):
    write([photo_folder], tmp_path / 'p.lmdb')
    for line in (tmp_path / 'p.lmdb' / 'checksums.txt').read_text().splitlines():
        digest, key = line.split('  ')
        assert digest == hashlib.sha256((photo_folder / f'{key}.png').read_bytes()).hexdigest()


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
    for name in 'abc':
        (folder / f'{name}.png').write_bytes((photo_folder / 'photo0.png').read_bytes())
    with pytest.raises(ValueError, match=r'1 of 4 are not: broken.png: .*broken.png, but its 70 bytes could not be'):
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


def test_refuses_names_beyond_lmdbs_limit(photo_folder, tmp_path):
    deep = tmp_path / 'f' / ('d' * 200) / ('e' * 200)
    deep.mkdir(parents=True)
    (deep / f'{"f" * 120}.png').write_bytes((photo_folder / 'photo0.png').read_bytes())
    with pytest.raises(ValueError, match=r'can have 511 bytes, but that of .*f.png has 522\. Shorten it'):
        write([tmp_path / 'f'], tmp_path / 'f.lmdb')


def test_names_of_every_kind_are_read_back_or_refused(photo_folder, tmp_path):
    data = (photo_folder / 'photo0.png').read_bytes()
    good = ['img (10,20,3).png', 'a b.png', 'über.png', 'x\u2028y.png', '(1,1,3) 1.png']
    bad = [' lead.png', 'two\nlines.png', 'end\r.png', os.fsdecode(b'no\xff text.png'), 'a \n.png']
    (tmp_path / 'f').mkdir()
    for name in [*good, *bad]:
        (tmp_path / 'f' / name).write_bytes(data)
    with pytest.raises(ValueError, match=r"4 of 10 are not: .*' lead\.png': the name has .* rename it"):
        (tmp_path / 'f' / 'end\r.png').rename(tmp_path / 'f' / 'end.png')
        write([tmp_path / 'f'], tmp_path / 'f.lmdb')
    assert not (tmp_path / 'f.lmdb').exists() and not (tmp_path / '.f.lmdb.part').exists()
    outcome = write([tmp_path / 'f'], tmp_path / 'f.lmdb', skip_broken=True)
    assert len(outcome.skipped) == 4 and outcome.records == 6
    store = LmdbStore(str(tmp_path / 'f.lmdb'))
    assert sorted(store.names) == sorted([*good, 'end.png'])
    assert all(store.read(name) == data for name in store.names)
    str(outcome).encode()  # what the command prints


def test_a_list_that_does_not_read_back_leaves_no_lmdb(photo_folder, tmp_path, monkeypatch):
    from data_prep import produce

    (tmp_path / 'f').mkdir()
    (tmp_path / 'f' / ' photo0.png').write_bytes((photo_folder / 'photo0.png').read_bytes())
    monkeypatch.setattr(produce, 'can_be_listed', lambda name: True)
    with pytest.raises(ValueError, match=r'does not read back as it was written'):
        write([tmp_path / 'f'], tmp_path / 'f.lmdb')
    assert not (tmp_path / 'f.lmdb').exists()
