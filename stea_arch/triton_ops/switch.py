"""Whether the Triton kernels are used. They are off until ``enable()`` or ``STEA_KERNELS=1`` asks for them."""

import importlib
import importlib.util
import os

import torch

VARIABLE = 'STEA_KERNELS'
OLDEST = (3, 4)  # kernels that pass tuples on; that of PyTorch 2.8
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

_on = False
_planes = False
_devices = ('cuda',)


def enable(planes=False):
    """Use the Triton kernels from now on, for every tensor that they can take (see ``why_not``).

    The environment variable ``STEA_KERNELS=1`` does the same when the networks are imported. With
    ``TRITON_INTERPRET=1`` in the environment before Triton is first imported, the kernels also take tensors on the CPU,
    very slowly; the tests use it.

    Args:
        planes (bool): compute depthwise groups on the matrix units where those can (see ``in_planes``).

    Raises:
        RuntimeError: there is no Triton, it is too old, or no CUDA device is in reach.
    """
    global _on, _devices, _planes
    interpreted = os.environ.get('TRITON_INTERPRET') == '1'
    start = 'The Triton kernels cannot be used: '
    end = f' Or leave them off (no stea_arch.triton_ops.enable(), no {VARIABLE}=1); the results are the same.'
    if importlib.util.find_spec('triton') is None:
        raise RuntimeError(f'{start}Triton is not installed. It comes with the CUDA build of PyTorch for Linux.{end}')
    if not torch.cuda.is_available() and not interpreted:
        raise RuntimeError(
            f'{start}PyTorch {torch.__version__} sees no CUDA device. Run it on a machine with one.{end}'
        )
    triton = importlib.import_module('triton')
    if tuple(int(part) for part in triton.__version__.split('.')[:2]) < OLDEST:
        oldest = '.'.join(str(part) for part in OLDEST)
        raise RuntimeError(
            f'{start}Triton {oldest} or newer is needed, but {triton.__version__} is installed. Install a newer '
            f'PyTorch, which brings its own.{end}'
        )
    importlib.import_module('stea_arch.triton_ops.ops')
    _on, _devices, _planes = True, ('cuda', 'cpu') if interpreted else ('cuda',), planes


def disable():
    """Use stock operations again, e.g. before an export to ONNX, which knows no Triton kernels."""
    global _on
    _on = False


def usable(x):
    """Whether the kernels are on and take the tensor ``x``."""
    return _on and x.device.type in _devices and x.dtype in DTYPES


def in_planes(x):
    """Whether a depthwise group of ``x`` is left to the matrix units: half precision, up to 64 columns, asked for."""
    return _planes and usable(x) and x.shape[3] <= 64 and x.dtype != torch.float32


def why_not(x):
    """Why the kernels are not used for the tensor ``x``, in a sentence, or None if they are."""
    if not _on:
        return f'the kernels are off: call stea_arch.triton_ops.enable() or set {VARIABLE}=1'
    if x.device.type not in _devices:
        return f'the tensor is on {x.device.type}, and the kernels run on {" and ".join(_devices)}'
    if x.dtype not in DTYPES:
        return f'the tensor is {x.dtype}, and the kernels take float32, bfloat16 and float16'
    return None
