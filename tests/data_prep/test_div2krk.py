"""DIV2KRK's layout in miniature: gt/img_N_gt.png, lr_x2 and lr_x4/im_N.png, some with an alpha channel."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from basicsr.data.paired_image_dataset import PairedImageDataset
from PIL import Image
from real_files import read_image, read_lmdb, write_image
from skimage.data import coffee

from data_prep.cli import main
from data_prep.div2krk import list_pairs
from stea_arch.commands.compare import main as compare

NUMBERS = (1, 2, 10, 11, 100)


def write_rgba(path, img):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(img).save(path)


@pytest.fixture
def div2krk(tmp_path):
    base = tmp_path / 'DIV2KRK_public' / 'DIV2KRK'
    for number in NUMBERS:
        img = coffee()[number : number + 48, 200:264]
        alpha = np.full((*img.shape[:2], 1), 255, np.uint8)
        if number % 2:  # as matplotlib saves them
            write_rgba(base / 'gt' / f'img_{number}_gt.png', np.dstack([img, alpha]))
        else:
            write_image(base / 'gt' / f'img_{number}_gt.png', img)
        for scale in (2, 4):
            write_image(base / f'lr_x{scale}' / f'im_{number}.png', np.ascontiguousarray(img[::scale, ::scale]))
    return base


@pytest.mark.parametrize('given', ['', 'DIV2KRK_public', 'DIV2KRK_public/DIV2KRK'])
def test_pairs_by_number_not_by_order_of_names(div2krk, tmp_path, given, capsys):
    pairs = list_pairs(tmp_path / given, 4)
    assert list(pairs) == list(NUMBERS)
    assert pairs[10] == (div2krk / 'gt/img_10_gt.png', div2krk / 'lr_x4/im_10.png')
    assert main(['div2krk', str(tmp_path / given), '--scale', '2', '--list']) == 0
    assert capsys.readouterr().out.splitlines()[1] == f'{div2krk}/gt/img_2_gt.png\t{div2krk}/lr_x2/im_2.png'


@pytest.mark.usefixtures('basicsrs_reader')
def test_lmdbs_that_basicsr_pairs(div2krk, tmp_path):
    out = tmp_path / 'out'
    assert main(['div2krk', str(div2krk), '--scale', '4', '--out', str(out), '--quiet']) == 0
    assert read_lmdb(out / 'gt.lmdb')['img_2'] == (div2krk / 'gt/img_2_gt.png').read_bytes()
    opt = {'dataroot_gt': str(out / 'gt.lmdb'), 'dataroot_lq': str(out / 'lq.lmdb'), 'phase': 'test'}
    data = PairedImageDataset({**opt, 'io_backend': {'type': 'lmdb'}, 'scale': 4})
    assert len(data) == 5
    for item in (data[index] for index in range(5)):
        number = item['gt_path'][4:]
        gt, lq = read_image(div2krk / f'gt/img_{number}_gt.png'), read_image(div2krk / f'lr_x4/im_{number}.png')
        np.testing.assert_allclose(item['gt'].numpy().transpose(1, 2, 0) * 255, gt[..., :3], atol=1e-4)
        np.testing.assert_allclose(item['lq'].numpy().transpose(1, 2, 0) * 255, lq, atol=1e-4)
    for env in data.file_client.client._client.values():
        env.close()


def test_networks_are_compared_on_them_by_the_option_file(div2krk, tmp_path, monkeypatch, capsys):
    opt = yaml.safe_load((Path(__file__).parents[2] / 'options/compare/DIV2KRK_x4.yml').read_text())
    monkeypatch.chdir(tmp_path)
    assert main(['div2krk', str(div2krk), '--scale', '4', '--out', 'datasets/DIV2KRK_x4', '--quiet']) == 0
    opt['networks'] = {'Bicubic': 'bicubic'}
    Path('opt.yml').write_text(yaml.safe_dump(opt))
    assert compare(['-opt', 'opt.yml']) == 0
    results = json.loads(Path('results/compare/DIV2KRK_x4/DIV2KRK_x4/Bicubic.json').read_text())
    assert len(results['images']) == 5 and results['mean']['psnr'] > 10
    assert results['test']['degradation'] == 'low-quality images as they lie in lq'


def test_refuses(div2krk, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'folders gt and lr_x3 of DIV2KRK were expected in'):
        list_pairs(div2krk, 3)
    write_image(div2krk / 'gt' / 'img_7_gt.png', coffee()[:8, :8])
    with pytest.raises(ValueError, match=r'1 are alone: .*gt/img_7_gt\.png\. Unpack'):
        list_pairs(div2krk, 4)
    for name in ('im_01.png', 'img_7.png'):  # the first would take the place of im_1
        write_image(div2krk / 'lr_x4' / name, coffee()[:8, :8])
    with pytest.raises(ValueError, match=r'called im_1\.png and so on .* 2 have other names: im_01\.png, img_7\.png'):
        list_pairs(div2krk, 4)


def test_refuses_wrong_sizes(div2krk, tmp_path, capsys):
    write_image(div2krk / 'lr_x4' / 'im_2.png', coffee()[:12, :15])
    assert main(['div2krk', str(div2krk), '--scale', '4', '--out', str(tmp_path / 'o')]) == 2
    assert '1 of 5 pairs are not: img_2_gt.png (48x64) beside im_2.png (12x15)' in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()


def test_refuses_real_transparency(div2krk, tmp_path, capsys):
    write_rgba(div2krk / 'gt' / 'img_1_gt.png', np.full((48, 64, 4), 200, np.uint8))
    assert main(['div2krk', str(div2krk), '--scale', '4', '--out', str(tmp_path / 'o'), '--quiet']) == 2
    assert 'img_1.png: ' in (err := capsys.readouterr().err) and 'transparency cannot be used' in err
