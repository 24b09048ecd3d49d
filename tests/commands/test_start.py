"""How programs begin: nothing heavy before the arguments are read, threads that wait passively, an end on Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSOLE = re.findall(r"'stea-\w+=([\w.]+):main'", (ROOT / 'setup.py').read_text())
ENTRIES = [*CONSOLE, 'stea_arch.train', 'stea_arch.test', 'stea_arch.options.__main__']

# runs a module's main, and says when torch is about to be loaded
PROBE = """
import importlib, os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'cv2', 'numpy'):
            print('loads', name, 'OMP_WAIT_POLICY =', os.environ.get('OMP_WAIT_POLICY'), flush=True)
            os._exit(99)

sys.meta_path.insert(0, Watch())
module, *sys.argv[1:] = sys.argv[1:]
sys.exit(importlib.import_module(module).main())
"""


def start(module, *arguments, **environment):
    env = {name: value for name, value in os.environ.items() if not re.match('OMP_|GOMP_|KMP_', name)}
    env = {**env, 'PYTHONPATH': str(ROOT), **environment}
    command = [sys.executable, '-c', PROBE, module, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)


def test_every_console_command_is_looked_at():
    assert len(CONSOLE) >= 7 and 'data_prep.cli' in CONSOLE


@pytest.mark.parametrize('module', [*ENTRIES, 'stea_arch.commands.contact_sheet'])
@pytest.mark.parametrize('arguments', [['--help'], ['--no-such-option']])
def test_nothing_heavy_is_loaded_to_read_arguments(module, arguments):
    done = start(module, *arguments)
    assert 'OMP_WAIT_POLICY =' not in done.stdout, done.stdout
    assert done.returncode == (0 if arguments == ['--help'] else 2), done.stderr
    assert 'usage:' in done.stdout + done.stderr


@pytest.mark.parametrize('module', ['stea_arch.train', 'stea_arch.test', 'stea_arch.commands.compare'])
def test_a_file_that_is_no_option_file_is_refused_before_anything_heavy_is_loaded(module, tmp_path):
    (tmp_path / 'bad.yml').write_text('a: [1\nb: 2')
    for name, message in (('none.yml', 'there is no option file'), ('bad.yml', 'line 2')):
        done = start(module, '-opt', str(tmp_path / name))
        assert done.returncode == 2 and message in done.stderr and 'Traceback' not in done.stderr, done
        assert 'OMP_WAIT_POLICY =' not in done.stdout


ENOUGH = {  # arguments with which each entry goes on to load PyTorch
    'stea_arch.commands.train': ['-opt', 'plain.yml'],
    'stea_arch.commands.test': ['-opt', 'plain.yml'],
    'stea_arch.train': ['-opt', 'plain.yml'],
    'stea_arch.test': ['-opt', 'plain.yml'],
    'stea_arch.options.__main__': ['plain.yml'],
    'stea_arch.commands.compare': ['-opt', 'plain.yml'],
    'stea_arch.commands.page': [],
    'stea_arch.commands.export': ['safetensors', 'labnet-s-x4', 'out.safetensors'],
    'stea_arch.commands.upscale': ['plain.png'],
    'data_prep.cli': ['check', '.'],
}


@pytest.mark.parametrize(
    ('module', 'said', 'expected'),
    [
        *((entry, {}, 'passive') for entry in ENTRIES if entry != 'stea_arch.commands.options'),
        ('stea_arch.train', {'OMP_WAIT_POLICY': 'active'}, 'active'),
        ('stea_arch.train', {'GOMP_SPINCOUNT': '9'}, None),
    ],
)
def test_threads_wait_passively_unless_the_user_says_how(module, said, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'plain.yml').write_text('name: x')
    (tmp_path / 'plain.png').write_bytes(b'')
    done = start(module, *ENOUGH[module], **said)
    assert done.returncode == 99 and f'OMP_WAIT_POLICY = {expected}\n' in done.stdout, done


@pytest.mark.parametrize('package', ['torch', 'basicsr.metrics'])
@pytest.mark.parametrize('module', ['stea_arch.train', 'stea_arch.commands.compare'])
def test_an_interruption_while_modules_load_is_no_traceback(module, package, tmp_path):
    (tmp_path / 'plain.yml').write_text('name: x')
    interrupted = PROBE.replace("name.partition('.')[0] in ('torch', 'cv2', 'numpy')", f'name == {package!r}')
    interrupted = interrupted.replace('os._exit(99)', 'os.kill(os.getpid(), 2)')
    done = subprocess.run(
        [sys.executable, '-c', interrupted, module, '-opt', 'plain.yml'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    assert 'loads' in done.stdout
    assert done.returncode == 130 and 'Interrupted' in done.stderr and 'Traceback' not in done.stderr, done.stderr


@pytest.mark.parametrize('module', [entry for entry in CONSOLE if entry != 'data_prep.cli'])
def test_an_interruption_before_anything_is_read_is_quiet(module):
    interrupted = PROBE.replace("name.partition('.')[0] in ('torch', 'cv2', 'numpy')", "name == 'argparse'")
    done = subprocess.run(
        [sys.executable, '-c', interrupted.replace('os._exit(99)', 'os.kill(os.getpid(), 2)'), module],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert 'loads argparse' in done.stdout and (done.returncode, done.stderr) == (130, ''), done
