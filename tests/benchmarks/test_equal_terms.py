"""The comparison on equal terms at toy size: that terms are equal, time is shared fairly and nothing is done twice."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import equal_terms
import pytest

TINY = ['tiny', 'LabNet-T=1e-3', 'network_g:dilations=[1]', 'network_g:attention=none']


@pytest.fixture
def start(photo_folder, tmp_path, monkeypatch):
    """``start(*arguments)`` -> the JSON after the script ran with them, in the test's folder."""
    (tmp_path / 'benchmark').mkdir()
    for name in ('Set5', 'Set14'):
        (tmp_path / 'benchmark' / name).symlink_to(photo_folder)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        common = {'--data': str(photo_folder), '--benchmark': 'benchmark', '--out': 'toy.json', '--gt-size': '32'}
        rest = [part for pair in common.items() if pair[0] not in arguments for part in pair]
        monkeypatch.setattr(sys, 'argv', ['equal_terms.py', *arguments, *rest])
        equal_terms.main()
        return json.loads(Path('toy.json').read_text())

    return run


def test_a_run_is_trained_and_tested_once_and_never_forgotten(start, args, monkeypatch, capsys):
    arguments = ['--variant', *TINY, '--cpu-minutes', '1e-6', '--rounds', '1', '--kernels', '2']
    report = start(*arguments)
    (run,) = report['runs']
    assert [step for step, _ in run['curve']] == list(range(1, 9))
    assert sum(1 for _ in Path('results/toy/Set5').glob('*.json')) == 1
    # the curve's last point is of the same weights, images and kernels, by the validation of the training
    assert run['sets']['Set5']['psnr'] == pytest.approx(run['curve'][-1][1], abs=2e-3)
    assert run['sets']['Set14'] == run['sets']['Set5']
    args.gt_size, args.amp, args.kernels, args.images = 32, None, 3, 3
    equal_terms.test(report['networks']['tiny'], 0, args)
    result = json.loads(Path('results/toy/Set14/toy_tiny_seed0.json').read_text())
    assert len({record['image'] for record in result['images']}) == 3 and len(result['groups']) == 3

    trained, train = [], equal_terms.train
    monkeypatch.setattr(equal_terms, 'train', lambda *args: trained.append(args[1]) or train(*args))
    assert start(*arguments)['runs'] == [run] and not trained
    before = Path('toy.json').read_bytes()
    Path('other/Set5').mkdir(parents=True)
    for changes in (['--kernels', '3'], ['--images', '3'], ['--benchmark', 'other'], ['--benchmark', 'none']):
        with pytest.raises(SystemExit):
            start(*arguments, *changes)
        assert re.search(r'toy.json holds results of|expected Set5.* in none', capsys.readouterr().err)
    assert Path('toy.json').read_bytes() == before

    runs = start(*arguments, '--seeds', '0', '1')['runs']
    assert trained == [1] and runs[0] == run and runs[1]['curve'] != runs[0]['curve']
    capsys.readouterr()
    start('--cpu-minutes', '2')  # only the table
    table = capsys.readouterr().out.splitlines()
    psnr = [run['sets']['Set14']['psnr'] for run in runs]
    assert len(table) == 3 and f'| {sum(psnr) / 2:.2f} (±{abs(psnr[0] - psnr[1]) / 2:.2f}) / ' in table[-1]


def test_without_networks_there_is_a_table_to_be_made(start, monkeypatch, capsys):
    """By default from the user's own runs: the published ones are not continued by accident."""
    monkeypatch.setattr(sys, 'argv', ['equal_terms.py'])
    with pytest.raises(SystemExit):
        equal_terms.main()
    assert 'there is no results/equal_terms.json to make a table from' in capsys.readouterr().err


def test_processor_time_is_of_all_starts_of_a_run(args, tmp_path, monkeypatch):
    """Interrupted after a minute, failed after another, ended after a third."""
    monkeypatch.chdir(tmp_path)
    folder, clock, ends = Path('experiments/toy_EDSR_seed0'), [100.0], [KeyboardInterrupt(), 1, 0]

    def life(*_, **__):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'validations.jsonl').touch()
        clock[0] += 60
        end = ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        return SimpleNamespace(returncode=end)

    monkeypatch.setattr(equal_terms.subprocess, 'run', life)
    used = lambda who: SimpleNamespace(ru_utime=clock[0], ru_stime=7.0)  # noqa: E731
    monkeypatch.setattr(equal_terms.resource, 'getrusage', used)
    network = {**equal_terms.read_network('EDSR=4e-4'), 'iterations': 8}
    for error in (KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            equal_terms.train(network, 0, args)
    assert equal_terms.train(network, 0, args)['cpu_minutes'] == 3


@pytest.fixture
def args():
    return SimpleNamespace(
        data=Path('photos.lmdb'),
        benchmark=Path('benchmark'),
        out=Path('toy.json'),
        cpu_minutes=1.0,
        rounds=3,
        batch=2,
        gt_size=192,
        ema_decay=0.99,
        amp='bf16',
    )


@pytest.mark.parametrize('name', ['EDSR', 'RCAN-S', 'SwinIR-light', 'RRDBNet-S'])
def test_terms_are_the_same_but_for_what_is_a_network_s_own(name, args):
    both = [equal_terms.read_network(text) for text in ('LabNet-S=1e-3', f'{name}=2e-4')]
    options = [equal_terms.training_options(network, args, seed=5, iterations=700) for network in both]
    own = [(opt.pop('name'), opt.pop('network_g')['type'], opt['train']['optim_g'].pop('lr')) for opt in options]
    assert own[0] == ('toy_LabNet-S_seed5', 'LabNet', 1e-3) and own[1][::2] == (f'toy_{name}_seed5', 2e-4)
    assert options[0] == options[1]
    assert options[0]['train']['scheduler']['periods'] == [700] and options[0]['train']['amp'] == 'bf16'


def test_a_busy_machine_favours_nobody(monkeypatch, args):
    clock, busy = [0.0], 1.0
    quiet = {'first': 1.0, 'second': 3.0, 'third': 0.5}

    def training_step(network, _):
        def step(_):
            clock[0] += busy * quiet[network['label']]

        return step, 7

    monkeypatch.setattr(equal_terms.time, 'process_time', lambda: clock[0])
    monkeypatch.setattr(equal_terms, 'training_step', training_step)
    networks, known = [{'label': label} for label in quiet], {}
    equal_terms.plan(networks[:2], known, args)
    busy = 1.7
    equal_terms.plan(networks, known, args)
    assert [known[label]['step_cpu_seconds'] for label in quiet] == pytest.approx(list(quiet.values()), abs=1e-4)
    assert [known[label]['iterations'] for label in quiet] == [60, 20, 120]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['EDSR'], 'expected NAME=RATE, such as EDSR=4e-4, got .EDSR.'),
        (['EDSR=4e-4', '--batch', '4'], 'holds runs on other terms.*name another --out'),
        (['EDSR=2e-4'], 'holds another EDSR.*give it another label'),
    ],
)
def test_what_does_not_belong_together_is_refused(start, photo_folder, capsys, arguments, message):
    terms = {'data': str(photo_folder), 'cpu_minutes': 16.0, 'batch': 2, 'gt_size': 32, 'ema_decay': 0.99, 'amp': None}
    edsr = equal_terms.read_network('EDSR=4e-4')
    Path('toy.json').write_text(json.dumps({'terms': terms, 'networks': {'EDSR': edsr}, 'runs': []}))
    with pytest.raises(SystemExit):
        start(*arguments)
    assert re.search(message, capsys.readouterr().err)
