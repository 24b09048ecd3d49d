"""Distributed training on GPUs (nccl) and on CPUs (gloo): how it starts, and how processes share values."""

import os

import torch
import torch.distributed as dist


def with_cpu(init_dist):
    """Wrap ``basicsr.utils.dist_util.init_dist``: processes started by torchrun also work without a GPU.

    On a CPU the backend is gloo. On GPUs each process takes the device of its ``LOCAL_RANK``, which also holds on
    several nodes with different numbers of GPUs. Slurm is left to BasicSR.
    """

    def init(launcher, backend='nccl', **kwargs):
        if launcher != 'pytorch':
            return init_dist(launcher, backend, **kwargs)
        missing = [name for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK') if name not in os.environ]
        if missing:
            raise RuntimeError(
                f'--launcher pytorch expects the environment of torchrun, and {", ".join(missing)} is not set. Start '
                'with: torchrun --nproc_per_node=N -m stea_arch.train -opt FILE --launcher pytorch'
            )
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
            dist.init_process_group(backend=backend, **kwargs)
        else:
            dist.init_process_group(backend='gloo', **kwargs)

    return init


def gather(value):
    """The values of all processes, in the order of their ranks, on every process; ``[value]`` in a single one.

    Args:
        value (object): Anything that can be pickled.
    """
    if not dist.is_available() or not dist.is_initialized():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
