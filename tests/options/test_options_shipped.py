"""The option files in options/: checked, their networks built, their comments held to account."""

import copy
import functools
import re
import shlex
from pathlib import Path

import pytest
import torch
from basicsr.archs import build_network

from stea_arch.degradations.classical import SETTING2_KERNEL_NOISE, SETTING2_KERNEL_SIZES, ClassicalSampler
from stea_arch.degradations.second_order import SecondOrderSampler
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.options import read_options, schema
from stea_arch.options.check import check_options
from stea_arch.options.reading import load

ROOT = Path(__file__).parents[2] / 'options'
FILES = sorted(ROOT.glob('*/*.yml'))
TYPES = 'LabNet|RealNet|Bicubic|ClassicalDegradationDataset|RealWorldDataset'
OUR_MODELS = ('LabNetModel', 'RealNetModel', 'RealGANModel')
BASICSR_KEYS = {
    key
    for model in (schema.SR_MODEL, schema.REAL_ESRNET, schema.REAL_ESRGAN)
    for table in model.values()
    if isinstance(table, dict)
    for key in table
}
OURS = (
    {
        key
        for table in (
            *(schema.DATASETS[name] for name in schema.DATASETS_OF_OURS),
            *(table for model in OUR_MODELS for table in list(schema.MODELS[model].values())[:5]),
        )
        for key in table
        if key not in BASICSR_KEYS
        and not any(key in keys for name, keys in schema.DATASETS.items() if name not in schema.DATASETS_OF_OURS)
    }
    | set(schema.ARGUMENTS['LabNet']) - {'upscale', 'num_heads'}
    | set(schema.ARGUMENTS['RealNet']) - {'upscale'}
    | {'large_field'}
)
FILES = [path for path in FILES if path.parent.name != 'compare']  # tests/compare reads those


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


@functools.cache
def read(path, *force):
    return read_options(path, force, is_train=None, check_files=False)


def build(opt):
    # SwinIR reads back a number while it is built, which the meta device does not give
    with torch.device('cpu' if opt['network_g']['type'] == 'SwinIR' else 'meta'):
        return build_network(opt['network_g'])


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_there_are_files_of_every_kind():
    assert {path.parent.name for path in FILES} == {'train', 'test', 'sample', 'ablation', 'weights'}
    assert len(list(ROOT.glob('*/*.yml'))) <= 33  # each a run that somebody makes; others are recipes in their heads


@pytest.mark.parametrize('path', FILES, ids=names(FILES))
def test_file(path):
    opt = read(path)
    is_test = path.parent.name == 'test' or 'test_' in path.name
    assert ('train' in opt) != is_test
    claims = re.findall(r'([\d.]+) M parameters', path.read_text())
    parameters = count(build(opt)) / 1e6
    for claim in claims[:1] + re.findall(r'type: .*?([\d.]+) M parameters', path.read_text()):
        assert parameters == pytest.approx(float(claim), abs=0.5 * 10 ** -len(claim.partition('.')[2]))
    assert 'val' in opt or not is_test
    borders = {'psnr': opt['scale'], 'ssim': opt['scale'], 'niqe': 0}
    for name, metric in opt.get('val', {}).get('metrics', {}).items():
        assert metric['crop_border'] == borders[name]


@pytest.mark.parametrize('path', FILES, ids=names(FILES))
def test_comment_beside_every_key_of_ours(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        key = line.split('#')[0].strip().split(':')[0]
        needs = (key in OURS and key not in ('num_feat', 'pbar')) or re.search(rf'type: ({TYPES})\b', line)
        assert not needs or '# ours' in line, f'{path.name}:{number}: {line}'


def recipes():
    for path in FILES:
        text = '\n'.join(line[1:].strip() for line in path.read_text().splitlines() if line.startswith('#'))
        for command in re.findall(r'stea-train [^\n]*--force_yml(?:[^\n]*\\\n)*[^\n]*', text):
            yield pytest.param(path, shlex.split(command.replace('\\\n', ' ')), id=f'{path.stem}-{len(command)}')


@pytest.mark.parametrize('path, command', list(recipes()))
def test_recipe_for_another_run(path, command):
    assert ROOT.parent / command[2] == path
    here, opt = read(path), read(path, *command[4:])
    scale = opt['scale']
    assert f'_x{scale}' in opt['name'] and opt['name'] != here['name']
    patches = [(o.get('gt_size') or o['datasets']['train']['gt_size']) // o['scale'] for o in (here, opt)]
    assert patches[0] == patches[1]  # of the input
    if 'sigma_range' in here['datasets']['train'] and scale != 4:
        assert opt['datasets']['train']['sigma_range'] == [0.2, float(scale)]
    borders = [metric['crop_border'] for name, metric in opt['val']['metrics'].items() if name != 'niqe']
    assert set(borders) <= {scale}
    assert build_network(opt['network_g'])(torch.zeros(1, 3, 8, 8)).shape[-1] == 8 * scale


def test_small_sizes_at_other_scales():
    path = ROOT / 'train/LabNet-S_x4.yml'
    network = read(path)['network_g']
    counts = [count(build({'network_g': {**network, 'upscale': scale}})) / 1e6 for scale in (2, 3, 4)]
    assert '2.91 M parameters (2.87 M at x2, 2.92 M at x3)' in path.read_text().splitlines()[1]
    assert counts == pytest.approx([2.87, 2.92, 2.91], abs=0.005)


def recipe(name, run):
    """The options of a run that the head of a file tells how to make."""
    path = ROOT / name
    (command,) = [c for file, c in (known.values for known in recipes()) if file == path and f'name={run}' in c]
    return read(path, *command[4:])


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_published_settings(scale):
    file = 'train/LabNet_x4.yml'
    opt = read(ROOT / file) if scale == 4 else recipe(file, f'LabNet_x{scale}')
    data, train = opt['datasets']['train'], opt['train']
    assert data['gt_size'] == 64 * scale and data['batch_size_per_gpu'] == 20
    assert data['kernel_size'] == 21 and data['sigma_range'] == [0.2, float(scale)]
    assert train['optim_g'] == {'type': 'Adam', 'lr': 4e-4, 'betas': [0.9, 0.99]}
    assert train['scheduler'] == {'type': 'MultiStepLR', 'milestones': [300000, 600000, 900000], 'gamma': 0.5}
    assert train['total_iter'] == 1200000 and train['ema_decay'] == 0 and train['pixel_opt']['type'] == 'L1Loss'


def test_setting_2():
    data = recipe('train/LabNet_x4.yml', 'LabNet_x4_setting2')['datasets']['train']
    keys = ('kernel_type', 'kernel_size', 'sigma_range', 'kernel_noise')
    published = ClassicalSampler(4, 'anisotropic', SETTING2_KERNEL_SIZES[4], kernel_noise=SETTING2_KERNEL_NOISE)
    assert ClassicalSampler(4, **{key: data[key] for key in keys}) == published


@pytest.mark.parametrize('scale', [2, 4])
def test_published_settings_for_photographs(scale):
    files = [f'train/RealNet{stage}_x4.yml' for stage in ('', '-GAN')]
    stages = [read(ROOT / file) if scale == 4 else recipe(file, file[6:].replace('x4.yml', 'x2')) for file in files]
    for opt, rate, total in zip(stages, (4e-4, 5e-5), (300000, 900000), strict=True):
        assert opt['gt_size'] == 64 * scale and opt['datasets']['train']['blur_kernel_size'] == 21
        assert SecondOrderSampler.from_options(opt, scale) == SecondOrderSampler(scale)  # Real-ESRGAN's ranges
        assert KernelSampler.from_options(opt['datasets']['train']) == KernelSampler()
        train = opt['train']
        assert train['optim_g'] == {'type': 'Adam', 'lr': rate, 'betas': [0.9, 0.99]}
        assert train['total_iter'] == total and train['ema_decay'] == 0.999 and train['pixel_opt']['type'] == 'L1Loss'
    gan = stages[1]['train']
    assert gan['optim_d'] == gan['optim_g'] and stages[1]['network_d']['type'] == 'UNetDiscriminatorSN'
    assert (gan['gan_opt']['gan_type'], gan['gan_opt']['loss_weight']) == ('vanilla', 0.1)
    weights = {'conv1_2': 0.1, 'conv2_2': 0.1, 'conv3_4': 1, 'conv4_4': 1, 'conv5_4': 1}
    assert (gan['perceptual_opt']['layer_weights'], gan['perceptual_opt']['perceptual_weight']) == (weights, 1)
    assert gan['pixel_opt'].get('loss_weight', 1) == 1


def same_except(one, other, *paths):
    one, other = copy.deepcopy(one), copy.deepcopy(other)
    for path in paths:
        for opt in (one, other):
            *sections, last = path.split('.')
            section = opt
            for name in sections:
                section = section[name]
            section.pop(last)
    return one == other


WITH_WEIGHTS = [path for path in FILES if re.search('pretrain_network_g: experiments/', path.read_text())]


@pytest.mark.parametrize('path', WITH_WEIGHTS, ids=names(WITH_WEIGHTS))
def test_test_file_fits_its_training_file(path):
    opt = read(path)
    weights = opt['path']['pretrain_network_g']
    run = weights.split('/')[1]
    (trained,) = [o for o in map(read, FILES) if o['name'] == run]
    # a RealNet of one stream is a LabNet; initial values do not count where weights are loaded
    free = ('deblur', 'denoise', 'init_scale', *(('type', 'streams') if opt['network_g'].get('streams') == 1 else ()))
    networks = [{key: value for key, value in o['network_g'].items() if key not in free} for o in (trained, opt)]
    assert networks[0] == networks[1] and trained['scale'] == opt['scale']
    assert (opt['path'].get('param_key_g') == 'params_ema') == (trained['train']['ema_decay'] > 0)
    assert weights.startswith(f'experiments/{run}/models/net_g_')


def published_size(name):
    """RCAN and RRDBNet as large as in their publications, trained as LabNet is."""
    return recipe(f'train/{name}-S_x4.yml', f'{name}_x4')


BASELINES = [('', 'RCAN'), ('', 'RRDBNet'), *(('-S', n) for n in ('EDSR', 'RCAN-S', 'SwinIR-light', 'RRDBNet-S'))]


@pytest.mark.parametrize(('size', 'name'), BASELINES)
def test_baselines_are_compared_like_with_like(size, name):
    labnet = read(ROOT / f'train/LabNet{size}_x4.yml')
    baseline = read(ROOT / f'train/{name}_x4.yml') if size else published_size(name)
    assert same_except(labnet, baseline, 'name', 'network_g', 'train.optim_g.lr')


def leaves(value, path=''):
    if not isinstance(value, dict):
        return {path: value}
    return {k: v for key, part in value.items() for k, v in leaves(part, f'{path}.{key}'.strip('.')).items()}


CLASSICAL = [path for path in ROOT.glob('train/*_x4.yml') if 'type: ClassicalDegradationDataset' in path.read_text()]


@pytest.mark.parametrize('path', CLASSICAL, ids=names(CLASSICAL))
def test_data_schedule_and_validation_agree_where_no_comment_says_why_not(path):
    def read_with_comments(path):
        opt, origins = load(path.read_bytes())
        lines = path.read_text().splitlines()
        values = {k: v for k, v in leaves(opt).items() if k.split('.')[0] in ('datasets', 'train', 'val')}
        comments = {k: lines[int(origins[k].split()[1]) - 1].partition('#')[2].strip() for k in values}
        return values, comments

    (common, ordinary), (values, comments) = map(read_with_comments, (ROOT / 'train/LabNet-S_x4.yml', path))
    assert values.keys() == common.keys()
    assert not {k for k in values if values[k] != common[k] and comments[k] in ('', ordinary[k])}


@pytest.mark.parametrize('stage', ['', '-GAN'])
def test_rrdbnet_is_compared_like_with_like_on_photographs(stage):
    realnet, baseline = read(ROOT / f'train/RealNet{stage}_x4.yml'), read(ROOT / f'train/RRDBNet-real{stage}_x4.yml')
    assert same_except(realnet, baseline, 'name', 'network_g', 'path.pretrain_network_g')


@pytest.mark.parametrize(('stage', 'theirs'), [('', 'RealESRNetModel'), ('-GAN', 'RealESRGANModel')])
def test_basicsr_s_own_model_takes_the_file_without_our_keys(stage, theirs, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)  # they run on nothing else
    path = ROOT / f'train/RRDBNet-real{stage}_x4.yml'
    opt = copy.deepcopy(read(path)) | {'model_type': theirs}
    named = re.search(r'remove the keys that are ours:\n((?:# .*\n)*?)# Data:', path.read_text()).group(1)
    for key in re.findall(r'[\w.]+(?:\(2\))?', named):
        *sections, last = key.removesuffix('(2)').rstrip('.').split('.')
        for name in (last, f'{last}2') if key.endswith('(2)') else (last,):
            section = next(s for s in (opt, *opt.values()) if isinstance(s, dict) and name in s)
            section = opt[sections[0]] if sections else section
            del section[name]
    check_options(opt, is_train=True, check_files=False)
