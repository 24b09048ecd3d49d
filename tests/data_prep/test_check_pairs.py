import json
import shutil

import numpy as np
import pytest
from real_files import write_image

from data_prep.check_pairs import check_pairs
from data_prep.cli import main
from data_prep.lmdb_writer import write_lmdb


def image(height, width):
    return np.random.default_rng(height).integers(0, 255, (height, width, 3), np.uint8)


@pytest.fixture
def pairs(tmp_path):
    for name in 'abc':
        write_image(tmp_path / 'gt' / f'{name}.png', image(24, 32))
        write_image(tmp_path / 'lq' / f'{name}.png', image(6, 8))
    return tmp_path


def problems(root, **options):
    return check_pairs(str(root / 'gt'), str(root / 'lq'), 4, progress=False, **options).problems


def test_clean_pairs_in_folders_and_lmdbs(pairs):
    assert problems(pairs) == []
    for side in ('gt', 'lq'):
        write_lmdb([str(pairs / side)], str(pairs / f'{side}.lmdb'), progress=False)
    report = check_pairs(str(pairs / 'gt.lmdb'), str(pairs / 'lq.lmdb'), 4, progress=False)
    assert (report.images, report.checked, report.problems) == (6, 6, [])


def test_every_mismatch_at_once(pairs):
    (pairs / 'lq' / 'b.png').unlink()
    write_image(pairs / 'lq' / 'd.png', image(6, 8))
    write_image(pairs / 'lq' / 'c.png', image(8, 8))
    (pairs / 'gt' / 'e.png').write_text('no image')
    found = problems(pairs)
    assert len(found) == 5
    for text, expected in zip(found, ('could not be decoded', 'b.png', 'e.png', 'd.png', 'c.png')):
        assert expected in text
    assert 'has no partner b in' in found[1] and 'has no partner in' in found[3]
    assert found[4].endswith('at scale 4 32x32 were expected. Make the pair again, or correct the scale.')


def test_what_holds_for_many_is_said_once(pairs):
    for number in range(9):
        write_image(pairs / 'gt' / f'{number}.png', image(24, 32))
        write_image(pairs / 'lq' / f'{number}.png', image(12, 16))
        write_image(pairs / 'lq' / f'other{number}.png', image(6, 8))
    superfluous, unfit = problems(pairs)
    assert superfluous.startswith('other0.png of') and superfluous.endswith(
        'So it is with 8 more: other1.png, other2.png, other3.png, ...'
    )
    assert unfit.startswith('0.png of') and unfit.endswith('So it is with 8 more: 1.png, 2.png, 3.png, ...')


def test_gt_may_be_larger_by_less_than_the_scale_where_it_is_cropped(pairs):
    write_image(pairs / 'gt' / 'a.png', image(27, 34))
    assert problems(pairs, cropped=False) == [] and len(problems(pairs)) == 1
    write_image(pairs / 'gt' / 'a.png', image(28, 34))
    assert len(problems(pairs, cropped=False)) == 1
    write_image(pairs / 'gt' / 'a.png', image(23, 34))
    assert len(problems(pairs, cropped=False)) == 1


def test_names_by_template(pairs):
    for name in 'abc':
        (pairs / 'lq' / f'{name}.png').rename(pairs / 'lq' / f'{name}x4.png')
    (text,) = problems(pairs)
    assert 'have x4 in them' in text and "write filename_tmpl: '{}x4'" in text
    assert problems(pairs, template='{}x4') == []


def test_a_list_restricts_the_pairs(pairs, tmp_path):
    write_image(pairs / 'gt' / 'alone.png', image(24, 32))
    (pairs / 'lq' / 'b.png').unlink()
    (tmp_path / 'list.txt').write_text('a.png (24,32,3)\n')
    assert problems(pairs, meta_info=str(tmp_path / 'list.txt')) == []
    (tmp_path / 'list.txt').write_text('a.png\nb.png\n')
    (text,) = problems(pairs, meta_info=str(tmp_path / 'list.txt'))
    assert 'b.png of' in text and 'has no partner b in' in text


def test_one_side_is_not_there(pairs):
    shutil.rmtree(pairs / 'lq')
    (text,) = problems(pairs)
    assert 'A folder of images was expected at' in text


def test_benchmark_set_against_its_manifest(pairs, tmp_path, capsys):
    out = tmp_path / 'set'
    main(['gaussian8', str(pairs / 'gt'), '--scale', '2', '--out', str(out), '--quiet'])
    assert main(['check', str(out), '--quiet']) == 0
    write_image(out / 'sigma1.60' / 'a.png', image(12, 16))
    (out / 'sigma0.80' / 'b.png').unlink()
    assert main(['check', str(out), '--quiet']) == 1
    shown = capsys.readouterr().out
    assert 'sigma1.60/a.png has other pixels than the manifest says' in shown
    assert 'sigma0.80/b.png is named in the manifest, but not there' in shown
    assert shown.count('a.png of') == 1 and 'has no partner b in' in shown
    shutil.rmtree(out / 'sigma1.26.lmdb')
    assert main(['check', str(out), '--quiet']) == 1
    assert 'sigma1.26.lmdb' in capsys.readouterr().out
    (out / 'manifest.json').write_text(json.dumps({'scale': 'two'}))
    assert main(['check', str(out), '--quiet']) == 1
    assert 'A manifest with scale and pixels_sha256' in capsys.readouterr().out
