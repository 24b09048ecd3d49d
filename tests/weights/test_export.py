import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml

import stea_arch
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.commands.export import main
from stea_arch.weights import load_network
from stea_arch.weights.authors_naming import load_published, to_published
from stea_arch.weights.export import export_onnx
from stea_arch.weights.files import read_architecture, read_checkpoint

SMALL = {'num_feat': 16, 'num_blocks': [1, 1, 1, 1, 1, 1], 'upscale': 2}


def make_network(**arguments):
    torch.manual_seed(0)
    network = LabNet(**{**SMALL, **arguments}).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith('beta') or 'norm' in name:
                parameter.normal_(0.5, 0.1)
    return network


def save(network, path):
    torch.save({'params': network.state_dict()}, path)
    return str(path)


def output(network, size=(7, 9)):
    with torch.no_grad():
        return network(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1)))


def test_onnx_takes_any_size(tmp_path, capsys):
    """Of a network whose graph is small, as tracing takes its time; tests of the networks export all of their parts."""
    network = make_network(attention='none', large_field=False)
    path = tmp_path / 'net.onnx'
    assert main(['onnx', save(network, tmp_path / 'net.pth'), str(path), '--fuse']) == 0
    assert 'differs from PyTorch by at most' in capsys.readouterr().out
    onnx.checker.check_model(path)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    for shape in [(1, 3, 1, 1), (3, 3, 10, 33)]:
        lq = torch.rand(shape)
        (sr,) = session.run(['sr'], {'lq': lq.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(sr, network(lq), atol=1e-5)
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix != '.pth'] == ['net.onnx']


def test_onnx_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    node = onnx.helper.make_node('Resize', ['lq', '', 'scales'], ['sr'], mode='nearest')
    image = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        'nearest',
        [image('lq', onnx.TensorProto.FLOAT, ['B', 3, 'H', 'W'])],
        [image('sr', onnx.TensorProto.FLOAT, ['B', 3, 'sH', 'sW'])],
        [onnx.helper.make_tensor('scales', onnx.TensorProto.FLOAT, [4], [1, 1, 2, 2])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=9)

    class Program:
        def save(self, path, external_data):
            onnx.save(model, path)

    monkeypatch.setattr(torch.onnx, 'export', lambda *args, **kwargs: Program())
    path = tmp_path / 'net.onnx'
    path.write_text('from before')
    with pytest.raises(ValueError, match=r'net\.onnx was not written: .* differs .* 1e-04 was expected'):
        export_onnx(make_network(), path)
    assert path.read_text() == 'from before'
    assert [entry.name for entry in tmp_path.iterdir()] == ['net.onnx']


@pytest.mark.parametrize('half', [False, True])
def test_safetensors_name_their_network(tmp_path, half, capsys):
    network = make_network()
    path = tmp_path / 'net.safetensors'
    assert main(['safetensors', save(network, tmp_path / 'net.pth'), str(path), *['--half'] * half]) == 0
    assert 'sha256' in capsys.readouterr().out
    name, arguments = read_architecture(path, {})
    assert (name, arguments['num_feat'], arguments['upscale']) == ('LabNet', 16, 2)
    kept = read_checkpoint(path)
    assert {value.dtype for value in kept.values()} == {torch.float16 if half else torch.float32}
    np.testing.assert_allclose(output(load_network(path)), output(network), atol=5e-3 if half else 0)


def test_what_shapes_do_not_tell_comes_from_the_option_file(tmp_path, capsys):
    arguments = {**SMALL, 'attention': 'taylor', 'taylor_order': 1}
    network = make_network(**arguments)
    source, path = save(network, tmp_path / 'net.pth'), tmp_path / 'net.safetensors'
    assert main(['safetensors', source, str(path)]) == 2
    assert '--opt' in capsys.readouterr().err and not path.exists()
    (tmp_path / 'opt.yml').write_text(yaml.safe_dump({'network_g': {'type': 'LabNet', **arguments}}))
    assert main(['safetensors', source, str(path), '--opt', str(tmp_path / 'opt.yml')]) == 0
    assert torch.equal(output(load_network(path)), output(network))
    (tmp_path / 'opt.yml').write_text('name: nothing')
    assert main(['safetensors', source, str(path), '--opt', str(tmp_path / 'opt.yml')]) == 2
    assert 'opt.yml has no network_g' in capsys.readouterr().err
    (tmp_path / 'opt.yml').write_text('network_g: [')
    assert main(['safetensors', source, str(path), '--opt', str(tmp_path / 'opt.yml')]) == 2
    assert 'opt.yml: 1 problem in the options:\n  line 1: while parsing' in capsys.readouterr().err


def test_half_precision_refuses_what_it_cannot_hold(tmp_path, capsys):
    network = make_network()
    network.head.bias.data[0] = 1e6
    assert main(['safetensors', save(network, tmp_path / 'net.pth'), str(tmp_path / 'x.safetensors'), '--half']) == 2
    assert 'fp16 holds up to 65504, but a weight' in capsys.readouterr().err


@pytest.mark.parametrize(('attention', 'upscale'), [('stea', 2), ('ttea', 4)])
def test_published_naming_and_back(tmp_path, attention, upscale):
    network = make_network(attention=attention, upscale=upscale)
    path = tmp_path / 'LabNet.pth'
    assert main(['published', save(network, tmp_path / 'net.pth'), str(path)]) == 0
    assert torch.equal(output(load_published(path)), output(network))


@pytest.mark.parametrize(
    ('reference', 'module', 'attention'),
    [('labnet_x4', None, 'stea'), ('labnetgan_x4', 'enla', 'stea'), ('labnet_ttea_x4', None, 'ttea')],
)
def test_the_names_are_those_of_the_published_files(reference, module, attention):
    """Names and shapes that the authors' network has, as their checkpoints were listed."""
    from pathlib import Path

    with np.load(Path(__file__).parents[1] / 'reference' / f'{reference}.npz') as file:
        names, shapes = ([str(entry) for entry in file[key]] for key in ('names', 'shapes'))
    with torch.device('meta'):
        network = LabNet(num_feat=16, upscale=4, attention=attention)
    ours = stea_arch.to_published(network.state_dict(), module)
    assert sorted(ours) == sorted(names)
    assert all(str(list(ours[name].shape)) == shape for name, shape in zip(names, shapes))


@pytest.mark.parametrize(
    'arguments', [{'attention': 'softmax'}, {'dilations': (2, 4)}, {'dilations': (1, 2, 3)}, {'large_field': False}]
)
def test_what_the_authors_do_not_have_is_not_named_after_them(arguments):
    with pytest.raises(ValueError, match=r'LabNet as published were expected .*but these differ'):
        to_published(make_network(**arguments).state_dict())


@pytest.mark.parametrize('format', ['onnx', 'safetensors', 'published'])
def test_a_missing_model_is_said(tmp_path, capsys, format):
    assert main([format, 'absent.pth', str(tmp_path / 'out')]) == 2
    assert f'stea-export {format}: absent.pth is neither' in capsys.readouterr().err
