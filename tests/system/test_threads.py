"""The number of threads follows what other programs leave of the cores."""

import math
import subprocess
import sys
from collections import namedtuple

import psutil
import pytest
import torch

from stea_arch.system import threads


@pytest.fixture
def eight_cores(monkeypatch):
    """Eight cores of which others use a given number, and torch's threads as they are set."""
    number = [8]
    monkeypatch.setattr(torch, 'get_num_threads', lambda: number[0])
    monkeypatch.setattr(torch, 'set_num_threads', lambda new: number.__setitem__(0, new))
    monkeypatch.setattr(threads, '_cores', lambda: range(8))
    monkeypatch.setattr(threads, 'QUOTA', threads.QUOTA / 'nothing')
    monkeypatch.setattr(threads, '_before', (-10.0, 100.0, 1.0))

    def use(others, own=0.5):  # cores, over ten seconds
        monkeypatch.setattr(threads, '_reading', lambda: (0.0, 100 + 10 * (others + own), 1 + 10 * own))
        return number

    return use


@pytest.mark.parametrize(('others', 'expected'), [(0, 8), (0.4, 8), (1, 7), (4.6, 3), (7.9, 1), (8, 1)])
def test_as_many_threads_as_cores_are_left(others, expected, eight_cores, capsys):
    number = eight_cores(others)
    threads.choose_threads()
    assert number == [expected]
    said = capsys.readouterr().err
    assert said == '' if expected == 8 else f'{expected} of 8 threads: other programs use {others:.1f}' in said


@pytest.mark.parametrize(('content', 'expected'), [('200000 100000', 2), ('max 100000', 8), ('5000 100000', 1)])
def test_no_more_threads_than_a_container_may_use(content, expected, eight_cores, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(threads, 'QUOTA', tmp_path / 'cpu.max')
    (tmp_path / 'cpu.max').write_text(content + '\n')
    number = eight_cores(0)
    threads.choose_threads()
    assert number == [expected] and (expected == 8 or f'container may use {expected}' in capsys.readouterr().err)


def test_the_number_is_the_environments_where_it_says_one(eight_cores, monkeypatch):
    number = eight_cores(8)
    monkeypatch.setattr(threads, '_before', None)
    monkeypatch.setenv('OMP_NUM_THREADS', '8')
    threads.watch_cores()
    threads.choose_threads()
    assert number == [8]


@pytest.mark.parametrize(
    ('saved', 'expected', 'words'),
    [(None, 8, None), (8, 8, None), (2, 2, 'with 2 threads'), (16, 8, 'saved with 16 threads, and this run has 8')],
)
def test_a_resumed_run_has_the_threads_it_began_with(saved, expected, words, eight_cores):
    number = eight_cores(0)
    said = threads.continue_with_threads(saved)
    assert number == [expected] and (said is None if words is None else words in said)


def test_one_thread_beside_busy_cores(monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    loops = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in threads._cores()]
    code = (
        'from stea_arch.system import threads\nthreads.watch_cores()\nimport torch\nthreads.choose_threads()\n'
        'print(torch.get_num_threads())'
    )
    try:
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    assert done.stdout == '1\n'


@pytest.mark.parametrize(('ours', 'busy'), [({0, 2}, 3.0), ({2}, 2.0), ({0, 1}, math.nan)])
def test_cores_are_known_by_their_numbers(monkeypatch, tmp_path, ours, busy):
    """Core 1 is off, or is not the container's: times are listed without it."""
    (tmp_path / 'stat').write_text('cpu  3 0 0 99 0\ncpu0 1 0 0 99 0\ncpu2 2 0 0 99 0\nintr 5\n')
    times = namedtuple('scputimes', ('user', 'idle', 'guest'))
    monkeypatch.setattr(psutil, 'cpu_times', lambda percpu: [times(1.0, 99.0, 0.0), times(2.0, 99.0, 0.0)])
    monkeypatch.setattr(threads, 'STAT', tmp_path / 'stat')
    monkeypatch.setattr(threads, '_cores', lambda: ours)
    reading = threads._reading()
    assert reading[1] == pytest.approx(busy, nan_ok=True)
    assert threads._used_by_others((reading[0] - 1, *reading[1:]), reading) == 0
