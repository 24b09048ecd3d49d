"""Backends within PyTorch."""

import torch

from stea_arch.archs.rows import inference_form


def load_torch(network, dtype, threads, folder):
    """Eager PyTorch, see ``load_backend``."""
    return _runner(inference_form(network, next(network.parameters()).device), dtype, threads)


def load_compiled(network, dtype, threads, folder):
    """``torch.compile`` of the fused network for images of any size, see ``load_backend``."""
    return _runner(torch.compile(network.fuse(), dynamic=True), dtype, threads)


def _runner(network, dtype, threads):
    if threads is not None:
        torch.set_num_threads(threads)
    network.to(dtype)
    device = next(network.parameters()).device.type

    def run(lq):
        # The weights are of that type already: autocast casts the input where it enters and leaves the skip in fp32.
        with torch.inference_mode(), torch.autocast(device, dtype, enabled=dtype != torch.float32):
            return network(lq).float()

    return run
