"""Backends that run an exported graph on the CPU: ONNX Runtime and OpenVINO."""

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

import torch

from stea_arch import __version__, archs
from stea_arch.system.files import whole_or_nothing
from stea_arch.system.packages import require
from stea_arch.weights import export as exporter


def load_onnxruntime(network, dtype, threads, folder):
    """ONNX Runtime, see ``load_backend``."""
    onnxruntime = require('onnxruntime', 'onnxruntime')
    if dtype != torch.float32:
        raise ValueError(f'The backend onnxruntime computes in torch.float32 only, got {dtype}. Use openvino.')
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    path = export(network, folder)
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return lambda lq: torch.from_numpy(session.run(None, {name: lq.float().contiguous().numpy()})[0])


def load_openvino(network, dtype, threads, folder):
    """OpenVINO, see ``load_backend``."""
    openvino = require('openvino', 'openvino')
    # Left to itself it would compute in bf16 wherever the processor can.
    settings = {'INFERENCE_PRECISION_HINT': {torch.float32: 'f32', torch.bfloat16: 'bf16'}[dtype], 'NUM_STREAMS': 1}
    if threads is not None:
        settings['INFERENCE_NUM_THREADS'] = threads
    compiled = openvino.Core().compile_model(str(export(network, folder)), 'CPU', settings)
    request = compiled.create_infer_request()

    def run(lq):
        outputs = request.infer([lq.float().contiguous().numpy()])
        return torch.from_numpy(outputs[compiled.outputs[0]].copy())

    return run


def export(network, folder=None):
    """The fused form of a network as an ONNX file for images of any size; made only where there is none yet.

    Args:
        network (LabNet): on the CPU.
        folder (str | Path | None): see ``load_backend``.

    Returns:
        Path: the file. Its name is a fingerprint of all that it depends on.

    Raises:
        ValueError: the network is on another device.
        ImportError: the packages for export are not installed.
    """
    device = next(network.parameters()).device
    if device.type != 'cpu':
        raise ValueError(f'Exported networks run on the CPU, but this network is on {device}. Use network.cpu().')
    exporter.require_exporter()
    cache = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'stea_arch')
    path = Path(folder or cache).expanduser() / f'{fingerprint(network)}.onnx'
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_or_nothing(path) as partial:
            exporter.write_onnx(network.fuse().float(), partial)
    return path


def fingerprint(network):
    """A name for a network and what exports it, which changes with its weights, its form, our code and the versions."""
    digest = hashlib.sha256()
    versions = [f'{name} {version(name)}' for name in ('torch', 'onnx', 'onnxscript')]
    digest.update('\n'.join([f'stea_arch {__version__}', *versions, repr(network)]).encode())
    for module in network.modules():  # the order of an expansion, say, which neither names nor shapes tell
        plain = {name: value for name, value in vars(module).items() if isinstance(value, int | float | str | tuple)}
        digest.update(repr(sorted((name, value) for name, value in plain.items() if name != 'training')).encode())
    for source in (*sorted(Path(archs.__file__).parent.glob('*.py')), Path(exporter.__file__)):
        digest.update(source.read_bytes())
    for name, tensor in network.state_dict().items():
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]
