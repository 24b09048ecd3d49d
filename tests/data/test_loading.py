"""The loader processes of a training."""

import multiprocessing
import os
import signal

import torch
from torch.utils.data import DataLoader

from stea_arch.data.loading import TrainingLoader
from stea_arch.system.stopping import request


def test_they_work_on_when_signals_came_to_every_process():
    before = set(multiprocessing.active_children())
    with request.listening():
        batches = iter(TrainingLoader(DataLoader(torch.arange(64), num_workers=1)))
        next(batches)
        (process,) = set(multiprocessing.active_children()) - before
        for _ in range(2):  # a cluster's own, and the launcher's
            os.kill(process.pid, signal.SIGTERM)
            for _ in range(5):  # more than lie ready: it has noticed
                next(batches)
        assert len(list(batches)) == 53
    process.join(10)
    assert process.exitcode == 0
