"""The table and the picture from results made by the test pipeline."""

import json

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from PIL import Image

from stea_arch import test as test_entry
from stea_arch.commands.report import main
from stea_arch.results.picture import make_picture
from stea_arch.results.tables import load_results, make_labels


@pytest.fixture
def results(tiny_options, run_main, photo_folder, tmp_path):
    """Results of bicubic and of an untrained LabNet on three kernels."""
    dataset = {'name': 'photos', 'type': 'ClassicalDegradationDataset', 'dataroot_gt': str(photo_folder)}
    dataset |= {'io_backend': {'type': 'disk'}, 'num_kernels': 3}
    metrics = {
        'psnr': {'type': 'calculate_psnr', 'crop_border': 2, 'test_y_channel': True},
        'ssim': {'type': 'calculate_ssim', 'crop_border': 2, 'test_y_channel': True, 'better': 'higher'},
    }
    folders = []
    for name, network in (('bicubic', {'type': 'Bicubic', 'upscale': 2}), ('labnet', None)):
        options = tiny_options({'name': name, 'train': ..., 'logger': ...})
        options['datasets'] = {'test': dataset}
        options['network_g'] = network or options['network_g']
        if network is None:
            torch.save(build_network(options['network_g']).state_dict(), tmp_path / 'labnet.pth')
            options['path']['pretrain_network_g'] = str(tmp_path / 'labnet.pth')
        options['val'] = {'save_img': True, 'suffix': None, 'metrics': metrics}
        folders.append(run_main(test_entry.main, options) / 'results' / name)
    return folders


def test_table_and_picture(results, tmp_path, capsys):
    main([*map(str, results), '--table', str(tmp_path / 't.md'), '--picture', str(tmp_path / 'p.png')])
    table = capsys.readouterr().out.strip()
    assert table == (tmp_path / 't.md').read_text().strip()
    lines = table.splitlines()
    assert lines[0] == (
        'photos, x2, 6 images under 3 kernels. psnr: psnr on Y, border 2; ssim: ssim on Y, border 2. '
        'The columns of kernels hold psnr.'
    )
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]
    assert cells[0] == ['network', 'parameters', 'psnr', 'ssim', 'sigma0.80', 'sigma1.20', 'sigma1.60']
    content = json.loads((results[0] / 'metrics_photos.json').read_text())
    by_group = [np.mean([r['psnr'] for r in content['images'] if r['group'] == g]) for g in content['groups']]
    assert cells[2] == [
        'Bicubic', '0', f'{np.mean(by_group):.2f}',
        f'{np.mean([r["ssim"] for r in content["images"]]):.4f}', *(f'{value:.2f}' for value in by_group),
    ]  # fmt: skip
    assert cells[3][0] == 'LabNet'
    # four crops in a row (input, bicubic, labnet, truth) and four rows, none of them blank
    image = np.asarray(Image.open(tmp_path / 'p.png'))
    assert image.shape[1] == 4 * (240 + 8) + 8
    for row in range(4):
        for column in range(4):
            crop = image[38 + row * 278 :, 8 + column * 248 :][:240, :240]
            assert crop.std() > 5


def test_photographs_without_truth(tiny_options, run_main, photo_folder, tmp_path, capsys):
    """No truth in the picture, and no value where the images are too small for NIQE."""
    options = tiny_options({'name': 'real', 'train': ..., 'logger': ...})
    options['network_g'] = {'type': 'Bicubic', 'upscale': 2}
    data = {'name': 'photos', 'type': 'SingleImageDataset', 'dataroot_lq': str(photo_folder)}
    options['datasets'] = {'test': {**data, 'io_backend': {'type': 'disk'}}}
    options['val'] = {
        'save_img': True,
        'suffix': None,
        'metrics': {'niqe': {'type': 'calculate_niqe', 'crop_border': 0}},
    }
    folder = run_main(test_entry.main, options) / 'results/real'
    capsys.readouterr()
    main([str(folder), '--picture', str(tmp_path / 'p.png'), '--rows', '2'])
    table = capsys.readouterr().out.strip().splitlines()
    assert table[0] == 'photos, x2, 6 images. niqe: niqe on Y, border 0.'
    assert [cell.strip() for cell in table[-1].strip('|').split('|')] == ['Bicubic', '0', '-']
    assert Image.open(tmp_path / 'p.png').size == (2 * (240 + 8) + 8, 38 + 2 * 278 + 8)  # input and result


def test_different_protocols_do_not_share_a_table(results):
    file = results[1] / 'metrics_photos.json'
    content = json.loads(file.read_text())
    content['metrics']['psnr']['crop_border'] = 4
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match='labnet and bicubic cannot stand in one table: their metrics of photos differ'
    ):
        load_results(results)


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'has no metrics_<dataset>\.json: expected the folder'):
        load_results([tmp_path])


def test_a_picture_needs_saved_images(results, tmp_path):
    runs = next(iter(load_results(results).values()))
    for record in runs[1]['images']:
        del record['result']
    with pytest.raises(ValueError, match=r'labnet has no saved images: set val\.save_img: true'):
        make_picture(runs, ['a', 'b'], tmp_path / 'p.png')


def test_two_runs_of_one_network_are_told_apart(results):
    runs = next(iter(load_results([results[1], results[1]]).values()))
    assert make_labels(runs) == ['LabNet (labnet)', 'LabNet (labnet)']
    runs[1] = {**runs[1], 'self_ensemble': True}
    assert make_labels(runs) == ['LabNet', 'LabNet +']
