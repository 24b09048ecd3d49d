import numpy as np
import pytest
import yaml
from real_files import write_image

from data_prep.cli import main
from stea_arch import train


@pytest.fixture
def written(tmp_path, tiny_options):
    def write(changes):
        file = tmp_path / 'options.yml'
        file.write_text(yaml.safe_dump(tiny_options(changes)))
        return str(file)

    return write


def paired(tmp_path):
    return {
        'name': 'pairs',
        'type': 'PairedImageDataset',
        'dataroot_gt': str(tmp_path / 'gt'),
        'dataroot_lq': str(tmp_path / 'lq'),
        'io_backend': {'type': 'disk'},
    }


def test_all_data_of_a_file(written, tmp_path, capsys):
    for side, length in (('gt', 17), ('lq', 8)):
        write_image(tmp_path / side / 'a.png', np.zeros((length, length, 3), np.uint8))
    file = written({'datasets': {'val': paired(tmp_path)}})
    assert main(['check', file, '--quiet']) == 0
    assert '8 images, 0 with problems' in capsys.readouterr().out

    write_image(tmp_path / 'lq' / 'b.png', np.zeros((8, 8, 3), np.uint8))
    file = written({'datasets': {'train': {'gt_size': 66}, 'val': paired(tmp_path)}})
    assert main(['check', file, '--quiet']) == 1
    out = capsys.readouterr().out
    assert out.count('datasets.train: photo') == 6 and 'crops of 66x66 are wanted' in out
    assert 'datasets.val: b.png of' in out and '9 images, 7 with problems' in out


@pytest.mark.parametrize(
    ('gt', 'lq', 'said'),
    [
        (64, 16, 'at scale 2 32x32 were expected'),  # inputs of x4
        (64, 33, 'at scale 2 66x66 were expected'),  # one pixel too large
    ],
)
def test_pairs_that_do_not_fit_end_a_training_before_it_begins(
    written, tiny_options, fail_main, tmp_path, capsys, gt, lq, said
):
    for side, length in (('gt', gt), ('lq', lq)):
        for name in 'ab':
            write_image(tmp_path / side / f'{name}.png', np.zeros((length, length, 3), np.uint8))
    changes = {'datasets': {'val': paired(tmp_path)}}
    assert main(['check', written(changes), '--quiet']) == 1
    assert capsys.readouterr().out.count(said) == 2
    error = fail_main(2, train.main, tiny_options(changes))
    assert f'datasets.val: a.png of {tmp_path}/gt has {gt}x{gt} pixels' in error
    assert said in error and '(1 more such problems; stea-data check FILE lists them)' in error


@pytest.mark.parametrize('template', ['{}{}', '{name}', '{.x}', '{:d}', '{', 'x2', 3, None])
def test_a_template_without_a_place_for_the_name_is_said_by_both(
    written, tiny_options, fail_main, tmp_path, capsys, template
):
    for side, length in (('gt', 64), ('lq', 32)):
        write_image(tmp_path / side / 'a.png', np.zeros((length, length, 3), np.uint8))
    changes = {'datasets': {'val': {**paired(tmp_path), 'filename_tmpl': template}}}
    said = f"filename_tmpl must have {{}} where the name of an image comes, as '{{}}x2', got {template!r}"
    assert main(['check', written(changes), '--quiet']) == 1
    assert f'datasets.val: {said}' in capsys.readouterr().out
    assert (said if isinstance(template, str) else 'datasets.val.filename_tmpl') in fail_main(
        2, train.main, tiny_options(changes)
    )


def test_several_roots_are_all_looked_at_with_their_lists(written, tmp_path, capsys):
    for root in 'ab':
        for name in ('one', 'two'):
            write_image(tmp_path / root / f'{name}.png', np.zeros((64, 64, 3), np.uint8))
    (tmp_path / 'b/two.png').write_bytes(b'torn')
    (tmp_path / 'list.txt').write_text('one.png\n')
    roots = {'dataroot_gt': [str(tmp_path / 'a'), str(tmp_path / 'b')]}
    assert main(['check', written({'val': ..., 'datasets': {'train': roots}}), '--quiet']) == 1
    assert '4 images, 1 with problems' in capsys.readouterr().out
    roots['meta_info'] = [None, str(tmp_path / 'list.txt')]
    assert main(['check', written({'val': ..., 'datasets': {'train': roots}}), '--quiet']) == 0
    assert '3 images, 0 with problems' in capsys.readouterr().out


def test_the_list_of_photographs_in_an_lmdb_counts(tmp_path, real_options, photo_lmdb, capsys):
    (tmp_path / 'list.txt').write_text('photo1.png\nphoto4.png\n')
    data = {
        'dataroot_gt': str(photo_lmdb),
        'io_backend': {'type': 'lmdb'},
        'meta_info': f'{tmp_path}/list.txt',
    }
    (tmp_path / 'o.yml').write_text(yaml.safe_dump(real_options({'val': ..., 'datasets': {'train': data}})))
    assert main(['check', str(tmp_path / 'o.yml'), '--quiet']) == 0
    assert '2 images, 0 with problems' in capsys.readouterr().out


def test_training_refuses_gray_and_evaluation_does_not(written, tmp_path, capsys):
    write_image(tmp_path / 'g' / 'a.png', np.zeros((40, 40), np.uint8))
    data = {'dataroot_gt': str(tmp_path / 'g')}
    val = {'name': 'v', 'type': 'ClassicalDegradationDataset', **data, 'io_backend': {'type': 'disk'}}
    assert main(['check', written({'datasets': {'train': data, 'val': val}}), '--quiet']) == 1
    out = capsys.readouterr().out
    assert '2 images, 1 with problems' in out and 'datasets.train: An RGB image was expected for training' in out


def test_a_comparison(tmp_path, capsys):
    for scale in (2, 4):
        write_image(tmp_path / f'gt{scale}' / 'a.png', np.zeros((40, 40, 3), np.uint8))
        write_image(tmp_path / f'lq{scale}' / 'a.png', np.zeros((20, 20, 3), np.uint8))
    (tmp_path / 'real').mkdir()
    (tmp_path / 'real/torn.jpg').write_bytes(b'no image')
    bicubic = {'name': 'c', 'scales': [2, 4], 'num_gpu': 0, 'networks': {'Bicubic': 'bicubic'}}
    pairs = {'protocol': 'bicubic', 'gt': f'{tmp_path}/gt{{scale}}', 'lq': f'{tmp_path}/lq{{scale}}'}
    blurred = {'protocol': 'gaussian8', 'gt': f'{tmp_path}/gt4'}
    file = tmp_path / 'compare.yml'
    file.write_text(yaml.safe_dump({**bicubic, 'datasets': {'P': {**pairs, 'scales': [2]}, 'B': blurred}}))
    assert main(['check', str(file), '--quiet']) == 0
    assert '3 images, 0 with problems' in capsys.readouterr().out  # gt4 once, though at two scales

    real = {'protocol': 'no_reference', 'lq': f'{tmp_path}/real'}
    file.write_text(yaml.safe_dump({**bicubic, 'datasets': {'P': pairs, 'R': real}, 'croops': {}}))
    assert main(['check', str(file), '--quiet']) == 1
    out = capsys.readouterr().out
    assert "croops: unknown key (did you mean 'crops'?)" in out
    assert 'datasets.P: a.png of' in out and 'at scale 4 80x80 were expected' in out
    assert 'datasets.R: ' in out and 'torn.jpg' in out


def test_the_file_itself(written, tmp_path, capsys):
    assert main(['check', written({'scale': 2, 'datasets': {'train': {'gt_sise': 3}}}), '--quiet']) == 1
    assert 'gt_sise' in capsys.readouterr().out
    nowhere = {'datasets': {'train': {'dataroot_gt': 'nowhere', 'gt_sise': 3}}, 'val': ...}
    assert main(['check', written(nowhere), '--quiet']) == 1
    out = capsys.readouterr().out
    assert 'gt_sise' in out and 'datasets.train: A folder of images was expected at nowhere' in out
    (tmp_path / 'list.yml').write_text('- 3\n')
    assert main(['check', str(tmp_path / 'list.yml'), '--quiet']) == 1
    assert main(['check', str(tmp_path / 'none.yml')]) == 2
    assert 'there is no option file' in capsys.readouterr().err
