"""The command end to end on real photographs: results, pages, failures, resuming."""

import importlib
import inspect
import json
import math
import os
import re
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.metrics import calculate_metric, calculate_niqe, calculate_psnr
from basicsr.utils import tensor2img
from basicsr.utils.registry import ARCH_REGISTRY
from skimage import data

from stea_arch import test as test_entry
from stea_arch.commands.compare import main
from stea_arch.compare import networks, run
from stea_arch.compare.evaluate import evaluate, metric_options, with_progress
from stea_arch.compare.networks import Network
from stea_arch.compare.testsets import TestSet
from stea_arch.results.files import read_json, write_json

EDSR = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 2}


def compare(opt, capsys=None, out=None):
    Path('compare.yml').write_text(yaml.safe_dump(opt, sort_keys=False))
    status = main(['-opt', 'compare.yml', *(['--out', str(out)] if out else [])])
    return status if capsys is None else (status, capsys.readouterr())


def result(network, testset='photos_x2', name='mini'):
    return json.loads(Path('results/compare', name, testset, f'{network}.json').read_text())


@pytest.fixture
def no_reference(tmp_path):
    """Two photographs large enough for NIQE when enlarged, and a flat one."""
    (tmp_path / 'real').mkdir()
    for number, img in enumerate([data.astronaut()[:110, 100:210], data.coffee()[100:220, 100:220]]):
        cv2.imwrite(str(tmp_path / f'real/photo{number}.png'), np.ascontiguousarray(img[..., ::-1]))
    cv2.imwrite(str(tmp_path / 'real/flat.png'), np.full((100, 100, 3), 90, np.uint8))
    return {'protocol': 'no_reference', 'lq': 'real'}


def test_three_networks_of_which_one_fails(mini, no_reference, capsys):
    mini['networks']['EDSR'] = {'network_g': EDSR, 'weights': 'labnet.pth'}
    mini['datasets']['real'] = no_reference
    mini['datasets']['photos']['crop'] = {'image': 'photo3', 'kernel': 'sigma1.60', 'region': [8, 10, 20]}
    mini |= {'cost': {'size': [16, 16], 'rounds': 1}, 'metrics': ['psnr', 'ssim', 'niqe', 'lpips']}
    status, printed = compare(mini, capsys)
    assert status == 1
    assert re.search(r'EDSR on photos x2, real x2: labnet\.pth does not fit EDSR', printed.err)
    assert 'Traceback' not in printed.err

    # numbers: every image and kernel, as BasicSR's functions give them from the network run by hand
    content = result('LabNet')
    assert len(content['images']) == 12 and list(content['groups']) == ['sigma0.80', 'sigma1.60']
    testset = TestSet('photos', mini['datasets']['photos'], 2)
    net = build_network({**mini['networks']['LabNet']['network_g']})
    net.load_state_dict(torch.load('labnet.pth')['params'])
    with torch.inference_mode():
        pair = {'img': tensor2img([net(testset[7]['lq'][None])]), 'img2': tensor2img([testset[7]['gt']])}
    opt = {'type': 'calculate_psnr', 'crop_border': 2, 'test_y_channel': True}
    assert content['images'][7]['psnr'] == pytest.approx(calculate_metric(pair, opt), abs=1e-3)
    assert content['mean']['psnr'] == pytest.approx(np.mean([record['psnr'] for record in content['images']]))
    assert content['parameters'] == sum(p.numel() for p in net.parameters())
    assert content['versions']['basicsr'] == '1.4.2' and content['device'] == 'cpu'
    assert content['commit'] is None or re.fullmatch(r'[0-9a-f]{40}\+?', content['commit'])
    assert content['test']['degradation'].startswith('2 isotropic Gaussians 21x21, sigma 0.80 to 1.60')

    # without a truth: NIQE where it has a value, the flat image is left out and said so
    real = result('Bicubic', 'real_x2')
    assert [sorted(record) for record in real['images']] == [['group', 'image', 'size']] + 2 * [
        ['group', 'image', 'niqe', 'size']
    ]
    picture = cv2.imread('results/compare/mini/real_x2/pictures/Bicubic/photo0.png')
    assert real['images'][1]['niqe'] == pytest.approx(calculate_niqe(picture, crop_border=0))

    table = Path('results/compare/mini/report.md').read_text()
    assert table.strip() in printed.out
    assert re.search(r'\| EDSR +\| \S +\|.*failed +\|', table)
    assert 'Bicubic: NIQE has no value for 1 of 3 images' in table
    assert 'lpips needs the file' in table
    assert re.search(rf'\| LabNet +\| {content["parameters"]:,} .*{content["mean"]["psnr"]:.2f} / ', table)
    costs = read_json('results/compare/mini/cost_x2.json')['networks']
    assert list(costs) == ['Bicubic', 'LabNet'] and costs['LabNet']['parameters'] == content['parameters']
    assert costs['LabNet']['macs'] > costs['Bicubic']['macs'] > 0
    assert (Path('results/compare/mini') / 'index.html').stat().st_size < 500_000


def test_numbers_are_those_of_stea_test(mini, run_main, tiny_options, tmp_path):
    assert compare(mini) == 0
    dataset = {'name': 'photos', 'type': 'ClassicalDegradationDataset', 'num_kernels': 2}
    dataset |= {'dataroot_gt': mini['datasets']['photos']['gt'], 'io_backend': {'type': 'disk'}}
    options = tiny_options({'name': 'labnet', 'train': ..., 'logger': ..., 'val': {'save_best': ..., 'val_freq': ...}})
    options['datasets'] = {'test': dataset}
    options['path']['pretrain_network_g'] = str(tmp_path / 'labnet.pth')
    run_main(test_entry.main, options)
    theirs = json.loads((tmp_path / 'results/labnet/metrics_photos.json').read_text())
    ours = result('LabNet')
    values = [[record['psnr'] for record in results['images']] for results in (ours, theirs)]
    assert values[0] == pytest.approx(values[1], abs=1e-3)  # what runs here is fused, and rounds otherwise
    wide = [results['groups']['sigma1.60']['psnr'] for results in (ours, theirs)]
    assert wide[0] == pytest.approx(wide[1], abs=1e-3)


def test_what_is_finished_is_not_computed_again_and_what_changed_is(mini, monkeypatch):
    ran = []
    original = run.compare_one.__globals__['evaluate']

    def counted(network, testset, metrics, indices=None, pictures=None):
        ran.append((network.label, testset.name, bool(metrics)))
        return original(network, testset, metrics, indices, pictures)

    monkeypatch.setitem(run.compare_one.__globals__, 'evaluate', counted)

    def again():
        ran.clear()
        assert compare(mini) == 0
        return ran

    assert len(again()) == 2
    before = result('LabNet')
    assert again() == []
    # new weights: that network alone
    net = build_network({**mini['networks']['LabNet']['network_g']})
    torch.save(net.state_dict(), 'labnet.pth')
    assert again() == [('LabNet', 'photos', True)]
    assert result('LabNet')['weights_sha256'] != before['weights_sha256']
    # the same weights under another name and another label of the comparison: nothing
    os.rename('labnet.pth', 'moved.pth')
    mini['networks']['LabNet']['weights'] = 'moved.pth'
    assert again() == []
    # another protocol: everything, and no picture of before stays; more crops: pictures alone
    pictures = Path('results/compare/mini/photos_x2/pictures/LabNet')
    (pictures / 'photo5_sigma0.80.png').write_bytes(b'old')
    mini['datasets']['photos']['crop_to'] = 4
    assert len(again()) == 2
    assert sorted(path.name for path in pictures.iterdir()) == ['photo0_sigma0.80.png', 'photo1_sigma1.60.png']
    mini['crops']['rows'] = 3
    assert again() == [('Bicubic', 'photos', False), ('LabNet', 'photos', False)]
    assert len(list(pictures.iterdir())) == 4  # photo0's was there, photo1 and photo2 come under other kernels
    # a result cut short by a kill never has the name of one
    Path('results/compare/mini/photos_x2/LabNet.json').unlink()
    Path('results/compare/mini/photos_x2/.LabNet.json.1.partial').write_text('{')
    assert again() == [('LabNet', 'photos', True)]


OWN = """
from torch import nn
from basicsr.utils.registry import ARCH_REGISTRY


@ARCH_REGISTRY.register()
class DoubledByHand(nn.Module):
    def forward(self, lq):
        return lq.repeat_interleave(2, 2).repeat_interleave(2, 3)
"""


def test_results_know_code_versions_and_device(mini, monkeypatch, capsys):
    """After an edit of a network or a metric, an update of a package, on another device: old numbers are no results."""
    file, metric = Path('doubled_by_hand.py').resolve(), Path(inspect.getsourcefile(calculate_psnr))
    file.write_text(OWN)
    monkeypatch.setattr(ARCH_REGISTRY, '_obj_map', dict(ARCH_REGISTRY._obj_map))
    monkeypatch.syspath_prepend(str(file.parent))
    importlib.import_module('doubled_by_hand')
    torch.save({}, 'empty.pth')
    mini['networks'] = {'Bicubic': 'bicubic', 'Own': {'network_g': {'type': 'DoubledByHand'}, 'weights': 'empty.pth'}}

    def unchanged():
        status, printed = compare(mini, capsys)
        assert status == 0
        return [label for label in mini['networks'] if f'{label} on photos x2: nothing has changed' in printed.out]

    assert unchanged() == []
    assert unchanged() == ['Bicubic', 'Own']
    file.write_text(f'{OWN}\n# another version\n')
    assert unchanged() == ['Bicubic']
    for change in (
        lambda patch: patch.setattr(
            Path, 'read_bytes', lambda path, read=Path.read_bytes: b'another version' if path == metric else read(path)
        ),
        lambda patch: patch.setattr(networks, 'get_packages', lambda: {'torch': '9.9'}),
        lambda patch: patch.setattr(networks, 'describe_device', lambda opt: 'NVIDIA H100'),
    ):
        with monkeypatch.context() as patch:
            change(patch)
            assert unchanged() == []
            assert unchanged() == ['Bicubic', 'Own']


@pytest.mark.parametrize('size', [3_000, 8_000, 20_000, 45_000])
def test_a_full_disk_leaves_complete_files_and_a_paragraph(mini, small_disk, capsys, size):
    """Wherever the room ends: in a result, a picture, the table or the page."""
    mini['crops']['size'] = 64
    with small_disk(size) as disk:
        assert compare(mini, out=disk / 'out') == 1
        printed = capsys.readouterr()
        assert printed.err.count('\n') == 1 and re.search('could not be written: .*Make room', printed.err)
        files = [path for path in disk.rglob('*') if path.is_file()]
        for path in files:
            assert path.suffix in ('.json', '.png', '.md', '.html')
            if path.suffix == '.json':
                assert json.loads(path.read_text())['images']
            elif path.suffix == '.png':
                assert cv2.imread(str(path)) is not None
        finished = {path: path.stat().st_mtime_ns for path in files if path.suffix == '.json'}
        shutil.copytree(disk / 'out', 'continued')
    assert compare(mini, out='continued') == 0
    printed = capsys.readouterr()
    assert printed.out.count('nothing has changed') == len(finished)
    assert Path('continued/index.html').read_text().rstrip().endswith('</html>')


def test_bicubic_runs_at_every_scale_and_a_network_at_its_own(mini, capsys):
    mini |= {'scales': [2, 3], 'crops': {'rows': 0}}
    mini['networks']['LabNet']['scale'] = 2
    mini['datasets']['unblurred'] = {**mini['datasets']['photos'], 'protocol': 'bicubic', 'scales': [3]}
    del mini['datasets']['unblurred']['num_kernels']
    assert compare(mini) == 0
    found = sorted(str(path.relative_to('results/compare/mini')) for path in Path('results').rglob('*.json'))
    assert found == [
        'photos_x2/Bicubic.json',
        'photos_x2/LabNet.json',
        'photos_x3/Bicubic.json',
        'unblurred_x3/Bicubic.json',
    ]
    page = Path('results/compare/mini/index.html').read_text()
    assert 'Overview, x2' in page and 'Overview, x3' in page and '<img' not in page


def test_an_exact_image_is_left_out_of_the_mean_and_said(mini, tmp_path, capsys):
    (tmp_path / 'flat').mkdir()
    cv2.imwrite('flat/flat.png', np.full((40, 40, 3), 100, np.uint8))
    cv2.imwrite('flat/photo.png', np.ascontiguousarray(data.astronaut()[:40, 180:220, ::-1]))
    mini['datasets'] = {'flat': {'protocol': 'gaussian8', 'gt': 'flat', 'num_kernels': 2}}
    del mini['networks']['LabNet']
    status, printed = compare(mini, capsys)
    assert status == 0
    content = result('Bicubic', 'flat_x2')
    assert [record['psnr'] == 'inf' for record in content['images']] == [True, True, False, False]
    assert content['mean']['psnr'] == pytest.approx(np.mean([record['psnr'] for record in content['images'][2:]]))
    assert 'Bicubic: 2 results equal the truth; they are left out of the mean PSNR.' in printed.out
    assert read_json('results/compare/mini/flat_x2/Bicubic.json')['images'][0]['psnr'] == math.inf


def test_nan_is_a_failure_and_never_json(mini, tmp_path):
    weights = torch.load('labnet.pth')
    weights['params']['tail.0.weight'][:] = 1e38
    torch.save(weights, 'labnet.pth')
    network = Network(mini, 'LabNet', 2)
    with pytest.raises(ValueError, match='values that are not finite'):
        evaluate(network, TestSet('photos', mini['datasets']['photos'], 2), {}, [0])
    with pytest.raises(ValueError, match='not JSON compliant'):
        write_json({'psnr': math.nan}, tmp_path / 'x.json')
    assert not (tmp_path / 'x.json').exists()


def test_images_smaller_than_a_metric_needs_are_left_out_counted_and_said(mini, tmp_path, capsys):
    (tmp_path / 'tiny').mkdir()
    for side in (8, 14, 40):  # less than the window of SSIM, less without the border, and enough
        cv2.imwrite(f'tiny/{side}.png', np.ascontiguousarray(data.astronaut()[:side, 180 : 180 + side, ::-1]))
    mini['datasets'] = {'tiny': {'protocol': 'bicubic', 'gt': 'tiny'}}
    del mini['networks']['LabNet']
    status, printed = compare(mini, capsys)
    assert status == 0
    content = result('Bicubic', 'tiny_x2')
    with_ssim = {record['image'] for record in content['images'] if 'ssim' in record}
    assert with_ssim == {'40'} and all('psnr' in record for record in content['images'])
    assert content['without_value'] == {'ssim': 2} and 0 < content['mean']['ssim'] < 1
    assert 'Bicubic: SSIM has no value for 2 of 3 images (smaller than its window' in printed.out


def test_self_ensemble(mini):
    """A network that commutes with flips gives the same with the ensemble; bicubic does."""
    mini['networks']['Bicubic +'] = {'network_g': {'type': 'Bicubic', 'upscale': 2}, 'self_ensemble': True}
    testset = TestSet('photos', mini['datasets']['photos'], 2)
    metrics = metric_options(['psnr'], 2, True)
    plain, ensemble = (evaluate(Network(mini, label, 2), testset, metrics, [0]) for label in ('Bicubic', 'Bicubic +'))
    assert ensemble[0]['psnr'] == pytest.approx(plain[0]['psnr'], abs=0.01)


def test_a_wrong_option_file_ends_before_anything_is_made(mini, capsys):
    mini['networks']['LabNet']['weights'] = 'none.pth'
    status, printed = compare(mini, capsys)
    assert status == 2
    assert re.search(
        r'compare\.yml: 1 problem in the options:\n  networks\.LabNet\.weights: none\.pth is not', printed.err
    )
    assert not Path('results').exists()


def test_progress_inside_a_set_is_said_where_there_is_no_terminal(monkeypatch, capsys):
    now = iter(range(0, 1000, 20))
    monkeypatch.setattr(time, 'monotonic', lambda: next(now))
    assert list(with_progress(range(4), 'EDSR on Set5 x4')) == [0, 1, 2, 3]
    assert capsys.readouterr().out == 'EDSR on Set5 x4: 1 of 4 images, about 2.0 min left\n' + (
        'EDSR on Set5 x4: 3 of 4 images, about 0.4 min left\n'
    )
