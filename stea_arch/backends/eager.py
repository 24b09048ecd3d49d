"""PyTorch itself as a backend."""

import torch

from stea_arch.archs.fused import optimize_for


def load_torch(network, dtype, threads, folder):
    """Eager PyTorch, see ``load_backend``."""
    if threads is not None:
        torch.set_num_threads(threads)
    device = next(network.parameters()).device
    form = optimize_for(network, device).to(dtype)

    def run(lq):
        # The weights are of that type already: autocast casts the input where it enters and leaves the skip in fp32.
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return form(lq).float()

    return run
