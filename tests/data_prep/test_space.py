import shutil
from collections import namedtuple

import numpy as np
import pytest
from real_files import write_image
from skimage.data import coffee

from data_prep.output import part_of
from data_prep.produce import Way
from data_prep.space import check_space, expected_bytes
from data_prep.tiles import Cut, folder_paths, write_tiles

Usage = namedtuple('Usage', 'total used free')


@pytest.fixture
def free(monkeypatch):
    return lambda count: monkeypatch.setattr(shutil, 'disk_usage', lambda _: Usage(10**9, 0, count))


@pytest.mark.parametrize('extension', ['png', 'jpg'])
def test_estimate_is_on_the_safe_side_of_the_truth(tmp_path, extension, capsys):
    write_image(tmp_path / 'f' / f'a.{extension}', coffee())
    target = tmp_path / 't.lmdb'
    write_tiles(folder_paths(tmp_path / 'f'), str(target), Cut(120, 60), Way(1, True))
    said = float(capsys.readouterr().out.split('will take about ')[1].split(' MB')[0]) * 1e6
    assert (target / 'data.mdb').stat().st_size < said < 2 * (target / 'data.mdb').stat().st_size


def test_noise_needs_all_its_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    path = write_image(tmp_path / 'n.png', noise)
    assert 30_000 < expected_bytes([(path, 10_000, 1, 10_000)]) < 37_000


def test_refuses_before_starting_and_counts_what_is_there(tmp_path, free, capsys):
    target = tmp_path / 'deep' / 'r.lmdb'
    free(5_000_000)
    check_space(target, 4_900_000)
    assert 'r.lmdb will take about 4.9 MB; 5.0 MB are free in' in capsys.readouterr().out
    with pytest.raises(OSError, match=r'about 6\.0 MB, of which 6\.0 MB .* but only 5\.0 MB are free in .* by --out'):
        check_space(target, 6_000_000, say=False)
    part_of(target).mkdir(parents=True)
    (part_of(target) / 'data.mdb').write_bytes(bytes(2_000_000))
    check_space(target, 6_000_000, say=False)


def test_a_command_stops_for_want_of_space(photo_folder, tmp_path, free):
    free(1000)
    with pytest.raises(OSError, match=r'only 1 kB are free'):
        write_tiles(folder_paths(photo_folder), str(tmp_path / 't.lmdb'), Cut(40, 20), Way(1, False))
    assert not list(tmp_path.iterdir())
