"""Many files on many machines: workers of Ray load the network once and take one file after another."""

import os
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path

from stea_arch.system.packages import require
from stea_arch.upscaling import batch

TRIES = 3  # of a file whose worker is lost each time: it may be what ends them, by its size say


class Worker:
    """A process that Ray starts, on one core or with one GPU."""

    def load(self, arguments, scale, on_gpu):
        """Make the ``Upscaler`` of ``arguments``. Workers on cores share out the memory of their machine."""
        from stea_arch.upscaling.memory import GIB, SHARE, free_memory
        from stea_arch.upscaling.upscaler import Upscaler, find_device

        if not on_gpu and not arguments.get('max_memory'):
            free = free_memory(find_device('cpu'), float('inf'))
            arguments = {**arguments, 'max_memory': SHARE * free / GIB / os.cpu_count()}
        self.upscaler, self.scale = Upscaler(**arguments), scale

    def run(self, job, settings):
        """Upscale one file; returns why it failed, an empty list where it did not, and warnings."""
        warnings = []
        failed = batch.run(
            [job],
            lambda pixels: self.upscaler(pixels, self.scale),
            warn=lambda _, warning: warnings.append(warning),
            **settings,
        )
        return [reason for _, reason in failed], warnings


def run(jobs, address, arguments, scale, done=None, warn=None, **settings):
    """As ``batch.run``, on the workers of a cluster: one for each GPU, or for each core where there are none.

    A file whose worker is lost is given to another one, twice at most. All machines need this package, and see the
    files under the same paths.

    Args:
        jobs (list[Job]), done, warn: as of ``batch.run``, but files end in any order.
        address (str): of a cluster of Ray, e.g. 'auto' or 'ray://head:10001'; 'local' starts one on this machine.
        arguments (dict): of ``Upscaler``.
        scale (float): see ``Upscaler.__call__``.
        **settings: further arguments of ``batch.run``.

    Returns:
        list[tuple[Path, str]]: sources that failed, with the reason, in the order of ``jobs``.

    Raises:
        ImportError: Ray is not installed.
        ValueError, OSError: there is no such cluster, or a worker cannot load the network.
    """
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    ray = require('ray', 'ray')
    try:
        ray.init(address, log_to_driver=False, logging_level='ERROR')
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OSError(f'No cluster of Ray was found at {address}: {" ".join(str(error).split())}') from error
    try:
        return _run(ray, jobs, arguments, scale, done, warn, settings)
    finally:
        ray.shutdown()


def _run(ray, jobs, arguments, scale, done, warn, settings):
    there = ray.cluster_resources()
    on_gpu = bool(there.get('GPU')) and not str(arguments.get('device')).startswith('cpu')
    kind = ray.remote(num_gpus=1)(Worker) if on_gpu else ray.remote(num_cpus=1)(Worker)
    arguments = {name: _absolute(value) if name in ('model', 'base') else value for name, value in arguments.items()}
    loading, running = {}, {}  # what Ray promises: the worker; the worker and its job
    waiting, failed, lost, losses = deque(jobs), {}, Counter(), 0

    def hire():
        worker = kind.remote()
        loading[worker.load.remote(arguments, scale, on_gpu)] = worker

    def give_work(worker):
        if waiting:
            job = waiting.popleft()
            running[worker.run.remote(_anywhere(job), settings)] = worker, job

    for _ in range(min(max(1, int(there.get('GPU' if on_gpu else 'CPU', 0))), len(jobs))):
        hire()
    while waiting or running:
        (ready, *_), _ = ray.wait([*loading, *running])
        if ready in loading:
            worker, error = loading.pop(ready), _loss(ray, ready)
            losses = losses + 1 if error else 0
            if losses == TRIES:
                raise OSError(f'{TRIES} workers ended while they loaded the network: {error}') from error
            hire() if error else give_work(worker)
            continue
        worker, job = running.pop(ready)
        try:
            reasons, warnings = ray.get(ready)
            give_work(worker)
        except ray.exceptions.RayActorError:
            hire()
            lost[job] += 1
            if lost[job] < TRIES:
                waiting.appendleft(job)
                reasons, warnings = None, ['its worker was lost; another one takes it']
            else:
                reasons, warnings = [f'{TRIES} workers were lost over it'], []
        except ray.exceptions.RayTaskError as error:
            give_work(worker)
            reasons, warnings = [batch.describe(error.cause)], []
        for warning in warnings if warn else ():
            warn(job.source, warning)
        if reasons:
            failed[job] = reasons[0]
        if done and reasons is not None:
            done(job)
    return [(job.source, failed[job]) for job in jobs if job in failed]


def _loss(ray, promise):
    """The error by which a worker was lost while it loaded the network, or None.

    Raises:
        ValueError: It cannot load the network, and so it is on all of them.
    """
    try:
        ray.get(promise)
    except ray.exceptions.RayTaskError as error:
        raise ValueError(f'A worker cannot load the network: {error.cause}') from error
    except ray.exceptions.RayActorError as error:
        return error
    return None


def _anywhere(job):
    """The same job for a process in another working directory."""
    comparison = job.comparison and job.comparison.absolute()
    return replace(job, source=job.source.absolute(), target=job.target.absolute(), comparison=comparison)


def _absolute(model):
    """A file of weights by its whole path; a shipped name, or nothing, as it is."""
    path = model and Path(model).expanduser()
    return str(path.absolute()) if path and path.is_file() else model
