"""Threads that wait without keeping a core busy for long."""

import os

SAID_BY_USER = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')


def wait_passively():
    """Let OpenMP's threads spin only briefly before they sleep, unless the environment says how they should wait.

    By default they spin for long. Where other programs use the cores too, a thread that spins keeps the one it waits
    for from running, and a training step takes several times as long or stands still; where none does, threads that
    sleep at once make small steps twice as slow (benchmarks/wait_policy.py). The runtime reads the variables when it is
    loaded: call this before torch is imported. Child processes inherit them.
    """
    if not any(name in os.environ for name in SAID_BY_USER):
        os.environ['OMP_WAIT_POLICY'] = 'passive'  # for runtimes other than GNU's, which knows the finer variable
        os.environ['GOMP_SPINCOUNT'] = '20000'
