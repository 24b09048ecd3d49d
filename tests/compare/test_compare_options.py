"""The strict check of a comparison's option file, and the files in options/compare."""

import copy
import re
from pathlib import Path

import pytest
import torch
import yaml
from basicsr.archs import build_network

from stea_arch.compare.options import read_compare_options
from stea_arch.compare.testsets import TestSet
from stea_arch.options import OptionError
from stea_arch.weights import find_weights, shipped
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
    assert found['networks.Other'].startswith('expected bicubic, a shipped name or a checkpoint: nearest is neither')
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
        (
            {'gt': 'scikit-image', 'meta_info': 'x.txt'},
            'meta_info',
            'nothing reads this key beside scikit-image, whose',
        ),
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


def test_entries_are_written_out(read, mini, tmp_path):
    """Names, checkpoints and training files become the sections that one could have written by hand."""
    arguments = {**mini['networks']['LabNet']['network_g'], 'attention': 'ttea', 'num_feat': 32}
    weights = build_network(copy.deepcopy(arguments)).state_dict()
    torch.save({'params': weights, 'params_ema': weights}, 'own.pth')
    trained = ROOT / 'train/EDSR_x4.yml'
    edsr = yaml.safe_load(trained.read_text())
    mini['scales'] = [2, 4]
    mini['networks'] = {
        'Bicubic': 'bicubic',
        'shipped': 'labnet-s-x4',
        'own': 'own.pth',
        'own, eight times': {'weights': 'own.pth', 'self_ensemble': True, 'param_key': 'params'},
        'EDSR': {'from': str(trained)},
        'wider': {'from': str(trained), 'network_g': {'num_feat': 128}, 'weights': 'wider.pth'},
    }
    found = read(mini, check_files=False)['networks']
    assert found['Bicubic'] == 'bicubic'
    assert found['shipped']['weights'] == 'labnet-s-x4' and found['shipped']['scale'] == 4
    _, of_file = read_architecture(find_weights('labnet-s-x4'), {})
    for unread in ('taylor_order', 'num_heads', 'key_dim'):  # by its attention
        del of_file[unread]
    assert found['shipped']['network_g'] == {'type': 'LabNet', **of_file}
    own = found['own']
    assert {key: own['network_g'][key] for key in arguments} == arguments
    assert own['param_key'] == 'params_ema' and own['scale'] == 2 and own['weights'] == 'own.pth'
    assert found['own, eight times'] == {**own, 'self_ensemble': True, 'param_key': 'params'}
    assert found['EDSR'] == {
        'network_g': edsr['network_g'],
        'weights': f'experiments/{edsr["name"]}/models/net_g_latest.pth',
        'param_key': 'params_ema' if edsr['train']['ema_decay'] else 'params',
        'scale': 4,
    }
    assert found['wider'] == {
        **found['EDSR'],
        'network_g': {**edsr['network_g'], 'num_feat': 128},
        'weights': 'wider.pth',
    }


@pytest.mark.parametrize(
    ('kind', 'arguments'),
    [
        ('LabNet', {}),
        ('LabNet', {'attention': 'softmax', 'num_heads': 2, 'key_dim': 8}),
        ('LabNet', {'large_field': False}),
        ('RealNet', {'streams': 2}),
    ],
)
def test_a_checkpoint_that_names_all_arguments_is_taken(read, mini, tmp_path, kind, arguments):
    """As a training saves it: also those that only another attention would read."""
    net = build_network({'type': kind, 'num_feat': 16, 'num_blocks': [1] * 6, 'upscale': 2, **arguments})
    file = tmp_path / 'net.pth'
    torch.save({'params': net.state_dict(), 'network_g': {'type': kind, **net.hyperparameters}}, file)
    mini['networks'] = {'mine': str(file)}
    found = read(mini)['networks']['mine']['network_g']
    assert build_network(found).hyperparameters == net.hyperparameters


def test_an_entry_of_which_nothing_is_known_is_named(read, mini, tmp_path):
    (tmp_path / 'text.pth').write_text('no weights')
    torch.save(
        {'params': build_network({'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8}).state_dict()},
        'edsr.pth',
    )
    (tmp_path / 'wrong.yml').write_text('name: x\n')
    mini['networks'] |= {
        'absent': 'absent.pth',
        'damaged': 'text.pth',
        'foreign': {'weights': 'edsr.pth'},
        'none': {'param_key': 'params'},
        'no file': {'from': 'no.yml'},
        'wrong file': {'from': 'wrong.yml'},
        'number': 4,
        'x4': 'labnet-s-x4',
    }
    found, text = problems(read, mini)
    assert found['networks.absent'].startswith(
        'expected bicubic, a shipped name or a checkpoint: absent.pth is neither'
    )
    assert 'text.pth' in found['networks.damaged']
    assert 'belong to another network' in found['networks.foreign.weights']
    assert found['networks.none.network_g'].startswith('missing, or give from')
    assert found['networks.no file.from'].startswith('there is no option file no.yml')
    assert '  networks.wrong file.from: wrong.yml: model_type: missing, expected text' in text
    assert all(line.startswith('  networks.') for line in text.splitlines()[1:])
    assert found['networks.number'].startswith('expected bicubic, a shipped name, a checkpoint or a section, got 4')
    assert found['networks.x4.scale'] == 'expected one of the scales [2] of this file, got 4'
    assert len(found) == 8


def test_sample_images_are_there_after_installation(monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    opt = read_compare_options(ROOT / 'compare/sample_x4.yml')
    assert {label: network for label, network in opt['networks'].items() if network == 'bicubic'} == {
        'Bicubic': 'bicubic'
    }
    assert {n['weights'] for n in opt['networks'].values() if n != 'bicubic'} == set(shipped())
    sets = {name: TestSet(name, section, 4) for name, section in opt['datasets'].items()}
    assert {case.image for case in sets['blurred'].cases} == {'chelsea', 'coffee'} and len(sets['low_quality']) == 3
    assert sets['blurred'][0]['gt'].shape[0] == 3 and 'gt' not in sets['low_quality'][0]


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_shipped_file_fits_the_training_files(path, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    opt = read_compare_options(path, check_files=False)
    assert f'stea-compare -opt options/compare/{path.name}' in path.read_text()
    files = [
        yaml.safe_load(file.read_text())
        for kind in ('train', 'sample', 'weights')
        for file in ROOT.glob(f'{kind}/*.yml')
    ]
    trained = {file['name']: file for file in files}
    for section in opt['networks'].values():
        weights = section['weights'] if isinstance(section, dict) else section
        run = re.match(r'experiments/(?!pretrained)(?:equal_terms_(.+)_seed0|(LabNet_x4)_setting2|([^/]+))/', weights)
        if run:
            file = trained[f'{run[1]}_x4' if run[1] else run[2] or run[3]]
            assert file['network_g'] == {key: section['network_g'][key] for key in file['network_g']}
            assert file['scale'] == opt['scales'][0]
            assert section['param_key'] == ('params_ema' if file['train'].get('ema_decay') else 'params')


def test_what_has_not_been_trained_is_left_out_and_said(read, mini, tmp_path):
    mini['scales'], mini['networks'] = [4], {'Bicubic': 'bicubic', 'EDSR': {'from': str(ROOT / 'train/EDSR_x4.yml')}}
    found, _ = problems(read, mini)
    assert found['networks'].startswith('none of them has been trained yet: begin with stea-train -opt')
    mini['networks']['LabNet-S'] = 'labnet-s-x4'
    opt = read(mini)
    assert list(opt['networks']) == ['Bicubic', 'LabNet-S'] and list(opt['untrained']) == ['EDSR']
    mini['networks']['EDSR']['weights'] = 'net_g_best.pth'  # one that somebody has named has to be there
    found, _ = problems(read, mini)
    assert found['networks.EDSR.weights'].startswith('net_g_best.pth is not a file')
