import types
from inspect import signature

import ncnn
import numpy as np
import onnx
import onnxruntime
import pnnx
import pytest
import torch
import yaml
from basicsr.archs import build_network
from published_fill import REFERENCES
from small_networks import SMALL, keep_one_block, opened_labnet

import stea_arch
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.commands.export import main
from stea_arch.weights import load_network
from stea_arch.weights.authors_naming import load_published, to_published
from stea_arch.weights.export import export_onnx
from stea_arch.weights.files import read_architecture, read_checkpoint, write_safetensors


def save(network, path):
    torch.save({'params': network.state_dict()}, path)
    return str(path)


def output(network, size=(7, 9)):
    with torch.no_grad():
        return network(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    ('flags', 'kind', 'tolerance'), [(['--fuse', '--opset', '18'], np.float32, 1e-5), (['--half'], np.float16, 0.01)]
)
def test_onnx_takes_any_size_and_says_what_it_takes(tmp_path, capsys, flags, kind, tolerance):
    """Of a network whose graph is small, as tracing takes its time; tests of the networks export all of their parts."""
    network = opened_labnet(attention='none', large_field=False)
    path = tmp_path / 'net.onnx'
    assert main(['onnx', save(network, tmp_path / 'net.pth'), str(path), *flags]) == 0
    assert 'differs from PyTorch by at most' in capsys.readouterr().out
    onnx.checker.check_model(path)
    assert '--half' in flags or [entry.version for entry in onnx.load(path).opset_import if not entry.domain] == [18]
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    (lq,), (sr,) = session.get_inputs(), session.get_outputs()
    assert (lq.name, lq.shape, sr.name) == ('lq', ['batch', 3, 'height', 'width'], 'sr')
    about = session.get_modelmeta().custom_metadata_map
    assert {name: about[name] for name in ('scale', 'channels', 'range')} == {
        'scale': '2',
        'channels': 'RGB',
        'range': '[0, 1]',
    }
    for shape in [(1, 3, 1, 1), (3, 3, 10, 33), (1, 3, 8, 12), (1, 3, 5, 4)]:
        lq = torch.rand(shape)
        (sr,) = session.run(['sr'], {'lq': lq.numpy().astype(kind)})
        with torch.no_grad():
            np.testing.assert_allclose(sr, network(lq), atol=tolerance)
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix != '.pth'] == ['net.onnx']


def test_an_opset_that_the_exporter_has_not_is_refused(tmp_path, monkeypatch):
    program = types.SimpleNamespace(model=types.SimpleNamespace(opset_imports={'': 18}))
    monkeypatch.setattr(torch.onnx, 'export', lambda *args, **kwargs: program)
    with pytest.raises(ValueError, match='with opset 18, and 99 was asked for'):
        export_onnx(opened_labnet(), tmp_path / 'net.onnx', opset=99)


def test_torch_export_takes_any_size():
    """What PyTorch takes for granted of the example is that the smallest features have more than one pixel."""
    network, free = keep_one_block(opened_labnet(), 'latent'), torch.export.Dim.DYNAMIC
    with torch.no_grad():
        program = torch.export.export(
            network, (torch.rand(2, 3, 13, 10),), dynamic_shapes={'lq': {0: free, 2: free, 3: free}}
        )
    unchecked = {'check_guards': False} if 'check_guards' in signature(program.module).parameters else {}
    for module, sizes in (
        (program.module(), [(5, 8), (17, 30), (8, 5), (12, 16)]),
        (program.module(**unchecked), [(1, 1), (3, 9), (4, 4)]),
    ):
        for size in sizes:
            lq = torch.rand(1, 3, *size)
            with torch.no_grad():
                torch.testing.assert_close(module(lq), network(lq), rtol=0, atol=1e-6)


@pytest.mark.parametrize('padding', ['zeros', 'partial'])
def test_ncnn_computes_the_same(tmp_path, monkeypatch, padding):
    network = keep_one_block(opened_labnet(padding=padding), 'latent')
    monkeypatch.chdir(tmp_path)
    pnnx.export(network, 'net.pt', (torch.rand(1, 3, 24, 32),), fp16=False)
    with ncnn.Net() as net:
        assert net.load_param('net.ncnn.param') == net.load_model('net.ncnn.bin') == 0
        for size in [(24, 32), (4, 8), (40, 20)]:
            lq = torch.rand(3, *size)
            with net.create_extractor() as extractor, torch.no_grad():
                extractor.input('in0', ncnn.Mat(lq.numpy()).clone())
                status, sr = extractor.extract('out0')
                assert status == 0
                np.testing.assert_allclose(np.array(sr), network(lq[None])[0], atol=2e-4)


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
    ends = {'inputs': [types.SimpleNamespace(shape=[])], 'outputs': [types.SimpleNamespace(shape=[])]}
    written = types.SimpleNamespace(opset_imports={'': 18}, metadata_props={}, graph=types.SimpleNamespace(**ends))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=9)

    class Program(types.SimpleNamespace):
        def save(self, path, external_data):
            onnx.save(model, path)

    monkeypatch.setattr(torch.onnx, 'export', lambda *args, **kwargs: Program(model=written))
    path = tmp_path / 'net.onnx'
    path.write_text('from before')
    with pytest.raises(ValueError, match=r'net\.onnx was not written: .* differs .* 1e-04 was expected'):
        export_onnx(opened_labnet(), path)
    assert path.read_text() == 'from before'
    assert [entry.name for entry in tmp_path.iterdir()] == ['net.onnx']


@pytest.mark.parametrize('half', [False, True])
def test_safetensors_name_their_network(tmp_path, half, capsys):
    network = opened_labnet()
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
    network = opened_labnet(**arguments)
    source, path = save(network, tmp_path / 'net.pth'), tmp_path / 'net.safetensors'
    assert main(['safetensors', source, str(path)]) == 2
    assert '--opt' in capsys.readouterr().err and not path.exists()
    (tmp_path / 'opt.yml').write_text(yaml.safe_dump({'network_g': {'type': 'LabNet', **arguments}}))
    assert main(['safetensors', source, str(path), '--opt', str(tmp_path / 'opt.yml')]) == 0
    assert torch.equal(output(load_network(path)), output(network))
    (tmp_path / 'opt.yml').write_text(yaml.safe_dump({'network_g': {'type': 'LabNet', **arguments, 'taylor_order': 2}}))
    assert (
        main(['safetensors', str(path), str(tmp_path / 'other.safetensors'), '--opt', str(tmp_path / 'opt.yml')]) == 2
    )
    assert 'net.safetensors says that it was trained with taylor_order 1 instead of 2' in capsys.readouterr().err
    (tmp_path / 'opt.yml').write_text('name: nothing')
    assert main(['safetensors', source, str(path), '--opt', str(tmp_path / 'opt.yml')]) == 2
    assert 'opt.yml has no network_g' in capsys.readouterr().err
    (tmp_path / 'opt.yml').write_text('network_g: [')
    assert main(['safetensors', source, str(path), '--opt', str(tmp_path / 'opt.yml')]) == 2
    assert 'opt.yml: 1 problem in the options:\n  line 1: while parsing' in capsys.readouterr().err


def test_half_precision_refuses_what_it_cannot_hold(tmp_path, capsys):
    network = opened_labnet()
    network.head.bias.data[0] = 1e6
    assert main(['safetensors', save(network, tmp_path / 'net.pth'), str(tmp_path / 'x.safetensors'), '--half']) == 2
    assert 'fp16 holds up to 65504, but a weight' in capsys.readouterr().err


@pytest.mark.parametrize(('attention', 'upscale'), [('stea', 2), ('ttea', 4)])
def test_published_naming_and_back(tmp_path, attention, upscale):
    network = opened_labnet(attention=attention, upscale=upscale)
    path = tmp_path / 'LabNet.pth'
    assert main(['published', save(network, tmp_path / 'net.pth'), str(path)]) == 0
    assert torch.equal(output(load_published(path)), output(network))


@pytest.mark.parametrize(
    ('reference', 'module', 'attention'),
    [('labnet_x4', None, 'stea'), ('labnetgan_x4', 'enla', 'stea'), ('labnet_ttea_x4', None, 'ttea')],
)
def test_the_names_are_those_of_the_published_files(reference, module, attention):
    """Names and shapes that the authors' network has, as their checkpoints were listed."""
    with np.load(REFERENCES / f'{reference}.npz') as file:
        names, shapes = ([str(entry) for entry in file[key]] for key in ('names', 'shapes'))
    with torch.device('meta'):
        network = LabNet(num_feat=16, upscale=4, attention=attention)
    ours = stea_arch.to_published(network.state_dict(), module)
    assert sorted(ours) == sorted(names)
    assert all(str(list(ours[name].shape)) == shape for name, shape in zip(names, shapes))


@pytest.mark.parametrize(
    'arguments',
    [
        {'attention': 'softmax'},
        {'dilations': (2, 4)},
        {'dilations': (1, 2, 3)},
        {'padding': 'partial'},
        {'large_field': False},
    ],
)
def test_what_the_authors_do_not_have_is_not_named_after_them(arguments):
    with pytest.raises(ValueError, match=r'LabNet as published were expected .*but these differ'):
        to_published(opened_labnet(**arguments).state_dict())


def test_dilations_that_shapes_do_not_tell_are_not_named_after_the_authors(tmp_path, capsys):
    source = tmp_path / 'net.safetensors'
    arguments = {**SMALL, 'dilations': [3, 5, 7]}
    write_safetensors(LabNet(**arguments).state_dict(), source, 'LabNet', arguments)
    assert main(['published', str(source), str(tmp_path / 'LabNet.pth')]) == 2
    assert "has the dilations [3, 5, 7], and the authors' code knows 2, 4, 6 alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('format', 'out', 'message'),
    [
        ('onnx', 'edsr.onnx', 'A LabNet or RealNet was expected, the weights in edsr.pth are of another network.'),
        ('onnx', 'net.safetensors', 'OUT must end in .onnx to be read again, got net.safetensors.'),
        ('safetensors', 'net.pth', 'OUT must end in .safetensors to be read again, got net.pth.'),
        ('published', 'net.safetensors', 'OUT must end in .pth to be read again, got net.safetensors.'),
        ('published', './edsr.pth', 'edsr.pth is the file of MODEL, which would be replaced: give OUT another name.'),
    ],
)
def test_what_nobody_could_read_is_not_written(tmp_path, monkeypatch, capsys, format, out, message):
    monkeypatch.chdir(tmp_path)
    save(build_network({'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1}), 'edsr.pth')
    before = (tmp_path / 'edsr.pth').read_bytes()
    assert main([format, 'edsr.pth', out]) == 2
    assert capsys.readouterr().err == f'stea-export {format}: {message}\n'
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


@pytest.mark.parametrize('format', ['onnx', 'safetensors', 'published'])
def test_a_missing_model_is_said(tmp_path, capsys, format):
    assert main([format, 'absent.pth', str(tmp_path / 'out')]) == 2
    assert f'stea-export {format}: absent.pth is neither' in capsys.readouterr().err
