import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import lmdb
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.data.data_util import paths_from_lmdb
from basicsr.utils import FileClient
from basicsr.utils.lmdb_util import make_lmdb_from_imgs

from stea_arch.data.image_io import decode
from stea_arch.data.lmdb_store import LmdbStore, environment


@pytest.fixture
def store(photo_lmdb):
    return LmdbStore(str(photo_lmdb))


def raw_lmdb(path, images, meta_info=None):
    with lmdb.open(str(path), map_size=1 << 20) as env, env.begin(write=True) as txn:
        for key, data in images.items():
            txn.put(key.encode(), data)
    if meta_info is not None:
        (path / 'meta_info.txt').write_text(meta_info)
    return str(path)


def in_fork(function):
    """The result of a function in a forked child, or the child's error."""
    receive, send = multiprocessing.get_context('fork').Pipe(duplex=False)

    def work():
        try:
            send.send(function())
        except BaseException as error:
            send.send(repr(error))

    process = multiprocessing.get_context('fork').Process(target=work)
    process.start()
    assert receive.poll(30), 'the child said nothing'
    result = receive.recv()
    process.join()
    return result


def test_basicsr_s_datasets_share_one_database(store, photo_folder):
    """As gt and lq, in training and validation, in the process and in workers that it forks; lmdb >= 2 refuses two."""
    opt = {'name': 'photos', 'type': 'PairedImageDataset', 'scale': 1, 'phase': 'val', 'io_backend': {'type': 'lmdb'}}
    opt |= {'dataroot_gt': store.path, 'dataroot_lq': store.path}
    sets = [build_dataset(opt) for _ in range(2)]
    assert torch.equal(sets[0][3]['gt'], sets[1][3]['lq'])
    pixels = cv2.imread(str(photo_folder / 'photo3.png'))[..., ::-1]
    assert np.array_equal((sets[0][3]['gt'].permute(1, 2, 0) * 255).round().numpy(), pixels)
    loaders = [torch.utils.data.DataLoader(one, num_workers=1) for one in sets]
    for first, second in zip(*loaders, strict=True):
        assert torch.equal(first['gt'], second['lq'])
    list_or_text = [FileClient('lmdb', db_paths=paths).get('photo3') for paths in ([store.path], store.path)]
    assert list_or_text[0] == list_or_text[1]
    client = FileClient('lmdb', db_paths=[store.path], client_keys=['gt'])
    with pytest.raises(ValueError, match=f'{store.path} has no image no_such'):
        client.get('no_such', 'gt')


def test_names_shapes_and_bytes(store, photo_folder):
    assert store.names == [f'photo{number}.png' for number in range(6)]
    assert set(store.shapes.values()) == {(72, 64, 3)}
    for name in store.names:
        assert store.read(name) == (photo_folder / name).read_bytes()


def test_two_stores_share_one_environment(store, tmp_path):
    (tmp_path / 'link.lmdb').symlink_to(store.path, target_is_directory=True)
    other = LmdbStore(str(tmp_path / 'link.lmdb'))
    assert environment(other.path) is environment(store.path)
    assert other.read('photo0.png') == store.read('photo0.png')


def test_forked_after_opening(store):
    data = store.read('photo3.png')

    def child():
        mine = store.read('photo3.png')
        return mine, in_fork(lambda: store.read('photo3.png')), store.read('photo3.png')

    for _ in range(3):
        assert in_fork(child) == (data, data, data)
        assert store.read('photo3.png') == data


def test_many_forks_at_once(store):
    expected = [store.read(name) for name in store.names]
    with multiprocessing.get_context('fork').Pool(4) as pool:
        assert pool.map(store.read, store.names * 5) == expected * 5
        assert [store.read(name) for name in store.names] == expected


def test_threads_that_open_at_once(store):
    def child():
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(store.read, store.names * 4))

    assert in_fork(child) == [store.read(name) for name in store.names] * 4


def test_pickle_carries_no_handle(store):
    again = pickle.loads(pickle.dumps(store))
    assert again.read('photo1.png') == store.read('photo1.png')


def test_spawned_process(store):
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        assert pool.apply(store.read, ('photo2.png',)) == store.read('photo2.png')


def test_reads_what_basicsr_wrote(photo_folder, tmp_path):
    names = sorted(os.listdir(photo_folder))
    make_lmdb_from_imgs(str(photo_folder), str(tmp_path / 'b.lmdb'), names, [name[:-4] for name in names])
    store = LmdbStore(str(tmp_path / 'b.lmdb'))
    assert store.names == names
    for name in names:
        original = decode((photo_folder / name).read_bytes(), name, False)
        np.testing.assert_array_equal(decode(store.read(name), name, False), original)


def test_names_with_dots_of_either_writer(tmp_path):
    whole = {'a.b': b'1', 'a.c': b'2'}
    ours = LmdbStore(raw_lmdb(tmp_path / 'o.lmdb', whole, 'a.b.png (1,1,3) 1\na.c.png (1,1,3) 1\n'))
    assert [ours.read('a.b.png'), ours.read('a.c.png')] == [b'1', b'2']
    cut = raw_lmdb(tmp_path / 'c.lmdb', {'a': b'3'}, 'a.b.png (1,1,3) 1\n')
    assert LmdbStore(cut).read('a.b.png') == b'3'
    assert paths_from_lmdb(cut) == ['a']


def test_without_meta_info_the_keys_are_the_names(tmp_path):
    store = LmdbStore(raw_lmdb(tmp_path / 'k.lmdb', {'0002': b'2', '0001': b'1'}))
    assert store.names == ['0001', '0002'] and store.shapes == {}
    assert store.resolve('0002.png') == '0002'


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'An LMDB is a folder with a file data.mdb.*nothing of the kind'):
        LmdbStore(str(tmp_path / 'none.lmdb'))
    with pytest.raises(FileNotFoundError, match=r'a folder without data.mdb'):
        LmdbStore(str(tmp_path))


@pytest.mark.parametrize('content', [b'', b'no database' * 2000])
def test_no_lmdb(tmp_path, content):
    (tmp_path / 'data.mdb').write_bytes(content)
    with pytest.raises(ValueError, match='was expected to be an LMDB, but it could not be opened'):
        LmdbStore(str(tmp_path))


def test_empty(tmp_path):
    with pytest.raises(ValueError, match='is empty: at least one image was expected'):
        LmdbStore(raw_lmdb(tmp_path / 'e.lmdb', {}))


def test_name_without_image(tmp_path):
    path = raw_lmdb(tmp_path / 'm.lmdb', {'a': b'1'}, 'a.png (1,1,3) 1\nb.png (1,1,3) 1\n')
    with pytest.raises(ValueError, match=r'1 of 2 have none: b.png\. Make the LMDB again'):
        LmdbStore(path)
    assert LmdbStore(path, allow_missing=True).names == ['a.png']


def test_names_that_share_an_image(tmp_path):
    path = raw_lmdb(tmp_path / 's.lmdb', {'a': b'1'}, 'a.b.png (1,1,3) 1\na.c.png (1,1,3) 1\n')
    with pytest.raises(ValueError, match=r'a.b.png and a.c.png share the key a: one has overwritten'):
        LmdbStore(path)


def test_unknown_name(store):
    with pytest.raises(KeyError, match='other'):
        store.resolve('other.png')
