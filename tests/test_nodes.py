"""A training on two nodes: a worker is lost, the launcher starts the others again, and the run is the one it would
have been. Both nodes are this machine, each with a torchrun of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_resume import assert_same, read_last, start
from torch.distributed.run import get_args_parser

import stea_arch
from stea_arch.commands import _pipeline

WORKER = """
import os
import signal
from pathlib import Path

from stea_arch import train
from stea_arch.data.lmdb_store import LmdbStore
from stea_arch.models.labnet_model import LabNetModel

read, step = LmdbStore.read, LabNetModel.optimize_parameters
name = Path(os.environ['NAME'])
name.mkdir(exist_ok=True)
life = len(list(name.glob(f'*_{os.environ["RANK"]}.txt')))
reads = name / f'{life}_{os.environ["RANK"]}.txt'

def counted(self, image):
    with open(reads, 'a') as file:
        print(image, file=file)
    return read(self, image)

def mortal(self, current_iter):
    if os.environ['NAME'] == 'broken' and os.environ['RANK'] == '1' and current_iter == 6:
        if not (name / 'died').exists():
            (name / 'died').touch()
            os.kill(os.getpid(), signal.SIGKILL)
    step(self, current_iter)

LmdbStore.read, LabNetModel.optimize_parameters = counted, mortal
train.main()
"""
ROOT = Path(stea_arch.__file__).parents[1]
CLUSTER = ROOT / 'docs/cluster'
TORCHRUN = [sys.executable, '-m', 'torch.distributed.run']


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def test_a_worker_of_two_nodes_is_killed_and_the_run_is_as_if_unbroken(
    tiny_options, tmp_path, photo_folder, photo_lmdb, monkeypatch
):
    (tmp_path / 'worker.py').write_text(WORKER)
    options = tiny_options({'val': ..., 'logger': {'save_checkpoint_freq': 2}})
    options['datasets']['train'].update(dataroot_gt=str(photo_lmdb), io_backend={'type': 'lmdb'}, batch_size_per_gpu=1)
    flags = ('--launcher', 'pytorch', '--auto_resume')

    nodes = ['--nnodes=2', '--nproc_per_node=1', '--rdzv-backend=c10d', '--rdzv-id=1', '--max-restarts=2']
    nodes += [f'--rdzv-endpoint=127.0.0.1:{free_port()}', 'worker.py']
    monkeypatch.setenv('NAME', 'broken')
    monkeypatch.setenv('TORCH_DISABLE_SHARE_RDZV_TCP_STORE', '1')
    both = [start([*TORCHRUN, *nodes], {**options, 'name': 'broken'}, tmp_path, *flags) for _ in range(2)]
    assert [node.wait(300) for node in both] == [0, 0], (tmp_path / 'output.txt').read_text()
    assert (tmp_path / 'broken/died').is_file()
    assert 'Resuming training from epoch: 1, iter: 4.' in (tmp_path / 'output.txt').read_text()

    monkeypatch.setenv('NAME', 'unbroken')
    one = [*TORCHRUN, '--standalone', '--nproc_per_node=2', 'worker.py']
    assert start(one, {**options, 'name': 'unbroken'}, tmp_path, *flags).wait(300) == 0
    assert_same(*(read_last(tmp_path / 'experiments' / name) for name in ('broken', 'unbroken')))

    reads = [(tmp_path / f'unbroken/0_{rank}.txt').read_text().split() for rank in (0, 1)]
    photos = sorted(path.name for path in photo_folder.iterdir())
    for epoch in (slice(0, 3), slice(3, 6)):  # each of the two reads half of the images, and no other
        assert sorted(reads[0][epoch] + reads[1][epoch]) == photos
    again = [(tmp_path / f'broken/1_{rank}.txt').read_text().split() for rank in (0, 1)]
    assert again == [own[4:] for own in reads]  # what the steps after the last state need


def jobs():
    """The two job files as bash scripts, with what their clusters set."""
    small_batch = ['--force_yml', 'datasets:train:batch_size_per_gpu=3']
    slurm = {'SLURM_JOB_NODELIST': 'n[1-2]', 'SLURM_NNODES': '2', 'SLURM_GPUS_ON_NODE': '4', 'SLURM_JOB_ID': '7'}
    service, job = yaml.safe_load_all((CLUSTER / 'train.yml').read_text())
    pod = job['spec']['template']['spec']
    (container,) = pod['containers']
    assert service['metadata']['name'] == pod['subdomain'] and job['spec']['completions'] == job['spec']['parallelism']
    own = {entry['name']: entry['value'] for entry in container['env']}
    return {
        'slurm': (['bash', str(CLUSTER / 'train.slurm'), 'options/train/LabNet_x4.yml', *small_batch], slurm),
        'kubernetes': (container['command'], {**own, 'JOB_COMPLETION_INDEX': '0'}),
    }


@pytest.mark.parametrize('cluster', ['slurm', 'kubernetes'])
def test_the_job_files_start_what_torchrun_and_the_training_understand(tmp_path, cluster):
    """Run with programs in place of Slurm's and of torchrun that print what they are given."""
    programs = {'scontrol': 'printf "n1\\nn2\\n"', 'srun': '"$@"'}
    programs['torchrun'] = 'env | grep ^TORCH; printf "%s\\n" "$@"'
    for name, script in programs.items():
        (tmp_path / name).write_text(f'#!/bin/sh\n{script}\n')
        (tmp_path / name).chmod(0o755)
    command, environment = jobs()[cluster]
    environment = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', **environment}
    variable, *arguments = subprocess.check_output(command, env=environment, text=True, cwd=ROOT).splitlines()
    assert variable == 'TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1'
    launch = get_args_parser().parse_args(arguments)
    assert (launch.nnodes, launch.nproc_per_node, launch.rdzv_backend) == ('2', '4', 'c10d')
    assert launch.max_restarts > 0 and launch.rdzv_endpoint.endswith(':29400')
    assert launch.module and launch.training_script == 'stea_arch.train'
    training = _pipeline._parser(True).parse_args(launch.training_script_args)
    assert training.auto_resume and training.launcher == 'pytorch' and (ROOT / training.opt).is_file()
    assert training.force_yml == ['datasets:train:batch_size_per_gpu=3']
