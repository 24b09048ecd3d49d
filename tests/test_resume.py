"""A run that was stopped, killed or split among processes is the run it would have been."""

import multiprocessing
import os
import re
import select
import signal
import subprocess
import sys
import time

import cv2
import pytest
import torch
import yaml
from waiting import wait_until

from stea_arch import train
from stea_arch.data.loading import ErrorsAsItems
from stea_arch.models.evaluator import read_json_lines
from stea_arch.models.labnet_model import LabNetModel
from stea_arch.system import stopping
from stea_arch.weights.files import read_checkpoint


def assert_same(left, right, where=''):
    """Bit for bit, through dicts and lists."""
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f'{where}.{key}')
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f'{where}.{i}')
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    else:
        assert left == right, where


def read_last(experiment, iteration=8, *more):
    """The network and the state of an iteration, and ``more`` checkpoints of a run."""
    files = (f'models/net_g_{iteration}.pth', f'training_states/{iteration}.state', *more)
    return [read_checkpoint(experiment / file) for file in files]


def read_all(experiment):
    return *read_last(experiment, 8, 'models/net_g_best.pth'), read_json_lines(experiment / 'validations.jsonl')


@pytest.mark.parametrize(
    ('stop', 'changes'),
    [
        (4, {}),  # in the middle of the second epoch of three iterations
        # at its end, with workers (a run that ends at 6 also validates there, so the unbroken one must)
        (
            6,
            {
                'datasets': {'train': {'num_worker_per_gpu': 2}},
                'logger': {'save_checkpoint_freq': 2},
                'val': {'val_freq': 2},
            },
        ),
        (4, {'datasets': {'train': {'device_images': True, 'num_worker_per_gpu': 2}}}),
        (4, {'train': {'amp': 'bf16', 'optim_g': {'type': 'AdamW'}}, 'network_g': 'dropout'}),
        (4, {'manual_seed': None}),
    ],
)
def test_stopped_and_resumed_equals_unbroken(tiny_options, run_main, tmp_path, stop, changes):
    if changes.get('network_g') == 'dropout':  # SwinIR draws from torch's generator in every step
        changes['network_g'] = {'type': 'SwinIR', 'num_feat': ..., 'num_blocks': ..., 'window_size': 4, 'img_size': 16}
        changes['network_g'] |= {'depths': [2], 'num_heads': [2], 'embed_dim': 8, 'drop_path_rate': 0.5}
        changes['network_g'] |= {'upsampler': 'pixelshuffledirect', 'drop_rate': 0.2}
    options = tiny_options(changes)
    open_seed = ['--force_yml', 'manual_seed=~'] if 'manual_seed' in changes else []
    run_main(train.main, {**options, 'name': 'broken'}, '--force_yml', f'train:total_iter={stop}')
    run_main(train.main, {**options, 'name': 'broken'}, '--auto_resume', *open_seed)
    options['manual_seed'] = options['manual_seed'] or read_last(tmp_path / 'experiments/broken', stop)[1]['seed']
    run_main(train.main, {**options, 'name': 'unbroken'})

    unbroken, broken = (read_all(tmp_path / 'experiments' / name) for name in ('unbroken', 'broken'))
    assert_same(unbroken, broken)
    assert [line['iter'] for line in unbroken[-1]][-2:] == [8 - options['val']['val_freq'], 8]


def test_workers_are_forks_whatever_is_the_default(tiny_options, run_main, tmp_path, monkeypatch):
    def noted(self, indices):
        (tmp_path / 'noted').touch()
        return getitems(self, indices)

    getitems, default = ErrorsAsItems.__getitems__, multiprocessing.get_start_method()
    monkeypatch.setattr(ErrorsAsItems, '__getitems__', noted)  # which a worker that imports everything anew lacks
    multiprocessing.set_start_method('spawn', force=True)
    try:
        run_main(train.main, tiny_options({'datasets': {'train': {'num_worker_per_gpu': 1}}}))
    finally:
        multiprocessing.set_start_method(default, force=True)
    assert (tmp_path / 'noted').is_file()


def test_a_run_that_ended_between_its_best_weights_and_their_note_validates_again(
    tiny_options, run_main, tmp_path, monkeypatch
):
    """The state of step 4 is saved, the best network too, but nothing is noted: as after a kill or on a full disk."""
    options = tiny_options()
    run_main(train.main, {**options, 'name': 'unbroken'})
    with monkeypatch.context() as patch:
        patch.setattr(
            'stea_arch.models.evaluator.Evaluator._append_validation',
            lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(SystemExit):
            run_main(train.main, {**options, 'name': 'broken'})
    run_main(train.main, {**options, 'name': 'broken'}, '--auto-resume')  # as --auto_resume
    assert_same(*(read_all(tmp_path / 'experiments' / name) for name in ('unbroken', 'broken')))


def test_the_number_of_threads_is_part_of_the_state(tiny_options, run_main, monkeypatch):
    taken = []
    monkeypatch.setattr('stea_arch.models.training.continue_with_threads', taken.append)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 3)
    run_main(train.main, tiny_options({'val': ...}), '--force_yml', 'train:total_iter=4')
    run_main(train.main, tiny_options({'val': ...}), '--auto_resume')
    assert taken == [3]


def read_log(experiment):
    """Of the run that started last."""
    return max(experiment.glob('train_*.log'), key=lambda path: path.stat().st_mtime_ns).read_text()


def learning_rates(state):
    return [group['lr'] for optimizer in state['optimizers'] for group in optimizer['param_groups']]


@pytest.mark.parametrize(
    ('changes', 'said', 'rate'),
    [
        ({}, [], 0.0005),
        ({'optim_g': {'lr': 0.01}}, [('lr', '0.001', '0.01')], 0.005),
        ({'scheduler': {'milestones': [2, 3]}}, [('milestones', r'\[5\]', r'\[2, 3\]')], 0.00025),
        ({'scheduler': {'gamma': 0.1}}, [('gamma', '0.5', '0.1')], 0.0001),
        ({'optim_g': {'betas': [0.5, 0.9]}}, [('betas', r'[\[(]0.9, 0.99[\])]', r'[\[(]0.5, 0.9[\])]')], 0.0005),
        ({'optim_g': {'amsgrad': True}}, [('amsgrad', 'False', 'True')], 0.0005),
        ({'amp': 'fp16'}, [], 0.0005),
        ({'optim_g': {'weight_decay': 0.1, 'type': 'AdamW'}}, [('weight_decay', '0', '0.1')], 0.0005),
        (
            {'scheduler': {'type': 'CosineAnnealingRestartLR', 'milestones': ..., 'gamma': ..., 'periods': [14]}},
            [('scheduler', 'one of another kind', 'CosineAnnealingRestartLR')],
            0.0005,  # half of the way is half of the rate
        ),
    ],
)
def test_what_was_changed_in_the_option_file_counts_and_is_said(tiny_options, run_main, tmp_path, changes, said, rate):
    options = tiny_options({'val': ...})
    run_main(train.main, options, '--force_yml', 'train:total_iter=4')
    changed = tiny_options({'val': ..., 'train': changes})
    run_main(train.main, changed, '--auto_resume')
    text = read_log(tmp_path / 'experiments/tiny')
    state = read_checkpoint(tmp_path / 'experiments/tiny/training_states/8.state')
    assert learning_rates(state) == pytest.approx([rate])
    assert text.count('which counts from here on') >= len(said) and ('counts from here on' in text) == bool(said)
    for name, before, now in said:
        pattern = rf'{name} of AdamW? was {before} when the state was saved, and is {now} in the option'
        assert re.search(pattern, text), text


@pytest.mark.parametrize('flags', [[], ['--auto_resume']])
def test_a_state_continues_under_a_new_name(tiny_options, run_main, tmp_path, flags):
    options = tiny_options({'val': ..., 'name': 'first'})
    run_main(train.main, options)
    state = 'experiments/first/training_states/4.state'
    for _ in range(2):  # the second time there is an experiment of that name, which goes on or is archived
        run_main(train.main, {**options, 'name': 'second', 'path': {**options['path'], 'resume_state': state}}, *flags)
        assert_same(*(read_last(tmp_path / 'experiments' / name) for name in ('first', 'second')))
        assert 'Resuming training from' in read_log(tmp_path / 'experiments/second')
    assert len(list((tmp_path / 'experiments').glob('second_archived_*'))) == 1 - len(flags)
    assert (tmp_path / 'experiments/first/models/net_g_4.pth').is_file()


def test_a_run_goes_back_to_an_earlier_state_and_leaves_the_later_ones(tiny_options, run_main, tmp_path):
    options = tiny_options({'logger': {'save_checkpoint_freq': 2}, 'val': {'val_freq': 2}})
    run_main(train.main, options)
    experiment = tmp_path / 'experiments/tiny'
    unbroken = read_all(experiment)
    assert max(unbroken[-1], key=lambda line: line['mean']['psnr'])['iter'] > 2  # what the best weights are of
    back = {**options['path'], 'resume_state': 'experiments/tiny/training_states/2.state'}
    run_main(train.main, {**options, 'path': back}, '--force_yml', 'train:total_iter=2')
    (left,) = tmp_path.glob('experiments/tiny_archived_*')
    assert f'(4.state, 6.state, 8.state, and their networks) is now in {left}' in read_log(experiment)
    assert [path.name for path in (experiment / 'training_states').iterdir()] == ['2.state']
    assert {path.name for path in (experiment / 'models').iterdir()} == {'net_g_2.pth', 'net_g_latest.pth'}
    assert_same(read_all(left), unbroken)
    run_main(train.main, options, '--auto_resume')
    assert 'Resuming training from epoch: 0, iter: 2.' in read_log(experiment)
    assert_same(read_all(experiment), unbroken)


def test_nothing_to_resume_is_said(tiny_options, run_main, tmp_path):
    run_main(train.main, tiny_options({'val': ..., 'train': {'total_iter': 1}}), '--auto_resume')
    assert re.search(
        '--auto_resume found no complete state in .*the run starts from the beg',
        read_log(tmp_path / 'experiments/tiny'),
    )


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal_it_saves_its_state_and_goes_on_as_if_unbroken(tiny_options, tmp_path, number, status):
    command = [sys.executable, '-m', 'stea_arch.train']
    options = tiny_options({'val': ..., 'name': 'stopped', 'train': {'total_iter': 60}})
    options['logger'].update(save_checkpoint_freq=60, print_freq=1)
    options['datasets']['train']['num_worker_per_gpu'] = 2
    process = start(command, options, tmp_path)
    output = tmp_path / 'output.txt'
    wait_until(lambda: 'iter:       3' in output.read_text(), process, output)
    process.send_signal(number)
    if number == signal.SIGTERM:  # a cluster's own, and the launcher's right behind it
        time.sleep(0.1)
        process.send_signal(number)
    assert process.wait(60) == status, output.read_text()
    (state,) = (tmp_path / 'experiments/stopped/training_states').iterdir()
    assert f'Stopped: {state} is saved; --auto_resume continues' in output.read_text().replace('\n', ' ')
    assert 'Traceback' not in output.read_text() and 3 <= int(state.stem) < 60
    assert start(command, options, tmp_path, '--auto_resume').wait(180) == 0, output.read_text()
    assert start(command, {**options, 'name': 'unbroken'}, tmp_path).wait(180) == 0
    assert_same(*(read_last(tmp_path / 'experiments' / name, 60) for name in ('stopped', 'unbroken')))


@pytest.mark.parametrize('other', [False, True])
def test_stopped_while_basicsr_s_dataset_loads_ahead(
    tiny_options, run_main, fail_main, photo_folder, tmp_path, monkeypatch, other
):
    """Its next batch is drawn from the global generators before the training looks for the signal.

    Of two processes the one that was not asked itself ends as the other one does.
    """
    pairs = {'type': 'PairedImageDataset', 'dataroot_lq': str(tmp_path / 'lq')}
    (tmp_path / 'lq').mkdir()
    for path in photo_folder.iterdir():
        cv2.imwrite(str(tmp_path / 'lq' / path.name), cv2.resize(cv2.imread(str(path)), None, fx=0.5, fy=0.5))
    options = tiny_options({'val': ..., 'datasets': {'train': pairs}, 'logger': {'save_checkpoint_freq': 8}})
    run_main(train.main, {**options, 'name': 'unbroken'})
    step = LabNetModel.optimize_parameters

    with monkeypatch.context() as patch:

        def asked(self, current_iter):
            step(self, current_iter)
            if current_iter == 3 and other:
                values = 'stea_arch.models.training.gather'
                patch.setattr(values, lambda own: [own, signal.SIGTERM] if own is None else [own])
            elif current_iter == 3:
                patch.setattr(stopping.request, 'signal', signal.SIGTERM)

        patch.setattr(LabNetModel, 'optimize_parameters', asked)
        assert re.search(r'Stopped: .*/3\.state is saved', fail_main(143, train.main, {**options, 'name': 'broken'}))
    run_main(train.main, {**options, 'name': 'broken'}, '--auto_resume')
    assert_same(*(read_last(tmp_path / 'experiments' / name) for name in ('unbroken', 'broken')))


SLOW = """
import sys, time
from stea_arch import train
from stea_arch.system import stopping
from stea_arch.models.labnet_model import LabNetModel

def slow(*_):
    print('validating', flush=True)
    time.sleep(60)

LabNetModel.nondist_validation = slow
stopping.ECHO = 0
train.main()
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once_and_its_loader_processes(tiny_options, tmp_path, number):
    (tmp_path / 'slow.py').write_text(SLOW)
    options = tiny_options({'val': {'val_freq': 1}, 'datasets': {'train': {'num_worker_per_gpu': 2}}})
    reading, writing = os.pipe()  # read to its end once nobody is left that could write
    process = start([sys.executable, 'slow.py'], options, tmp_path, pass_fds=[writing])
    os.close(writing)
    output = tmp_path / 'output.txt'
    for text in ('validating', 'Once more to end at once'):
        wait_until(lambda text=text: text in output.read_text(), process, output)
        process.send_signal(number)
    assert process.wait(20) == -number
    assert select.select([reading], [], [], 60)[0], 'a loader process is left'
    os.close(reading)


@pytest.mark.parametrize(('total', 'said'), [(3, 'No state had been saved'), (6, r'continues from .*/4\.state')])
def test_an_interruption_promises_what_is_there(tiny_options, run_main, fail_main, monkeypatch, total, said):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr('stea_arch.models.labnet_model.LabNetModel.save_network', interrupted) if total < 4 else None
    options = tiny_options({'val': ..., 'train': {'total_iter': total}})
    if total > 4:
        run_main(train.main, options)
        monkeypatch.setattr('basicsr.train.build_model', interrupted)
    assert re.search(said, fail_main(130, train.main, options, *['--auto_resume'] * (total > 4)))


def test_workers_do_not_change_the_run(tiny_options, run_main, tmp_path):
    for workers in (0, 2):
        options = tiny_options(
            {'name': f'w{workers}', 'val': ..., 'datasets': {'train': {'num_worker_per_gpu': workers}}}
        )
        run_main(train.main, options)
    nets = [read_checkpoint(tmp_path / f'experiments/w{workers}/models/net_g_latest.pth') for workers in (0, 2)]
    assert_same(*nets)


def test_an_incomplete_newest_state_is_left_out(tiny_options, run_main, tmp_path):
    options = tiny_options({'val': ..., 'logger': {'save_checkpoint_freq': 2}, 'train': {'total_iter': 6}})
    run_main(train.main, options)
    experiment = tmp_path / 'experiments/tiny'
    (experiment / 'training_states/.8.state.123.partial').write_bytes(b'half')
    (experiment / 'training_states/8.state').write_bytes((experiment / 'training_states/6.state').read_bytes()[:500])
    (experiment / 'models/net_g_8.pth').write_bytes((experiment / 'models/net_g_6.pth').read_bytes())
    (experiment / 'models/net_g_6.pth').unlink()
    with pytest.warns(UserWarning) as caught:
        run_main(train.main, {**options, 'train': {**options['train'], 'total_iter': 5}}, '--auto_resume')
    messages = ' '.join(str(w.message) for w in caught)
    assert '8.state is left out' in messages and 'damaged' in messages
    assert '6.state is left out: its network models/net_g_6.pth is missing' in messages
    assert 'Resuming training from epoch: 1, iter: 4.' in ''.join(p.read_text() for p in experiment.glob('*.log'))


@pytest.mark.parametrize(
    ('chosen', 'said'), [('2.state', 'epoch: 0, iter: 2.'), (None, 'Start training from epoch: 0')]
)
def test_all_processes_continue_from_the_state_of_the_first(
    tiny_options, run_main, fail_main, tmp_path, monkeypatch, chosen, said
):
    options = tiny_options({'val': ..., 'logger': {'save_checkpoint_freq': 2}, 'train': {'total_iter': 4}})
    run_main(train.main, options)
    monkeypatch.setattr('stea_arch.resume.gather', lambda own: ['9.state', own])
    error = fail_main(1, train.main, options, '--auto_resume')
    assert 'first process continues from 9.state, but process 0 does not find' in error
    monkeypatch.setattr('stea_arch.resume.gather', lambda own: [chosen, own])
    run_main(train.main, options, '--auto_resume')
    assert said in read_log(tmp_path / 'experiments/tiny')


@pytest.mark.parametrize('change', ['odd', 'no numbers', 'no lists'])
def test_the_older_state_is_taken_where_the_newest_is_nonsense(tiny_options, run_main, tmp_path, change):
    options = tiny_options({'val': ..., 'logger': {'save_checkpoint_freq': 2}, 'train': {'total_iter': 4}})
    run_main(train.main, options)
    newest = tmp_path / 'experiments/tiny/training_states/4.state'
    state = read_checkpoint(newest)
    changes = {'odd': {'optimizers': [{'lr': 1}]}, 'no numbers': {'iter': 'x'}, 'no lists': {'schedulers': 3}}
    torch.save({**state, **changes[change]}, newest)
    with pytest.warns(UserWarning, match=r'4\.state is left out: .* is not a training state'):
        run_main(train.main, options, '--auto_resume')
    assert 'Resuming training from epoch: 0, iter: 2.' in read_log(tmp_path / 'experiments/tiny')


def test_a_small_dataset_trains_to_the_last_iteration(tiny_options, run_main, tmp_path):
    options = tiny_options({'val': ..., 'datasets': {'train': {'batch_size_per_gpu': 4}}, 'train': {'total_iter': 12}})
    run_main(train.main, {**options, 'logger': {**options['logger'], 'save_checkpoint_freq': 12}})
    assert (tmp_path / 'experiments/tiny/training_states/12.state').is_file()


def test_a_dataset_smaller_than_a_batch_is_refused_in_a_paragraph(tiny_options, fail_main):
    error = fail_main(1, train.main, tiny_options({'val': ..., 'datasets': {'train': {'batch_size_per_gpu': 7}}}))
    assert '6 samples an epoch on each process do not fill one batch of 7' in error


def test_weights_are_no_training_state(tiny_options, fail_main, tmp_path):
    torch.save({'params': {'w': torch.zeros(1)}}, tmp_path / 'net.pth')
    error = fail_main(1, train.main, tiny_options({'val': ..., 'path': {'resume_state': str(tmp_path / 'net.pth')}}))
    assert re.search(r'net\.pth is not a training state.*pretrain_network_g', error)


def test_an_error_that_is_not_ours_keeps_its_traceback(tiny_options, run_main, monkeypatch):
    def broken(opt):
        raise ValueError('a bug elsewhere')

    monkeypatch.setattr('basicsr.train.build_model', broken)
    with pytest.raises(ValueError, match='a bug elsewhere'):
        run_main(train.main, tiny_options({'val': ...}))


def start(command, options, tmp_path, *flags, **more):
    file = tmp_path / f'{options["name"]}.yml'
    file.write_text(yaml.safe_dump(options, sort_keys=False))
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    with open(tmp_path / 'output.txt', 'ab') as output:
        return subprocess.Popen(
            [*command, '-opt', str(file), *flags],
            cwd=tmp_path,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            **more,
        )


def test_killed_in_the_middle_and_resumed_equals_unbroken(tiny_options, tmp_path):
    command = [sys.executable, '-m', 'stea_arch.train']
    options = tiny_options({'val': ..., 'name': 'killed', 'train': {'total_iter': 40}})
    options['logger'].update(save_checkpoint_freq=1, keep_checkpoints=2)
    states = tmp_path / 'experiments/killed/training_states'
    process = start(command, options, tmp_path)
    wait_until(lambda: len(list(states.glob('*.state'))) >= 2, process, tmp_path / 'output.txt')
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (states / '40.state').exists()

    assert start(command, options, tmp_path, '--auto_resume').wait(180) == 0, (tmp_path / 'output.txt').read_text()
    assert start(command, {**options, 'name': 'unbroken'}, tmp_path).wait(180) == 0
    assert 'Resuming training from' in (tmp_path / 'output.txt').read_text()
    assert_same(*(read_last(tmp_path / 'experiments' / name, 40) for name in ('killed', 'unbroken')))


WORKER = """
import torch
from stea_arch import train
from stea_arch.models.labnet_model import LabNetModel

save = LabNetModel.save

def save_on_every_rank(self, epoch, current_iter):
    save(self, epoch, current_iter)
    content = {'net': self.net_g.module.state_dict(), 'ema': self.net_g_ema.state_dict(), 'log': self.log_dict}
    content['seed'] = int(self.opt['manual_seed'])
    torch.save(content, f'rank{self.opt["rank"]}_{current_iter}.pth')

LabNetModel.save = save_on_every_rank
train.main()
"""
TERMINAL = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'


def test_two_processes_train_one_network(tiny_options, tmp_path, run_main):
    """Weights agree between the ranks, and with one process on the joint batch; so does the validation.

    In a terminal, where the first process alone has a bar.
    """
    (tmp_path / 'worker.py').write_text(WORKER)
    # with a large eps Adam follows the gradient itself, whose rounding would otherwise decide the sign of steps
    changes = {'train': {'total_iter': 4, 'optim_g': {'eps': 1.0, 'lr': 0.1}}, 'logger': {'pbar': True}}
    options = tiny_options(changes, {'manual_seed': None})
    options['datasets']['train']['dataset_enlarge_ratio'] = 2
    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', 'worker.py']
    command = [sys.executable, '-c', TERMINAL, 'sh', '-c', 'stty rows 24 cols 100 && exec "$0" "$@"', *torchrun]
    process = start(command, {**options, 'name': 'two'}, tmp_path, '--launcher', 'pytorch')
    output = tmp_path / 'output.txt'
    assert process.wait(240) == 0, output.read_text()
    assert re.search(r'4/4 .*l_pix=0\.\d', output.read_text()), output.read_text()
    first, second = (read_checkpoint(tmp_path / f'rank{rank}_4.pth') for rank in (0, 1))
    assert_same(first['net'], second['net'])
    assert_same(first['ema'], second['ema'])
    assert first['seed'] == second['seed']

    options['manual_seed'] = first['seed']
    options['datasets']['train']['batch_size_per_gpu'] = 4
    run_main(train.main, {**options, 'name': 'one'})
    one = read_checkpoint(tmp_path / 'experiments/one/models/net_g_4.pth')['params']
    torch.testing.assert_close(first['net'], one, rtol=1e-4, atol=1e-5)
    lines = [read_json_lines(tmp_path / f'experiments/{name}/validations.jsonl')[-1] for name in ('one', 'two')]
    assert lines[0]['mean']['psnr'] == pytest.approx(lines[1]['mean']['psnr'], abs=1e-3)
