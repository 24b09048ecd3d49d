import hashlib
import json

import pytest
import torch

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


def test_two_streams(tmp_path):
    network = RealNet(streams=2, **SMALL).eval()
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
        ({'conv.weight': torch.zeros(1)}, r'net\.pth: .*LabNet or RealNet was expected.*conv\.weight.*another network'),
        ({}, r'LabNet or RealNet was expected'),
        (
            {**make_network().state_dict(), 'head.bias': torch.zeros(3)},
            r'do not fit LabNet: .*mismatch for head\.bias',
        ),
        ({**make_network().state_dict(), 'extra': torch.zeros(3)}, r'do not fit LabNet: .*Unexpected key.*extra'),
        ({'params': [1]}, r'net\.pth: '),
        (torch.zeros(3), r'net\.pth is no checkpoint: a dict was expected in it, but a Tensor came'),
    ],
)
def test_other_weights_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / 'net.pth')
    with pytest.raises(ValueError, match=message):
        load_network(tmp_path / 'net.pth')


def test_metadata_of_another_network_are_refused(tmp_path):
    write_safetensors({'w': torch.zeros(1)}, tmp_path / 'net.safetensors', 'EDSR', {})
    with pytest.raises(ValueError, match=r'a network EDSR, but LabNet.* was expected'):
        load_network(tmp_path / 'net.safetensors')
    write_safetensors({'w': torch.zeros(1)}, tmp_path / 'net.safetensors', 'LabNet', {'depth': 3})
    with pytest.raises(ValueError, match=r'do not fit LabNet: .*depth'):
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


def test_everything_that_is_shipped_loads():
    for name in weights.shipped():
        network = load_network(name)
        assert outputs(network).shape == (1, 3, 7 * network.upscale, 9 * network.upscale)


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
