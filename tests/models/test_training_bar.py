import gc
import io
import logging
import re
import threading
import time

import pytest
import torch
from waiting import wait_until

from stea_arch import train
from stea_arch.models import progress
from stea_arch.models.progress import Heartbeat, TrainingBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ('stream', 'pbar', 'rank', 'shown'),
    [
        (Terminal(), True, 0, True),
        (Terminal(), False, 0, False),
        (Terminal(), True, 1, False),
        (io.StringIO(), True, 0, False),
    ],
)
def test_a_bar_is_for_the_terminal_of_the_first_process(stream, pbar, rank, shown, monkeypatch):
    monkeypatch.setattr('sys.stderr', stream)
    bar = TrainingBar({'logger': {'pbar': pbar}, 'rank': rank, 'train': {'total_iter': 2}, 'name': 'run'})
    for iteration in (1, 2):
        bar.update(iteration, {'l_pix': torch.tensor(0.25), 'grad_norm': torch.tensor(3.0)})
    text = stream.getvalue()
    assert ('run: 100%' in text and '2/2' in text and 'l_pix=0.2500' in text) if shown else text == ''


@pytest.fixture
def lines():
    """What is logged, with the time of each line."""
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    level = progress.LOGGER.level
    progress.LOGGER.setLevel(logging.INFO)
    progress.LOGGER.addHandler(handler)
    yield found
    progress.LOGGER.removeHandler(handler)
    progress.LOGGER.setLevel(level)


def test_a_silent_training_says_how_far_it_is_and_when_it_will_be_done(lines):
    heartbeat = Heartbeat(total=1000, every=0.05)
    wait_until(lambda: 'Heartbeat: no step of 1,000 is done yet.' in lines)
    now = time.monotonic()
    heartbeat.first, heartbeat.last = (100, now - 30), (160, now)  # 60 steps in half a minute
    wait_until(lambda: any(re.search('160 of 1,000', line) for line in lines))
    assert 'Heartbeat: 160 of 1,000 steps done, 0.50 s a step, about 0:07:00 left.' in [
        line.replace(', the last of them 0:00:00 ago', '') for line in lines
    ]
    heartbeat.last = (160, now - 3600)  # then none for an hour
    wait_until(lambda: any('160 of 1,000 steps done, the last of them 1:00:00 ago' in line for line in lines))


def test_a_log_that_speaks_needs_no_heartbeat_and_one_that_ended_has_none(lines):
    heartbeat = Heartbeat(total=10, every=2)
    start = time.monotonic()
    while time.monotonic() < start + 4.5:
        progress.LOGGER.info('a line of its own')
        time.sleep(0.02)
    assert set(lines) == {'a line of its own'}
    handlers, watching = len(progress.LOGGER.handlers), watchers()
    assert watching
    del heartbeat
    gc.collect()
    wait_until(lambda: len(watchers()) < len(watching) and len(progress.LOGGER.handlers) < handlers)


def watchers():
    """The threads of heartbeats, by the name that the standard library gives them."""
    return [thread for thread in threading.enumerate() if '_watch' in thread.name]


def test_a_training_without_a_terminal_is_heard_while_it_validates(tiny_options, run_main, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, 'HEARTBEAT', 0.2)
    monkeypatch.setattr('stea_arch.models.labnet_model.LabNetModel.nondist_validation', lambda *_: time.sleep(1))
    options = tiny_options({'logger': {'print_freq': 1}, 'train': {'total_iter': 5}})
    before = watchers()
    run_main(train.main, options)
    (log,) = (tmp_path / 'experiments/tiny').glob('train_*.log')
    assert re.search(r'Heartbeat: 4 of 5 steps done, .* about 0:00:0\d left\.', log.read_text())
    assert '-1 day' not in log.read_text() and '[eta: 0:00:00, ' in log.read_text().split('iter:       5')[1]
    wait_until(lambda: set(watchers()) <= set(before))  # it is not heard beyond its end
