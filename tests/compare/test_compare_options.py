"""The strict check of a comparison's option file, and the files in options/compare."""

import re
from pathlib import Path

import pytest
import yaml

from stea_arch.compare.options import read_compare_options
from stea_arch.options import OptionError
from stea_arch.weights.files import read_architecture

ROOT = Path(__file__).parents[2] / 'options'
FILES = sorted((ROOT / 'compare').glob('*.yml'))


def problems(read, opt, **how):
    with pytest.raises(OptionError) as error:
        read(opt, **how)
    return {path: text for path, text in error.value.problems}, str(error.value)


def test_everything_is_reported_at_once_with_lines_and_nearest_keys(read, mini):
    mini['networks']['LabNet']['network_g'] |= {'num_feat': 20, 'num_block': [1] * 6}
    mini['networks']['LabNet'] |= {'weigths': 'labnet.pth'}
    del mini['networks']['LabNet']['weights']
    mini['networks']['Other'] = 'nearest'
    mini['networks']['EDSR'] = {'network_g': {'type': 'EDSRR'}, 'weights': 'no.pth'}
    mini['datasets']['photos']['protocol'] = 'gaussian9'
    mini['datasets']['none'] = {'protocol': 'no_reference', 'gt': 'x'}
    mini |= {'scales': [2], 'metrics': ['psnr', 'vmaf'], 'cost': {'rounds': 0}, 'titel': 'x'}
    found, text = problems(read, mini)
    assert "did you mean 'weights'" in found['networks.LabNet.weigths']
    assert found['networks.Other'].endswith('only bicubic needs none: write Other: bicubic')
    assert "did you mean 'EDSR'" in found['networks.EDSR.network_g.type']
    assert found['networks.EDSR.weights'].startswith('no.pth is not a file')
    assert found['datasets.photos.protocol'].startswith('expected gaussian8 or setting2 or bicubic or no_reference')
    assert found['datasets.none.lq'].startswith('missing, no_reference enlarges images as they are')
    assert found['datasets.none.gt'].startswith('nothing reads this key without a truth')
    assert found['metrics'].startswith('expected a list of 1 or more elements, each psnr or ssim')
    assert found['cost.size'].startswith('missing') and found['cost.rounds'].startswith('expected an integer >= 1')
    assert found['titel'].startswith('unknown key')
    assert 'networks.LabNet.weigths: ' in text and '[line ' in text


def test_a_network_is_checked_as_stea_test_would(read, mini):
    mini['networks']['LabNet']['network_g'] |= {'num_feat': 20, 'num_block': [1] * 6, 'upscale': 4}
    mini['networks']['LabNet']['weights'] = None
    found, _ = problems(read, mini)
    assert 'multiple of 16' in found['networks.LabNet.network_g.num_feat']
    assert "did you mean 'num_blocks'" in found['networks.LabNet.network_g.num_block']
    assert found['networks.LabNet.network_g.upscale'].startswith('must equal the top-level scale 2')
    assert found['networks.LabNet.weights'] == 'missing, LabNet would be tested with random weights'
    assert len(found) == 4


def test_several_scales_need_one_for_each_network(read, mini):
    mini['scales'] = [2, 4]
    found, _ = problems(read, mini)
    assert found == {'networks.LabNet.scale': 'missing, expected one of the scales [2, 4] of this file'}
    mini['networks']['LabNet']['scale'] = 3
    found, _ = problems(read, mini)
    assert found == {'networks.LabNet.scale': 'expected one of the scales [2, 4] of this file, got 3'}


@pytest.mark.parametrize(
    'change, path, message',
    [
        ({'gt': 'no/such'}, 'gt', 'A folder of images was expected at no/such'),
        ({'seed': 1}, 'seed', 'nothing reads this key unless setting2 makes the images'),
        ({'lq': '.'}, 'lq', 'nothing reads this key with gaussian8, which makes it of gt'),
        ({'scales': [4]}, 'scales', r'4 is none of the scales \[2\] of this file'),
        ({'crop_to': 5}, 'crop_to', 'expected ~ or 4 or 12, got 5'),
        ({'leave_out': ['x.png']}, 'gt', r'leave_out should name images of .*, but x\.png is not there'),
        ({'crop': {'image': 'photo9', 'region': [0, 0, 8]}}, 'crop.image', "'photo9' is none .did you mean 'photo"),
        (
            {'crop': {'image': 'photo1', 'kernel': 'sigma9', 'region': [0, 0, 8]}},
            'crop.kernel',
            r"expected one of sigma0\.80, sigma1\.60, got 'sigma9'",
        ),
    ],
)
def test_test_sets(read, mini, change, path, message):
    mini['datasets']['photos'] |= change
    found, _ = problems(read, mini)
    assert list(found) == [f'datasets.photos.{path}']
    assert re.match(message, found[f'datasets.photos.{path}'])


def test_a_set_that_no_metric_fits(read, mini):
    mini['metrics'] = ['niqe']
    found, _ = problems(read, mini)
    assert found == {'datasets.photos': 'none of metrics can be measured here: add one of psnr, ssim, lpips'}


def test_without_files_nothing_is_opened(read, mini):
    mini['datasets']['photos']['gt'] = 'no/such'
    mini['networks']['LabNet']['weights'] = 'no.pth'
    assert read(mini, check_files=False) == mini


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_shipped_file_fits_the_training_files(path):
    opt = read_compare_options(path, check_files=False)
    assert f'stea-compare -opt options/compare/{path.name}' in path.read_text()
    files = [
        yaml.safe_load(file.read_text())
        for kind in ('train', 'sample', 'weights')
        for file in ROOT.glob(f'{kind}/*.yml')
    ]
    trained = {file['name']: file for file in files}
    for section in opt['networks'].values():
        if section != 'bicubic' and section['weights'].startswith('stea_arch/'):
            _, arguments = read_architecture(ROOT.parent / section['weights'])
            network = {k: v for k, v in section['network_g'].items() if k not in ('type', 'streams')}
            assert network == {key: arguments[key] for key in network}
            continue
        run = 'pretrained_models' if section == 'bicubic' else section['weights'].split('/')[1]
        run = re.sub(r'equal_terms_(.*)_seed0', r'\1_x4', run)  # benchmarks/equal_terms.py
        if run != 'pretrained_models':
            assert trained[run]['network_g'] == section['network_g']
            assert trained[run]['scale'] == opt['scales'][0]
            assert section['param_key'] == 'params_ema'
