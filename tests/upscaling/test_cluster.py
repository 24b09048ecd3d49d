"""Files shared out by a real Ray on this machine: two workers, one of which is killed at work."""

import functools
import os
import signal
import struct
import sys

import numpy as np
import pytest
import ray
from PIL import Image
from skimage import data

from stea_arch.commands.upscale import main
from stea_arch.images.decode import read_photo
from stea_arch.upscaling import cluster

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # for workers, which cannot import it


@pytest.fixture(autouse=True)
def two_workers(monkeypatch, tmp_path):
    monkeypatch.setattr(ray, 'init', functools.partial(ray.init, num_cpus=2, include_dashboard=False))
    monkeypatch.chdir(tmp_path)


class Mortal(cluster.Worker):
    """Notes what it begins, and is killed once, when it has read c.png and would upscale it; it fails at e.png."""

    def run(self, job, settings):
        folder = job.source.parents[1]
        with open(folder / 'begun.txt', 'a') as file:
            print(job.source.name, file=file)
        if job.source.name == 'c.png' and not (folder / 'killed').exists():
            (folder / 'killed').touch()
            self.upscaler = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        if job.source.name == 'e.png':
            struct.pack('B', 256)
        return super().run(job, settings)


def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(tmp_path, monkeypatch, capsys):
    (tmp_path / 'photos').mkdir()
    names = [f'{letter}.png' for letter in 'abcdef']
    for number, name in enumerate(names):
        Image.fromarray(data.astronaut()[90 + number : 108, 200:224]).save(f'photos/{name}')
    (tmp_path / 'photos/damaged.jpg').write_bytes(b'\xff\xd8 nothing')
    command = ['photos', '--model', 'labnet-s-x4', '--device', 'cpu', '--out']
    assert main([*command, 'here']) == 1
    said = capsys.readouterr().err.splitlines()[-2:]
    monkeypatch.setattr(cluster, 'Worker', Mortal)
    assert main([*command, 'there', '--ray', 'local']) == 1
    lines = capsys.readouterr().err.splitlines()
    assert said[0] == '1 failed:' and 'photos/damaged.jpg' in said[1]
    odd = '  photos/e.png: struct.error: ubyte format requires 0 <= number <= 255'
    assert lines[-3] == '2 failed:' and sorted(lines[-2:]) == sorted([said[1], odd])
    assert [line for line in lines if 'worker' in line] == ['photos/c.png: its worker was lost; another one takes it']
    assert sorted((tmp_path / 'begun.txt').read_text().split()) == sorted([*names, 'c.png', 'damaged.jpg'])
    names.remove('e.png')
    assert sorted(path.name for path in (tmp_path / 'there').iterdir()) == names
    for name in names:
        one, other = (read_photo(tmp_path / folder / name).pixels for folder in ('here', 'there'))
        np.testing.assert_allclose(one.astype(int), other, atol=1)


def test_the_command_names_what_is_missing(monkeypatch, capsys):
    Image.new('RGB', (8, 8)).save('a.png')
    assert main(['a.png', '--ray', '127.0.0.1:1']) == 2
    assert 'No cluster of Ray was found at 127.0.0.1:1' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'ray', None)
    assert main(['a.png', '--ray', 'local']) == 2
    assert "pip install 'stea_arch[ray]'" in capsys.readouterr().err
