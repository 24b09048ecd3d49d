import re

import pytest
import torch
from basicsr.archs.edsr_arch import EDSR
from published_fill import load_reference, published_weights

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.weights.authors_naming import from_published, is_published, load_published


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('name', ['labnet_x4', 'labnetgan_x4', 'labnet_ttea_x4'])
def test_reproduces_published_outputs(name, fused):
    reference, weights = load_reference(name)
    network = load_published(weights)
    assert not network.training
    network = network.fuse() if fused else network
    seen = {}
    for key, module in {'head': network.head, 'block0': network.enc1[0], 'latent': network.latent}.items():
        module.register_forward_hook(lambda _module, _args, output, key=key: seen.update({key: output}))
    with torch.no_grad():
        seen['sr'] = network(reference['lq'])
    for key in ('head', 'block0', 'latent', 'sr'):
        assert (seen[key] - reference[key]).abs().max() < 1e-4, key


@pytest.mark.parametrize(
    ('name', 'num_feat', 'num_blocks', 'upscale', 'attention'),
    [
        ('labnet_x4', 16, (1, 2, 3, 1, 2, 1), 2, 'stea'),
        ('labnet_ttea_x4', 32, (1, 1, 1, 1, 1, 1), 3, 'ttea'),
        ('labnetgan_x4', 48, (1, 1, 1, 1, 1, 1), 4, 'stea'),
        ('labnet_x4', 64, (6, 8, 10, 6, 8, 8), 4, 'stea'),
    ],
)
def test_finds_the_configuration(name, num_feat, num_blocks, upscale, attention):
    weights = published_weights(name, num_feat, num_blocks, upscale)
    ours, config = from_published(weights)
    assert config == {
        'num_in_ch': 3,
        'num_out_ch': 3,
        'num_feat': num_feat,
        'num_blocks': num_blocks,
        'upscale': upscale,
        'attention': attention,
    }
    assert sorted(map(id, ours.values())) == sorted(map(id, weights.values()))
    if num_feat < 64:
        network = load_published(weights)
        assert (network.upscale, len(network.latent)) == (upscale, num_blocks[2])
        with torch.no_grad():
            assert network(torch.rand(1, 3, 5, 6)).shape == (1, 3, 5 * upscale, 6 * upscale)


@pytest.mark.parametrize('module', ['STEA', 'enla', 'TTEA'])
@pytest.mark.parametrize('prefix', ['', 'Restorer.', 'module.', 'module.Restorer.'])
@pytest.mark.parametrize('wrap', [None, 'params', 'params_ema'])
def test_every_naming_gives_the_same_weights(module, prefix, wrap):
    plain = published_weights()
    expected, _ = from_published(plain)
    named = {prefix + name.replace('.STEA.', f'.{module}.'): value for name, value in plain.items()}
    checkpoint = {wrap: named} if wrap else named
    if wrap == 'params_ema':
        checkpoint['params'] = {name: torch.zeros_like(value) for name, value in named.items()}
    assert is_published(checkpoint)
    ours, config = from_published(checkpoint)
    assert config['attention'] == 'stea'
    assert ours.keys() == expected.keys()
    assert all(ours[name] is expected[name] for name in ours)


def test_third_order_is_told_by_its_third_gate():
    weights = published_weights('labnet_ttea_x4')
    renamed = {name.replace('.TTEA.', '.enla.'): value for name, value in weights.items()}
    assert from_published(renamed)[1]['attention'] == 'ttea'


def test_reads_files(tmp_path):
    path = tmp_path / 'net_g.pth'
    weights = published_weights()
    torch.save({'params': weights}, path)
    for argument in (path, str(path)):
        assert torch.equal(load_published(argument).fusion.weight, weights['fusion.weight'])
    with pytest.raises(FileNotFoundError, match=r'absent\.pth'):
        load_published(tmp_path / 'absent.pth')


@pytest.mark.parametrize('content', [{'iter': 2, 'optimizers': []}, [1, 2], {'params': 3}, {0: torch.ones(1)}])
def test_what_is_no_state_dict_is_refused(content):
    assert not is_published(content)
    with pytest.raises(ValueError, match='Weights were expected, that is names with tensors'):
        load_published(content)


def test_lists_what_is_missing_unknown_and_wrongly_shaped():
    weights = published_weights()
    del weights['latent_block.0.STEA.w3.2.bias'], weights['fusion.weight']
    weights['latent_block.0.STEA.w4.weight'] = torch.zeros(1)
    weights['encoder_block1.0.STEA.beta'] = torch.zeros(16)
    message = (
        r'2 missing \(latent_block\.0\.STEA\.w3\.2\.bias, fusion\.weight\); '
        r'1 unknown \(latent_block\.0\.STEA\.w4\.weight\); '
        r'1 wrongly shaped \(encoder_block1\.0\.STEA\.beta \[16\] instead of \[1, 16, 1, 1\]\)'
    )
    with pytest.raises(ValueError, match=message):
        load_published(weights)


@pytest.mark.parametrize('stage', ['encoder_block1', 'latent_block', 'refine_block'])
def test_a_stage_that_is_not_there_is_missed(stage):
    weights = {name: value for name, value in published_weights().items() if not name.startswith(stage)}
    with pytest.raises(ValueError, match=rf'68 missing \({stage}\.0\..*, \.\.\.\)\. Pass'):
        load_published(weights)


def test_a_gap_between_blocks_is_missed():
    weights = published_weights(num_blocks=(3, 1, 1, 1, 1, 1))
    weights = {name: value for name, value in weights.items() if not name.startswith('encoder_block1.1.')}
    with pytest.raises(ValueError, match=r'missing \(encoder_block1\.1\..*unknown \(encoder_block1\.2\.'):
        load_published(weights)


def test_other_networks_are_refused():
    edsr = EDSR(3, 3, num_feat=8, num_block=1).state_dict()
    ours = LabNet(num_feat=16, num_blocks=(1, 1, 1, 1, 1, 1)).state_dict()
    for foreign in (edsr, ours):
        assert not is_published(foreign)
        unknown = sum(not re.match(r'(head|fusion)\.', name) for name in foreign)  # these two are named alike
        with pytest.raises(ValueError, match=rf'missing \(.*; {unknown} unknown .*path\.pretrain_network_g'):
            load_published(foreign)
