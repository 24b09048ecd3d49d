import re
import shutil
import sys

import cv2
import lmdb
import numpy as np
import pytest
from real_files import exit_code_of, write_image

from data_prep.check import check_images
from data_prep.cli import main


def check(path, **options):
    return check_images(str(path), progress=False, **options)


def change(path, key, data):
    with lmdb.open(str(path)) as env, env.begin(write=True) as txn:
        txn.put(key.encode(), data) if data is not None else txn.delete(key.encode())


def test_clean(photo_lmdb, photo_folder):
    report = check(photo_lmdb, gt_size=64)
    assert (report.images, report.checked, report.problems) == (6, 6, [])
    assert str(report) == '6 images, 0 with problems\nheights 72 to 72, widths 64 to 64\n6 checksums compared'
    assert check(photo_folder).checked == 0


def test_every_problem_at_once(photo_lmdb, photo_folder):
    other = (photo_folder / 'photo1.png').read_bytes()
    broken = other[:200]
    wide = cv2.imencode('.png', np.zeros((72, 70, 3), np.uint8))[1].tobytes()
    change(photo_lmdb, 'photo0', other)
    change(photo_lmdb, 'photo2', broken)
    change(photo_lmdb, 'photo3', wide)
    change(photo_lmdb, 'stray', other)
    with open(photo_lmdb / 'checksums.txt', 'a') as file:
        file.write('0' * 64 + '  lost\n')
    problems = check(photo_lmdb, gt_size=71).problems
    for expected in (
        'photo0.png of .* has another checksum than when it was written',
        'photo2.png of .* has another checksum',
        r'photo2.png, but its 200 bytes could not be decoded',
        'photo3.png of .* is noted as 72x64 in meta_info.txt, but has 72x70 pixels',
        'photo5.png has 72x64 pixels, but crops of 71x71 are wanted',
        'lost has a checksum, but there is no such image',
        'The key stray is in the database, but not in meta_info.txt',
    ):
        assert re.search(expected, '\n'.join(problems)), expected
    assert len(problems) == 2 + 2 + 2 + 4 + 1 + 1


def test_missing_records_and_the_rest(photo_lmdb, capsys):
    change(photo_lmdb, 'photo4', None)
    change(photo_lmdb, 'photo2', b'broken')
    assert main(['check', str(photo_lmdb), '--quiet']) == 1
    out = capsys.readouterr().out
    assert '5 images, 4 with problems' in out
    assert 'should have an image in the database, but 1 of 6 have none: photo4.png' in out
    assert 'photo2.png, but its 6 bytes could not be decoded' in out and 'photo4 has a checksum' in out


def test_what_is_no_lmdb_at_all(tmp_path, capsys):
    (tmp_path / 'data.mdb').write_bytes(b'no database' * 2000)
    assert main(['check', str(tmp_path)]) == 1
    assert 'was expected to be an LMDB, but it could not be opened' in capsys.readouterr().out


def cut(path, pages):
    data = path / 'data.mdb'
    data.write_bytes(data.read_bytes()[: pages * 4096])


@pytest.mark.parametrize('pages', [1, 3, 10, -1])
def test_a_database_that_was_cut_short_is_refused(photo_lmdb, pages, capfd):
    """In a process of its own: reading on would end it by SIGBUS, without a word."""
    cut(photo_lmdb, pages)
    assert exit_code_of(lambda: sys.exit(main(['check', str(photo_lmdb), '--quiet']))) == 1
    said = capfd.readouterr()
    assert not said.err and re.search('was cut short: .* bytes were expected|could not be opened', said.out), said


def test_damaged_pages_are_problems(photo_lmdb):
    """Everything but the two heads is overwritten, a page at a time."""
    data = photo_lmdb / 'data.mdb'
    whole = data.read_bytes()
    seen = set()
    for page in range(2, len(whole) // 4096):
        data.write_bytes(whole[: page * 4096] + b'\xff' * 4096 + whole[(page + 1) * 4096 :])
        shutil.copytree(photo_lmdb, photo_lmdb.with_name(f'{page}.lmdb'))
        problems = '\n'.join(check(photo_lmdb.with_name(f'{page}.lmdb')).problems)
        assert problems
        seen.update(re.findall('is damaged|another checksum', problems))
    assert seen == {'is damaged', 'another checksum'}


def test_leftovers_of_an_interrupted_run(photo_lmdb):
    (photo_lmdb.parent / '.photos.lmdb.part').mkdir()
    (problem,) = check(photo_lmdb).problems
    assert '.photos.lmdb.part was left by a run that was interrupted' in problem


def test_a_list_restricts_it(photo_lmdb, tmp_path):
    (tmp_path / 'list.txt').write_text('photo2.png\nphoto4.png\n')
    report = check(photo_lmdb, meta_info=str(tmp_path / 'list.txt'))
    assert (report.images, report.checked, report.problems) == (2, 2, [])


def test_folder_with_checksums(photo_folder, tmp_path):
    assert (
        main(['subimages', str(photo_folder), '-o', str(tmp_path / 't'), '--size', '40', '--step', '30', '--quiet'])
        == 0
    )
    report = check(tmp_path / 't')
    assert (report.images, report.checked, report.problems) == (36, 36, [])
    write_image(tmp_path / 't' / 'photo0_s002.png', np.zeros((40, 40, 3), np.uint8))
    (tmp_path / 't' / 'photo1_s001.png').unlink()
    problems = check(tmp_path / 't').problems
    assert (
        len(problems) == 2 and 'photo0_s002.png of' in problems[0] and 'photo1_s001.png has a checksum' in problems[1]
    )
