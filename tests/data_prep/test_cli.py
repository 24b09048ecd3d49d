import os
import shutil

import cv2
import numpy as np
import pytest

from data_prep.cli import main
from data_prep.sample import REAL, TRAIN, VAL
from stea_arch.data.image_io import decode

COMMANDS = [
    ['lmdb'],
    ['subimages', '--size', '40', '--step', '20'],
    ['gaussian8', '--scale', '2'],
    ['setting2', '--scale', '2'],
]


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match='0'):
        main(['--help'])
    shown = capsys.readouterr().out
    for command in ('df2k', 'subimages', 'lmdb', 'gaussian8', 'setting2', 'div2krk', 'check', 'sample'):
        assert f'stea-data {command}' in shown


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
    before = (out / 'val/coffee.png').stat().st_mtime_ns
    assert main(['sample', str(out)]) == 0 and (out / 'val/coffee.png').stat().st_mtime_ns == before
    assert 'val/coffee.png: Rachel Michetti' in capsys.readouterr().out
    (out / 'val/coffee.png').unlink()
    assert main(['sample', str(out)]) == 2
    assert 'nothing is overwritten' in capsys.readouterr().err


def test_lmdb_then_check(photo_folder, tmp_path, capsys):
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


def test_subimages_go_where_the_name_says(photo_folder, tmp_path, capsys):
    for out in ('tiles', 'tiles.lmdb'):
        command = ['subimages', str(photo_folder), '-o', str(tmp_path / out), '--size', '40', '--step', '20']
        assert main([*command, '--quiet']) == 0
        assert f'Wrote 54 images to {tmp_path / out}' in capsys.readouterr().out
    assert len(list((tmp_path / 'tiles').glob('*.png'))) == 54 and (tmp_path / 'tiles.lmdb' / 'data.mdb').is_file()
    assert main([*command, '--quiet']) == 0
    assert 'tiles.lmdb is complete: it was made of the same images in the same way' in capsys.readouterr().out
    assert main([*command, '--quiet', '--level', '3']) == 2
    assert 'nothing is overwritten' in capsys.readouterr().err
    assert main([*command, '--quiet', '--level', '3', '--replace']) == 0
    assert (tmp_path / 'tiles.lmdb' / 'meta_info.txt').read_text().startswith('photo0_s001.png (40,40,3) 3\n')


@pytest.mark.parametrize('name', ['lost.png', os.fsdecode(b'\xff.png')])
@pytest.mark.parametrize('command', COMMANDS)
def test_a_lost_link_and_an_impossible_name_are_named_or_left_out(photo_folder, tmp_path, capsys, command, name):
    (tmp_path / 'f').mkdir()
    (tmp_path / 'f' / 'a.png').write_bytes((photo_folder / 'photo0.png').read_bytes())
    (tmp_path / 'f' / name).symlink_to('nowhere' if name == 'lost.png' else 'a.png')
    command = [*command, str(tmp_path / 'f'), '--out', str(tmp_path / 'o.lmdb'), '--quiet']
    assert main(command) == 2
    assert (said := ascii(name)[1:-1]) in capsys.readouterr().err and not (tmp_path / 'o.lmdb').exists()
    assert main([*command, '--skip-broken']) == 0
    assert 'Source images left out: 1' in (out := capsys.readouterr().out) and said in out
    assert main(['check', str(tmp_path / 'f'), '--quiet']) == (name == 'lost.png')
    said = f'lost.png of {tmp_path}/f could not be read: No such file or directory. Replace it or leave it out.'
    assert (said in capsys.readouterr().out) == (name == 'lost.png')


def test_originals_are_never_replaced(photo_folder, tmp_path, capsys):
    shutil.copytree(photo_folder, tmp_path / 'sets' / 'photos')
    cutting = ['subimages', '--size', '40', '--step', '20']
    for command in (cutting, ['gaussian8', '--scale', '2'], ['setting2', '--scale', '2']):
        for out in (tmp_path / 'sets', tmp_path / 'sets' / 'photos'):
            whole = [*command, str(tmp_path / 'sets' / 'photos'), '--out', str(out), '--quiet', '--replace']
            assert main(whole) == 2
            assert (
                f'Only an earlier result of the same command is replaced, but {out} is none' in capsys.readouterr().err
            )
    assert sorted(path.name for path in (tmp_path / 'sets').rglob('*.png')) == sorted(os.listdir(photo_folder))


def test_subimages_refuse(photo_folder, tmp_path, capsys):
    assert main(['subimages', str(photo_folder), '-o', str(tmp_path / 't'), '--size', '68', '--step', '69']) == 2
    assert 'step between tiles must be between 1 and their size 68' in capsys.readouterr().err
    assert main(['subimages', str(photo_folder), '-o', str(tmp_path / 't'), '--size', '68', '--step', '34']) == 2
    assert '6 of 6 are smaller: photo0.png (72x64)' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (['--size', '0'], 'a whole number above 0, got 0'),
        (['--level', '10'], 'a whole number from 0 to 9, got 10'),
    ],
)
def test_numbers_out_of_range(tmp_path, capsys, wrong, message):
    with pytest.raises(SystemExit) as exit_info:
        main(['subimages', str(tmp_path), '-o', str(tmp_path / 't'), *wrong])
    assert exit_info.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize('command', COMMANDS)
def test_wherever_an_lmdb_is_made_it_is_said_what_basicsr_will_not_find_there(photo_folder, tmp_path, capsys, command):
    (tmp_path / 'f').mkdir()
    for name in ('a', 'a.b', 'ü'):
        (tmp_path / 'f' / f'{name}.png').write_bytes((photo_folder / 'photo0.png').read_bytes())
    assert main([*command, str(tmp_path / 'f'), '-o', str(tmp_path / 'f.lmdb'), '--quiet']) == 0
    found = 18 if command[0] == 'subimages' else 2
    assert f"BasicSR's own datasets will not find {found} of them" in capsys.readouterr().out


def test_interrupted_by_hand(photo_folder, tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr('data_prep.tiles.produce', interrupt)
    assert main(['subimages', str(photo_folder), '-o', str(tmp_path / 't'), '--size', '40', '--step', '20']) == 130
    assert 'interrupted. The same command goes on where it was.' in capsys.readouterr().err
