"""Distributed training on GPUs (nccl) and on CPUs (gloo): how it starts, and how processes share values."""

import os

import torch
import torch.distributed as dist

from stea_arch.system.errors import InputError


def with_cpu(init_dist):
    """Wrap ``basicsr.utils.dist_util.init_dist``: processes started by torchrun also work without a GPU.

    On a CPU the backend is gloo. On GPUs each process takes the device of its ``LOCAL_RANK``, which also holds on
    several nodes with different numbers of GPUs. Slurm is left to BasicSR.

    torchrun serves one store to all lives of a run. A process that is started again finds the addresses of the life
    before in it, and waits for a dead one (pytorch/pytorch#135712): restarts are refused unless each life has its own.
    """

    def init(launcher, backend='nccl', **kwargs):
        if launcher != 'pytorch':
            return init_dist(launcher, backend, **kwargs)
        missing = [name for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK') if name not in os.environ]
        if missing:
            raise InputError(
                f'--launcher pytorch expects the environment of torchrun, and {", ".join(missing)} is not set. Start '
                'with: torchrun --nproc_per_node=N -m stea_arch.train -opt FILE --launcher pytorch'
            )
        restarts = os.environ.get('TORCHELASTIC_MAX_RESTARTS', '0')
        if restarts != '0' and os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
            raise InputError(
                f'torchrun --max-restarts={restarts} expects TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment: '
                'without it, processes that it starts again can wait for those that died. Set it on every node.'
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
