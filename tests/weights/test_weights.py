import hashlib
import json
import re
import time

import pytest
import torch
from safetensors.torch import save_file

import stea_arch
from stea_arch import weights
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.weights import load_network
from stea_arch.weights.authors_naming import load_published, to_published
from stea_arch.weights.files import write_safetensors

SMALL = {'num_feat': 16, 'num_blocks': [1, 2, 1, 1, 1, 1], 'upscale': 3}


def make_network(**arguments):
    torch.manual_seed(0)
    return LabNet(**{**SMALL, **arguments}).eval()


def outputs(network):
    with torch.no_grad():
        return network(torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    'arguments',
    [
        {},
        {'num_feat': 32, 'upscale': 2},
        {'upscale': 4, 'attention': 'ttea'},
        {'attention': 'none'},
        {'large_field': False},
        {'padding': 'partial'},
        {'num_blocks': [2, 1, 3, 1, 2, 1]},
    ],
)
@pytest.mark.parametrize('wrap', ['params', 'params_ema', None])
def test_ours_by_names_and_shapes(tmp_path, arguments, wrap):
    network = make_network(**arguments)
    state = network.state_dict()
    content = {wrap: state} if wrap else state
    if wrap == 'params_ema':
        content['params'] = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save(content, tmp_path / 'net.pth')
    found = load_network(tmp_path / 'net.pth')
    assert not found.training
    assert found.upscale == network.upscale
    assert torch.equal(outputs(found), outputs(network))


@pytest.mark.parametrize('arguments', [{'attention': 'taylor', 'taylor_order': 3}, {'dilations': (1, 2, 3)}, {}])
def test_metadata_say_what_shapes_do_not(tmp_path, arguments):
    network = make_network(**arguments)
    path = tmp_path / 'net.safetensors'
    write_safetensors(network.state_dict(), path, 'LabNet', {**SMALL, **arguments})
    assert torch.equal(outputs(load_network(str(path))), outputs(network))
    torch.save(network.state_dict(), tmp_path / 'net.pth')
    if arguments:
        with pytest.raises(ValueError, match=r'net\.pth: .*do not tell which.*stea-export safetensors FILE --opt'):
            load_network(tmp_path / 'net.pth')


@pytest.mark.parametrize('arguments', [{}, {'padding': 'partial'}])
def test_two_streams(tmp_path, arguments):
    network = RealNet(streams=2, **SMALL, **arguments).eval()
    torch.save({'params_ema': network.state_dict()}, tmp_path / 'net.pth')
    found = load_network(tmp_path / 'net.pth')
    assert torch.equal(outputs(found), outputs(network))
    assert not torch.equal(outputs(found.set_strengths(deblur=1.0, denoise=0.0)), outputs(network))


def test_half_precision_is_loaded_as_fp32(tmp_path):
    network = make_network().half()
    write_safetensors(network.state_dict(), tmp_path / 'net.safetensors', 'LabNet', SMALL)
    found = load_network(tmp_path / 'net.safetensors')
    assert {value.dtype for value in found.parameters()} == {torch.float32}
    assert torch.equal(outputs(found), outputs(network.float()))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            {'conv.weight': torch.zeros(1)},
            r'net\.pth: .*LabNet, RealNet, .* was expected.*conv\.weight.*another network',
        ),
        ({}, r'LabNet, RealNet, .* was expected'),
        (
            {**make_network().state_dict(), 'head.bias': torch.zeros(3)},
            r'do not fit LabNet: 1 wrongly shaped \(head\.bias \[3\] instead of \[16\]',
        ),
        (
            {**make_network().state_dict(), 'extra': torch.zeros(3)},
            r'do not fit LabNet: 1 unknown \(extra\)',
        ),
        (
            {**make_network().state_dict(), '': torch.zeros(3)},
            r'do not fit LabNet: 1 unknown \(\)',
        ),
        ({'params': [1]}, r'net\.pth: '),
        (torch.zeros(3), r'net\.pth is not a checkpoint: expected a dict in it, got a Tensor'),
    ],
)
def test_other_weights_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / 'net.pth')
    with pytest.raises(ValueError, match=message):
        load_network(tmp_path / 'net.pth')


def test_metadata_of_another_network_are_refused(tmp_path):
    write_safetensors({'w': torch.zeros(1)}, tmp_path / 'net.safetensors', 'EDSR', {})
    for copy in ('a', 'b', 'c', 'd'):  # safetensors itself writes the metadata in another order each time
        write_safetensors({'w': torch.zeros(1)}, tmp_path / f'{copy}.safetensors', 'EDSR', {})
        assert (tmp_path / f'{copy}.safetensors').read_bytes() == (tmp_path / 'net.safetensors').read_bytes()
    with pytest.raises(ValueError, match=r'do not fit the network .*EDSR.*num_in_ch'):
        load_network(tmp_path / 'net.safetensors')
    write_safetensors({'w': torch.zeros(1)}, tmp_path / 'net.safetensors', 'LabNet', {'depth': 3})
    with pytest.raises(ValueError, match=r'LabNet cannot be built with .*depth'):
        load_network(tmp_path / 'net.safetensors')


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of shipped weights with one network in it, called small."""
    write_safetensors(make_network().state_dict(), tmp_path / 'small.safetensors', 'LabNet', SMALL)
    digest = hashlib.sha256((tmp_path / 'small.safetensors').read_bytes()).hexdigest()
    registry = {'small': {'file': 'small.safetensors', 'sha256': digest}}
    (tmp_path / 'registry.json').write_text(json.dumps(registry))
    monkeypatch.setattr(weights, 'FOLDER', tmp_path)
    return tmp_path


def test_shipped_networks_have_names(shelf):
    assert torch.equal(outputs(stea_arch.load_network('small')), outputs(make_network()))
    with pytest.raises(FileNotFoundError, match=r'smal is neither a file .* shipped networks: small\.'):
        load_network('smal')


@pytest.mark.parametrize('change', [lambda path: path.unlink(), lambda path: path.write_bytes(b'other')])
def test_a_changed_shipped_file_is_refused(shelf, change):
    change(shelf / 'small.safetensors')
    with pytest.raises(ValueError, match=r'weights of small .* missing or not those.*SHA-256.*Install'):
        load_network('small')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_blocks': [10**7, 2, 1, 1, 1, 1]}, r'num_blocks \[10000000, .* was expected, the weights have \[1, 2, 1'),
        ({'num_feat': 16_000_000}, r'head\.weight \[16, 3, 3, 3\] instead of \[16000000, 3, 3, 3\]'),
        ({'dilations': list(range(1, 10**5))}, 'cannot be built with the arguments found: a list of more than 64'),
        ({'attention': 'taylor', 'num_heads': 0}, 'cannot be built with the arguments found'),
        ({'num_blocks': 3}, 'net.safetensors: .*num_blocks'),
        ({'no_such': 1}, 'cannot be built with the arguments found: .*no_such'),
    ],
)
def test_metadata_that_ask_for_an_absurd_network_are_refused_before_it_is_built(tmp_path, arguments, message):
    write_safetensors(make_network().state_dict(), tmp_path / 'net.safetensors', 'LabNet', {**SMALL, **arguments})
    with pytest.raises(ValueError, match=message):
        load_network(tmp_path / 'net.safetensors')


@pytest.mark.parametrize('text', ['[' * 100_000, '{"num_feat": 16', '[1]', '"x"'])
def test_metadata_that_are_no_arguments(tmp_path, text):
    save_file(make_network().state_dict(), tmp_path / 'net.safetensors', {'architecture': 'LabNet', 'arguments': text})
    with pytest.raises(ValueError, match=r'net\.safetensors.*arguments of a network as JSON'):
        load_network(tmp_path / 'net.safetensors')


def many_blocks(state):
    state.update({f'enc1.{number}.beta': torch.zeros(1) for number in range(2000)})


def no_kernel(state):
    state['head.weight'] = torch.zeros(3)


def no_channels(state):
    state['head.weight'] = torch.zeros(0, 3, 3, 3)


def enormous(state):
    state['head.weight'] = torch.zeros(1).expand(16_000_000, 3, 3, 3)


@pytest.mark.parametrize('change', [many_blocks, no_kernel, no_channels, enormous])
@pytest.mark.parametrize('published', [False, True])
def test_names_and_shapes_of_an_absurd_network_are_refused_before_it_is_built(tmp_path, change, published):
    state = make_network().state_dict()
    if published:
        state = {name.removeprefix('Restorer.'): value for name, value in to_published(state).items()}
    change(state)
    if published and change is many_blocks:
        state = {re.sub(r'^enc1\.(\d+)\.beta', r'encoder_block1.\1.STEA.beta', name): v for name, v in state.items()}
    torch.save(state, tmp_path / 'net.pth')
    start = time.process_time()
    with pytest.raises(ValueError, match=r'net\.pth: '):
        load_network(tmp_path / 'net.pth')
    assert time.process_time() - start < 20


@pytest.mark.parametrize('dtype', [torch.int8, torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn])
@pytest.mark.parametrize('name', ['head.weight', 'enc1.0.beta'])
def test_weights_of_another_kind_are_not_cast(tmp_path, dtype, name):
    state = make_network().state_dict()
    state[name] = state[name].to(dtype)
    torch.save({'params': state}, tmp_path / 'net.pth')
    with pytest.raises(ValueError, match=rf'floating-point weights were expected .* got {dtype} in 1 of .* {name}'):
        load_network(tmp_path / 'net.pth')


@pytest.mark.parametrize('value', [float('nan'), float('-inf')])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    state = make_network().state_dict()
    state['refine.0.norm1.bias'][2] = value
    torch.save(state, tmp_path / 'net.pth')
    for read in (load_network, lambda path: load_published(to_published(torch.load(path)))):
        with pytest.raises(ValueError, match=r'1 of \d+ parameters .* not finite.*earlier checkpoint'):
            read(tmp_path / 'net.pth')
