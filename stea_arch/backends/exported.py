"""Backends that run an exported graph on the CPU: ONNX Runtime and OpenVINO."""

import hashlib
import importlib
import logging
import os
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from stea_arch import archs


def load_onnxruntime(network, dtype, threads, folder):
    """ONNX Runtime, see ``load_backend``."""
    onnxruntime = _import('onnxruntime')
    if dtype != torch.float32:
        raise ValueError(f'The backend onnxruntime computes in torch.float32 only, but {dtype} came. Use openvino.')
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    path = export(network, folder)
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return lambda lq: torch.from_numpy(session.run(None, {name: lq.float().contiguous().numpy()})[0])


def load_openvino(network, dtype, threads, folder):
    """OpenVINO, see ``load_backend``."""
    openvino = _import('openvino')
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
    _import('onnx', 'export')
    _import('onnxscript', 'export')
    path = _folder(folder) / f'{fingerprint(network)}.onnx'
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Weights are kept inside of the file, so that renaming it when it is complete makes it appear at once.
        unfinished = path.with_suffix(f'.{os.getpid()}.part')
        free = torch.export.Dim.DYNAMIC
        arguments = {'dynamic_shapes': {'lq': {0: free, 2: free, 3: free}}, 'external_data': False, 'verbose': False}
        example = torch.rand(2, network.num_in_ch, 13, 10)
        try:
            with _quiet():
                torch.onnx.export(network.fuse().float(), (example,), str(unfinished), dynamo=True, **arguments)
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def fingerprint(network):
    """A name for a network and what exports it, which changes with its weights, its form, our code and the versions."""
    digest = hashlib.sha256()
    versions = [f'{name} {version(name)}' for name in ('stea_arch', 'torch', 'onnx', 'onnxscript')]
    digest.update('\n'.join([*versions, repr(network)]).encode())
    for module in network.modules():  # the order of an expansion, say, which neither names nor shapes tell
        plain = {name: value for name, value in vars(module).items() if isinstance(value, int | float | str | tuple)}
        digest.update(repr(sorted((name, value) for name, value in plain.items() if name != 'training')).encode())
    for source in sorted(Path(archs.__file__).parent.glob('*.py')):
        digest.update(source.read_bytes())
    for name, tensor in network.state_dict().items():
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def _folder(folder):
    if folder is None:
        folder = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache') / 'stea_arch'
    return Path(folder).expanduser()


def _import(name, extra=None):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'This backend needs the package {name}, which could not be imported: {error}. Install it with pip install '
            f"'stea_arch[{extra or name}]', or use the backend 'torch'."
        ) from error


@contextmanager
def _quiet():
    """The exporter warns about what it is about to handle well."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
