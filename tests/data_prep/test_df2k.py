"""From archives in miniature to a trained network, through our readers and BasicSR's."""

import shutil

import cv2
import numpy as np
import pytest
from basicsr.data.data_util import paired_paths_from_lmdb, paired_paths_from_meta_info_file, paths_from_lmdb
from basicsr.utils import FileClient, imfrombytes
from real_files import read_image, write_image

from data_prep.cli import main
from data_prep.df2k import DIV2K, FLICKR2K, archive_paths

TILES = {'0001': 2 * 3, '0002': 2 * 3, '0003': 2 * 3, '000001': 2 * 2, '000002': 2 * 2}  # 130x160, 130x120, 120x140


def df2k(archives, out, *options):
    folders = ['--div2k', str(archives / 'DIV2K'), '--flickr2k', str(archives / 'Flickr2K')]
    return main(['df2k', *folders, '--out', str(out), '--size', '96', '--step', '48', '--partial', '--quiet', *options])


@pytest.fixture(scope='module')
def prepared(archives, tmp_path_factory):
    out = tmp_path_factory.mktemp('datasets')
    assert df2k(archives, out) == 0
    return out


@pytest.mark.usefixtures('basicsrs_reader')
def test_tiles_of_both_sets_under_basicsrs_readers(archives, prepared):
    target = prepared / 'DF2K_sub.lmdb'
    names = [f'{image}_s{number:03d}' for image, count in TILES.items() for number in range(1, count + 1)]
    assert paths_from_lmdb(str(target)) == names
    both = paired_paths_from_lmdb([str(target), str(target)], ['lq', 'gt'])
    assert sorted(path['gt_path'] for path in both) == sorted(names)
    client = FileClient('lmdb', db_paths=[str(target)], client_keys=['gt'])
    read = {name: imfrombytes(client.get(name, 'gt')) for name in names}
    client.client._client['gt'].close()
    second = cv2.imread(str(archives / 'DIV2K/DIV2K_train_HR/0002.png'))
    np.testing.assert_array_equal(read['0002_s006'], second[34:130, 64:160])
    assert {img.shape for img in read.values()} == {(96, 96, 3)}


def test_list_in_basicsrs_format(prepared, tmp_path):
    file = prepared / 'meta_info_DF2K_sub.txt'
    assert file.read_text().splitlines()[6] == '0002_s001.png (96,96,3)'
    paths = paired_paths_from_meta_info_file(['low', 'high'], ['lq', 'gt'], str(file), '{}')
    assert len(paths) == sum(TILES.values())
    assert paths[-1] == {'lq_path': 'low/000002_s004.png', 'gt_path': 'high/000002_s004.png'}


def test_folder_instead_and_multiscale(archives, tmp_path, prepared, capsys):
    assert df2k(archives, tmp_path, '--folder') == 0
    assert (tmp_path / 'meta_info_DF2K_sub.txt').read_text().split('\n')[0].startswith('000001_s001.png')
    assert len(list((tmp_path / 'DF2K_sub').glob('*.png'))) == 26
    assert df2k(archives, tmp_path, '--multiscale', '--size', '65', '--step', '65') == 0
    keys = paths_from_lmdb(str(tmp_path / 'DF2K_multiscale_sub.lmdb'))
    assert {key.split('_')[0] for key in keys if key[:4] == '0001'} == {'0001', '0001T0', '0001T1'}
    assert not any('T2' in key for key in keys)  # a third of 130 is less than a tile


def test_a_second_run_does_nothing_but_a_lost_list(archives, prepared, capsys):
    before = (prepared / 'DF2K_sub.lmdb' / 'data.mdb').stat().st_mtime_ns
    text = (prepared / 'meta_info_DF2K_sub.txt').read_text()
    (prepared / 'meta_info_DF2K_sub.txt').unlink()
    assert df2k(archives, prepared) == 0
    assert 'is complete' in capsys.readouterr().out
    assert (prepared / 'DF2K_sub.lmdb' / 'data.mdb').stat().st_mtime_ns == before
    assert (prepared / 'meta_info_DF2K_sub.txt').read_text() == text


def test_broken_image_is_refused_or_skipped(archives, tmp_path, capsys):
    shutil.copytree(archives, tmp_path / 'in')
    broken = tmp_path / 'in/DIV2K/DIV2K_train_HR/0002.png'
    broken.write_bytes(broken.read_bytes()[:-2000])
    assert df2k(tmp_path / 'in', tmp_path) == 2
    assert '1 of 5 are not: 0002.png: An encoded image' in capsys.readouterr().err
    assert not (tmp_path / 'DF2K_sub.lmdb').exists() and not (tmp_path / 'meta_info_DF2K_sub.txt').exists()
    assert df2k(tmp_path / 'in', tmp_path, '--skip-broken') == 0
    assert 'Source images done by an earlier run: 4.' in capsys.readouterr().out
    assert len(paths_from_lmdb(str(tmp_path / 'DF2K_sub.lmdb'))) == 20


def test_archives_are_found_by_either_folder(archives):
    for given in (archives / 'DIV2K', archives / 'DIV2K' / 'DIV2K_train_HR'):
        paths = archive_paths(DIV2K, given, partial=True)
        assert list(paths) == ['0001.png', '0002.png', '0003.png']
        assert read_image(paths['0003.png']).shape == (130, 160, 3)


def test_archives_refuse(archives, tmp_path):
    with pytest.raises(ValueError, match=r'has 2650 images, but .* lacks 2648 of them: 000003\.png, .* --partial'):
        archive_paths(FLICKR2K, archives / 'Flickr2K')
    with pytest.raises(FileNotFoundError, match=r'folder DIV2K_train_HR with the images 0001\.png and so on was'):
        archive_paths(DIV2K, tmp_path / 'none')
    with pytest.raises(ValueError, match=r'called 0001\.png and so on and nothing else, but .* also has 000001\.png'):
        archive_paths(DIV2K, archives / 'Flickr2K' / 'Flickr2K_HR', partial=True)
    (tmp_path / 'DIV2K_train_HR').mkdir()
    with pytest.raises(ValueError, match=r'lacks 800 of them'):
        archive_paths(DIV2K, tmp_path, partial=True)
    write_image(tmp_path / 'DIV2K_train_HR' / '0001x2.png', np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r'also has 0001x2\.png'):
        archive_paths(DIV2K, tmp_path, partial=True)
