"""Other ways to run a network: one interface, and no result that PyTorch would not give."""

import copy

import torch

from stea_arch.backends.eager import load_torch
from stea_arch.backends.exported import load_onnxruntime, load_openvino

__all__ = ['BACKENDS', 'TOLERANCES', 'load_backend']

BACKENDS = {
    'torch': load_torch,
    'onnxruntime': load_onnxruntime,
    'openvino': load_openvino,
}
# Largest difference from PyTorch in fp32, as a share of the largest value (at least 1).
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.05}
# Batch, height and width: one pixel, sizes of every residue modulo 4, a batch, more than the large field both ways.
CHECKED_SIZES = [(1, 1, 1), (2, 9, 6), (1, 16, 23), (1, 56, 12)]


def load_backend(network, name='torch', dtype=torch.float32, threads=None, folder=None):
    """The fused form of a network, to be run by ``name``.

    Before it is returned, its output is compared with that of ``network`` itself in fp32, on noise of several sizes:
    a runtime that computes something else, as has happened, is refused. ``torch.compile(network.fuse())`` needs no
    backend: it compiles to one graph.

    - ``torch``: eager PyTorch on the network's device.
    - ``onnxruntime``, ``openvino``: optional packages of these names, CPU only. The network is exported once, which
      takes minutes for the published size, and kept in ``folder`` under a fingerprint of its weights, its form, our
      code and the versions, so that a file is used again only for the very same network.

    Args:
        network (LabNet): or another network with ``fuse()``, which takes one batch of images and has ``num_in_ch``.
        name (str): a key of ``BACKENDS``.
        dtype (torch.dtype): ``torch.float32``, or ``torch.bfloat16`` to compute in mixed precision, which
            ``onnxruntime`` does not offer.
        threads (int | None): CPU threads; None leaves the choice to the backend. ``torch`` sets it for the whole
            process.
        folder (str | Path | None): where exported networks are kept; by default ``stea_arch`` in ``XDG_CACHE_HOME`` or
            ``~/.cache``.

    Returns:
        Callable: ``lq`` ``(B, C, H, W)`` in [0, 1], of any size, -> ``sr`` ``(B, C, s H, s W)``, both fp32 tensors on
        the network's device.

    Raises:
        ValueError: there is no such backend, or it does not compute in ``dtype`` or on the network's device.
        ImportError: the package of the backend is not installed.
        RuntimeError: the backend's output is not that of the network.
    """
    if name not in BACKENDS:
        raise ValueError(f'Expected one of the backends {", ".join(BACKENDS)}, got {name!r}.')
    if dtype not in TOLERANCES:
        raise ValueError(f'dtype must be torch.float32 or torch.bfloat16, got {dtype}.')
    try:
        backend = BACKENDS[name](network, dtype, threads, folder)
    except ImportError as error:
        raise ImportError(f"{error} Or use the backend 'torch'.") from error
    _check(backend, network, name, dtype)
    return backend


def _check(backend, network, name, dtype):
    reference = copy.deepcopy(network).eval()
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in CHECKED_SIZES:
        lq = torch.rand(batch, network.num_in_ch, height, width, generator=generator).to(device)
        with torch.inference_mode():
            expected, sr = reference(lq), backend(lq)
        allowed = TOLERANCES[dtype] * max(1, float(expected.abs().max()))
        difference = float((sr - expected).abs().max()) if sr.shape == expected.shape else float('nan')
        if not difference <= allowed:
            raise RuntimeError(
                f'The backend {name} is refused, as it does not compute what PyTorch does: of {tuple(lq.shape)} it '
                f'makes {tuple(sr.shape)}, which differs by {difference:.2g} where {allowed:.2g} is allowed. '
                "Use another backend, for example 'torch', or another version of this one."
            )
