import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.cli import main
from data_prep.sample import REAL, TRAIN, VAL
from data_prep.subimages import tile_starts
from stea_arch.data.image_io import decode


def test_help_names_every_command():
    shown = subprocess.run(
        [sys.executable, '-m', 'data_prep.cli', '--help'], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert shown.returncode == 0
    for command in ('sample', 'subimages', 'lmdb', 'check'):
        assert f'stea-data {command}' in shown.stdout


def test_sample_writes_usable_photographs_once(tmp_path, capsys):
    out = tmp_path / 'sample'
    assert main(['sample', str(out)]) == 0
    for folder, photographs in (('train', TRAIN), ('val', VAL)):
        assert sorted(path.name for path in (out / folder).iterdir()) == sorted(photographs)
        for name in photographs:
            img = decode((out / folder / name).read_bytes(), name, allow_gray=False)
            assert min(img.shape[:2]) >= 256
    assert sorted(path.name for path in (out / 'real').iterdir()) == sorted(REAL)
    assert 'chelsea.png: Stefan van der Walt; CC0' in (out / 'LICENSES.txt').read_text(encoding='utf-8')
    assert 'val/coffee.png: Rachel Michetti' in capsys.readouterr().out
    assert not TRAIN.keys() & VAL.keys() and not REAL.keys() & (TRAIN.keys() | VAL.keys())
    assert main(['sample', str(out)]) == 2
    assert 'nothing is overwritten' in capsys.readouterr().err


def test_sample_then_lmdb_then_check(photo_folder, tmp_path, capsys):
    target = str(tmp_path / 'p.lmdb')
    assert main(['lmdb', str(photo_folder), '-o', target, '--workers', '1']) == 0
    assert main(['check', target, '--gt-size', '64']) == 0
    assert '6 images, 0 with problems\nheights 72 to 72, widths 64 to 64' in capsys.readouterr().out
    assert main(['check', target, '--gt-size', '68']) == 1
    assert 'photo5.png has 72x64 pixels, but crops of 68x68 are wanted' in capsys.readouterr().out


def test_check_reports_every_problem(tmp_path, capsys):
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colour = np.dstack([gray] * 3)
    images = {'gray': gray, 'deep': colour.astype(np.uint16), 'alpha': np.dstack([colour, gray]), 'good': colour}
    for name, img in images.items():
        cv2.imwrite(str(tmp_path / f'{name}.png'), img)
    (tmp_path / 'broken.png').write_bytes(b'no image')
    assert main(['check', str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert '5 images, 4 with problems' in out and 'good' not in out
    for problem in ('gray.png is gray', 'deep.png has 16', 'alpha.png has 4', 'broken.png, but its 8 bytes could not'):
        assert problem in out
    assert main(['check', str(tmp_path), '--allow-gray']) == 1
    assert '5 images, 3 with problems' in capsys.readouterr().out
    assert main(['check', str(tmp_path / 'none')]) == 2
    assert 'stea-data check: A folder of images was expected' in capsys.readouterr().err


def test_subimages_cover_every_pixel(photo_folder, tmp_path):
    out = tmp_path / 'tiles'
    assert main(['subimages', str(photo_folder), '-o', str(out), '--size', '40', '--step', '20']) == 0
    names = sorted(path.name for path in out.iterdir())
    assert len(names) == 6 * 3 * 3 and names[:2] == ['photo0_s001.png', 'photo0_s002.png']
    whole, covered = cv2.imread(str(photo_folder / 'photo0.png')), np.zeros((72, 64), bool)
    corners = [(top, left) for top in (0, 20, 32) for left in (0, 20, 24)]
    for number, (top, left) in enumerate(corners, 1):
        tile = cv2.imread(str(out / f'photo0_s{number:03d}.png'))
        np.testing.assert_array_equal(tile, whole[top : top + 40, left : left + 40])
        covered[top : top + 40, left : left + 40] = True
    assert covered.all()


@pytest.mark.parametrize(
    ('length', 'size', 'step', 'starts'),
    [
        (480, 480, 240, [0]),
        (481, 480, 240, [0, 1]),
        (960, 480, 240, [0, 240, 480]),
        (1000, 480, 240, [0, 240, 480, 520]),
    ],
)
def test_tile_starts(length, size, step, starts):
    assert tile_starts(length, size, step) == starts


def test_subimages_refuse(photo_folder, tmp_path, capsys):
    assert main(['subimages', str(photo_folder), '-o', str(tmp_path / 't'), '--size', '68']) == 2
    assert 'step between tiles must be between 1 and their size 68' in capsys.readouterr().err
    assert main(['subimages', str(photo_folder), '-o', str(tmp_path / 't'), '--size', '68', '--step', '34']) == 2
    assert '6 of 6 are smaller: photo0.png (72x64)' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit):
        main(['subimages', str(photo_folder), '-o', str(tmp_path / 't'), '--size', '0'])
    assert 'a whole number above 0 was expected, but 0 came' in capsys.readouterr().err
