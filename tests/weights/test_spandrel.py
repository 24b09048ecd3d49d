"""With the real spandrel: its loader, its main registry, its descriptors."""

import pytest
import safetensors.torch
import torch
from published_fill import load_reference, published_weights
from spandrel import MAIN_REGISTRY, ImageModelDescriptor, ModelLoader, UnsupportedModelError

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.weights import spandrel
from stea_arch.weights.files import write_safetensors

SMALL = {'num_feat': 16, 'num_blocks': [1, 1, 2, 1, 1, 1]}


@pytest.fixture(autouse=True)
def installed():
    spandrel.install()


def save(state, path):
    if path.suffix == '.safetensors':
        write_safetensors(state, path, 'LabNet', SMALL)
    else:
        torch.save({'params': state}, path)
    return path


def networks():
    torch.manual_seed(0)
    return {
        'LabNet': LabNet(upscale=2, **SMALL),
        'third order': LabNet(upscale=3, attention='ttea', **SMALL),
        'two streams': RealNet(streams=2, upscale=4, **SMALL),
    }


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('name', networks())
def test_our_files(tmp_path, name, suffix):
    network = networks()[name].eval()
    path = save(network.state_dict(), tmp_path / f'net{suffix}')
    model = ModelLoader().load_from_file(path)
    assert isinstance(model, ImageModelDescriptor)
    assert model.architecture.id == ('RealNet' if name == 'two streams' else 'LabNet')
    assert (model.scale, model.input_channels, model.output_channels) == (network.upscale, 3, 3)
    assert model.tags[:2] == ['16nf', '7nb']
    lq = torch.rand(1, 3, 5, 7)
    with torch.no_grad():
        torch.testing.assert_close(model(lq), network(lq).clamp(0, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize(('module', 'arch'), [('STEA', 'LabNet'), ('enla', 'RealNet')])
def test_the_authors_files(tmp_path, module, arch, suffix):
    weights = published_weights(num_blocks=(1, 1, 1, 2, 1, 1))
    state = {f'Restorer.{name.replace(".STEA.", f".{module}.")}': value for name, value in weights.items()}
    model = ModelLoader().load_from_file(save(state, tmp_path / f'net{suffix}'))
    assert model.architecture.id == arch
    assert model.tags == ['16nf', '7nb', 'stea']
    assert torch.equal(model.model.fusion.weight, weights['fusion.weight'])


def test_a_published_output():
    reference, weights = load_reference('labnet_x4')
    model = ModelLoader().load_from_state_dict(weights)
    assert (model(reference['lq']) - reference['sr'].clamp(0, 1)).abs().max() < 1e-4


def test_half_precision():
    network = networks()['LabNet'].eval()
    model = ModelLoader().load_from_state_dict(network.state_dict())
    lq = torch.rand(1, 3, 8, 8)
    exact = model(lq)
    for dtype, tolerance in ((torch.float16, 0.01), (torch.bfloat16, 0.05)):
        torch.testing.assert_close(model.to(dtype)(lq.to(dtype)).float(), exact, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ('arch', 'arguments'),
    [
        ('LabNet', {}),
        ('LabNet', {'num_feat': 32, 'num_blocks': (2, 1, 1, 3, 1, 1), 'upscale': 2}),
        ('LabNet', {'upscale': 3, 'attention': 'ttea', 'num_in_ch': 1, 'num_out_ch': 1}),
        ('LabNet', {'attention': None, 'large_field': False}),
        ('LabNet', {'padding': 'partial'}),
        ('LabNet', {'padding': 'partial', 'dilations': (2, 3)}),
        ('LabNet', {'padding': 'partial', 'dilations': tuple(range(12, 0, -1))}),
        ('RealNet', {'streams': 2, 'attention': 'ttea', 'upscale': 2, 'padding': 'partial', 'dilations': (3,)}),
    ],
)
def test_what_is_loaded_has_the_hyperparameters_of_what_was_saved(arch, arguments):
    """As spandrel tests its own architectures: from a state dict and from bytes of safetensors."""
    build = {'LabNet': LabNet, 'RealNet': RealNet}[arch]
    network = build(**{**SMALL, **arguments} if arguments else {})
    own = spandrel.REGISTRY.get(arch).architecture
    state = network.state_dict()
    for found in (state, safetensors.torch.load(safetensors.torch.save(state))):
        assert own.detect(found)
        model = own.load(found).model
        assert type(model) is type(network)
        assert model.hyperparameters == network.hyperparameters


def test_other_networks_are_left_to_others():
    with pytest.raises(UnsupportedModelError):
        ModelLoader().load_from_state_dict({'body.0.weight': torch.zeros(1), 'tail.bias': torch.zeros(1)})


def test_an_incomplete_file_says_what_is_missing():
    state = networks()['LabNet'].state_dict()
    del state['fusion.bias']
    with pytest.raises(ValueError, match=r'do not fit LabNet: 1 missing \(fusion\.bias\)'):
        ModelLoader().load_from_state_dict(state)


def test_installing_twice_is_harmless():
    assert spandrel.install() == []
    assert {'LabNet', 'RealNet'} <= {support.architecture.id for support in MAIN_REGISTRY}
    assert len(spandrel.REGISTRY) == 2
