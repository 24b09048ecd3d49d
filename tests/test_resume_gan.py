"""The adversarial stage through BasicSR's pipeline: stopped, split among processes, on a full disk."""

import sys

import pytest
from test_resume import assert_same, read_last, start

from stea_arch import train
from stea_arch.system import files as system_files
from stea_arch.weights import files
from stea_arch.weights.files import read_checkpoint

SHORT = {'total_iter': 6, 'scheduler': {'milestones': [4]}}


def last(experiment):
    return read_last(experiment, 6, 'models/net_d_6.pth')


@pytest.mark.parametrize('streams', [1, 2])
def test_stopped_and_resumed_equals_unbroken(real_options, run_main, tmp_path, streams):
    """Generator, discriminator, both optimisers, EMA, random state, and a pool that is full when the run stops."""
    network = {'type': 'RealNet', 'streams': streams}
    changes = {'network_g': network, 'queue_size': 3, 'datasets': {'train': {'num_worker_per_gpu': 2 * (streams - 1)}}}
    changes |= {'train': SHORT, 'val': {'val_freq': 3}, 'logger': {'save_checkpoint_freq': 3}}
    options = real_options(changes, 'gan')
    options['datasets']['val'].update(num_kernels=1, sigma_range=[1, 1])
    run_main(train.main, {**options, 'name': 'unbroken'})
    run_main(train.main, {**options, 'name': 'broken'}, '--force_yml', 'train:total_iter=3')
    run_main(train.main, {**options, 'name': 'broken'}, '--auto_resume')
    unbroken, broken = (last(tmp_path / 'experiments' / name) for name in ('unbroken', 'broken'))
    assert_same(unbroken, broken)
    _, state, _ = unbroken
    assert len(state['optimizers']) == 2 and all(optimizer['state'] for optimizer in state['optimizers'])
    (pool,) = state['pools']
    assert [len(tensor) for tensor in pool['tensors']] == [3] * (1 + streams)


def test_a_state_without_its_discriminator_is_left_out(real_options, run_main, tmp_path):
    options = real_options({'val': ..., 'train': {'total_iter': 4}, 'logger': {'save_checkpoint_freq': 2}}, 'gan')
    run_main(train.main, options)
    (tmp_path / 'experiments/tiny/models/net_d_4.pth').unlink()
    with pytest.warns(UserWarning, match=r'4\.state is left out: its network models/net_d_4\.pth is missing'):
        run_main(train.main, options, '--auto_resume')
    assert 'epoch: 0, iter: 2.' in ''.join(p.read_text() for p in (tmp_path / 'experiments/tiny').glob('*.log'))


def test_a_full_disk_stops_the_run_and_the_last_state_goes_on(real_options, run_main, fail_main, tmp_path, monkeypatch):
    """The third state goes to /dev/full, where every write fails as on a full disk."""

    def full_from_the_sixth(path, mode):
        return open('/dev/full' if '6.state' in path.name else path, mode)

    logger = {'save_checkpoint_freq': 2, 'keep_checkpoints': 1}
    options = real_options({'val': ..., 'train': SHORT, 'logger': logger}, 'gan')
    with monkeypatch.context() as patch:
        patch.setattr(files, 'open', full_from_the_sixth, raising=False)
        patch.setattr(system_files, '_short', str)  # so that the names of partial files can be told
        error = fail_main(1, train.main, options)
    assert '6.state could not be saved: No space left on device' in error and '--auto_resume' in error
    experiment = tmp_path / 'experiments/tiny'
    assert [path.name for path in (experiment / 'training_states').iterdir()] == ['4.state']
    assert not list(experiment.rglob('*.partial'))

    run_main(train.main, options, '--auto_resume')
    run_main(train.main, {**options, 'name': 'unbroken'})
    assert_same(last(experiment), last(tmp_path / 'experiments/unbroken'))


WORKER = """
import torch
from stea_arch import train
from stea_arch.models.realgan_model import RealGANModel

save, feed = RealGANModel.save, RealGANModel.feed_data

def save_on_every_rank(self, epoch, current_iter):
    save(self, epoch, current_iter)
    nets = {name: self.get_bare_model(getattr(self, name)).state_dict() for name in ('net_g', 'net_d', 'net_g_ema')}
    torch.save({**nets, 'lq': self.lq, 'bad_steps': self.bad_steps}, f'rank{self.opt["rank"]}_{current_iter}.pth')

def spoil_on_one_rank(self, data):
    feed(self, data)
    if self.opt['rank'] == 1 and self.step + 1 == 4:
        self.gt[0, 0, 0, 0] = float('nan')

RealGANModel.save, RealGANModel.feed_data = save_on_every_rank, spoil_on_one_rank
train.main()
"""


def test_two_processes_train_one_pair_of_networks_and_skip_together(real_options, tmp_path):
    """Each process draws its own degradations; weights agree; a NaN on one process makes both skip the step."""
    (tmp_path / 'worker.py').write_text(WORKER)
    options = real_options({'val': ..., 'train': {'total_iter': 4}, 'logger': {'save_checkpoint_freq': 1}}, 'gan')
    options['datasets']['train']['dataset_enlarge_ratio'] = 2
    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', 'worker.py']
    process = start(torchrun, options, tmp_path, '--launcher', 'pytorch')
    assert process.wait(240) == 0, (tmp_path / 'output.txt').read_text()
    third, fourth = ([read_checkpoint(tmp_path / f'rank{rank}_{i}.pth') for rank in (0, 1)] for i in (3, 4))
    for name in ('net_g', 'net_d', 'net_g_ema'):
        assert_same(third[0][name], third[1][name])
        assert_same(fourth[0][name], fourth[1][name])
    for name in ('net_g', 'net_g_ema'):
        assert_same(third[0][name], fourth[0][name])
    assert [one['bad_steps'] for one in (*third, *fourth)] == [0, 0, 1, 1]
    assert not (third[0]['lq'] == third[1]['lq']).all()
    assert len(read_checkpoint(tmp_path / 'experiments/tiny/training_states/4.state')['pools']) == 2
