import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
from small_networks import SMALL, keep_one_block, opened_labnet

from stea_arch import backends
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.backends import load_backend
from stea_arch.backends.exported import export, fingerprint


@pytest.fixture(scope='module')
def network():
    """All of LabNet's own operations around a single block: to export six takes minutes."""
    torch.manual_seed(0)
    return keep_one_block(opened_labnet()).train()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('exported')


def difference(backend, network, *shape):
    lq = torch.rand(shape)
    with torch.no_grad():
        sr, expected = backend(lq), network(lq)
    assert sr.shape == expected.shape and sr.dtype == torch.float32
    return float((sr - expected).abs().max())


@pytest.mark.parametrize('name', ['torch', 'onnxruntime', 'openvino'])
def test_equals_the_network_at_any_size(name, network, folder):
    backend = load_backend(network, name, folder=folder)
    for shape in [(1, 3, 1, 1), (2, 3, 13, 10), (1, 3, 8, 52), (3, 3, 30, 7)]:
        assert difference(backend, network, *shape) < 1e-5


def test_mixed_precision_is_close_and_leaves_the_network_alone(network):
    backend = load_backend(network, 'torch', torch.bfloat16)
    assert 0 < difference(backend, network, 1, 3, 17, 20) < 0.02
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert network.training


def test_threads_are_set(network):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        load_backend(network, 'torch', threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_export_is_used_again_only_for_the_same_network(network, folder):
    path = export(network, folder)
    written = path.stat().st_mtime_ns
    assert export(network, folder) == path and path.stat().st_mtime_ns == written
    assert [entry.name for entry in Path(folder).iterdir()] == [path.name]  # and nothing unfinished
    name = fingerprint(network)
    with torch.no_grad():
        network.fusion.bias[3] += 1e-6
        changed = fingerprint(network)
        network.fusion.bias[3] -= 1e-6
    assert len({name, changed, fingerprint(LabNet(**SMALL))}) == 3


@pytest.mark.parametrize(
    ('one', 'other'), [({'taylor_order': 1}, {'taylor_order': 2}), ({'num_heads': 2, 'key_dim': 8}, {})]
)
def test_fingerprint_knows_what_shapes_do_not_tell(one, other):
    made = [LabNet(**SMALL, attention='taylor', **each) for each in (one, other)]
    made[1].load_state_dict(made[0].state_dict())
    assert fingerprint(made[0]) != fingerprint(made[1])
    assert fingerprint(made[0].train()) == fingerprint(made[0].eval())


@pytest.mark.parametrize('module', ['stea_arch.archs', 'stea_arch.weights.export'])
def test_fingerprint_knows_the_code(network, tmp_path, monkeypatch, module):
    before = fingerprint(network)
    (tmp_path / '__init__.py').write_text('')
    monkeypatch.setattr(f'{module}.__file__', str(tmp_path / '__init__.py'))
    assert fingerprint(network) != before


def test_fingerprint_needs_no_installation(network, monkeypatch):
    """The package may be used from its folder."""

    def installed(name):
        if name == 'stea_arch':
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr('stea_arch.backends.exported.version', installed)
    before = fingerprint(network)
    monkeypatch.setattr('stea_arch.backends.exported.__version__', '0.0')
    assert fingerprint(network) != before


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (lambda lq, sr: sr + 0.083, r'\(1, 3, 1, 1\).*differs by 0\.083 where 0\.0001 is allowed'),
        (lambda lq, sr: sr if lq.shape[-1] < 20 else sr * 1.01, r'\(1, 3, 16, 23\).*differs by'),
        (lambda lq, sr: sr if len(lq) == 1 else sr[:1].expand_as(sr), r'\(2, 3, 9, 6\).*differs by'),
        (lambda lq, sr: sr * float('nan'), 'differs by nan'),
        (lambda lq, sr: sr[..., 1:], r'makes \(1, 3, 2, 1\)'),
    ],
)
def test_a_backend_that_computes_something_else_is_refused(network, monkeypatch, error, message):
    def load_wrong(network, dtype, threads, folder):
        return lambda lq: error(lq, network(lq))

    monkeypatch.setitem(backends.BACKENDS, 'wrong', load_wrong)
    with pytest.raises(RuntimeError, match=f"The backend wrong is refused.*{message}.*Use another backend.*'torch'"):
        load_backend(network, 'wrong')


@pytest.mark.parametrize('name', ['onnxruntime', 'openvino'])
def test_missing_package_is_named(network, folder, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"package {name}, .*pip install 'stea_arch\[{name}\]'.*backend 'torch'"):
        load_backend(network, name, folder=folder)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'name': 'tensorrt'}, r"one of the backends torch, onnxruntime, openvino, got 'tensorrt'"),
        ({'dtype': torch.float16}, r'dtype must be torch\.float32 or torch\.bfloat16, got torch\.float16'),
        (
            {'name': 'onnxruntime', 'dtype': torch.bfloat16},
            r'onnxruntime computes in torch\.float32 only.*Use openvino',
        ),
    ],
)
def test_impossible_arguments_are_refused(network, folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_backend(network, **arguments, folder=folder)


def test_network_on_another_device_is_not_exported(folder):
    with torch.device('meta'):
        network = LabNet(**SMALL)
    with pytest.raises(ValueError, match=r'run on the CPU, but this network is on meta'):
        export(network, folder)
