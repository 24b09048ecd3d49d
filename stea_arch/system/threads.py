"""Threads that wait without keeping a core busy."""

import os

SAID_BY_USER = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')


def wait_passively():
    """Let OpenMP's threads sleep while they wait for one another, unless the environment says how they should wait.

    By default they spin. Where other programs use the cores too, a thread that spins keeps the one it waits for from
    running, and a training step takes ten times as long or stands still (benchmarks/wait_policy.py). The runtime reads
    the variable when it is loaded: call this before torch is imported. Child processes inherit it.
    """
    if not any(name in os.environ for name in SAID_BY_USER):
        os.environ['OMP_WAIT_POLICY'] = 'passive'
