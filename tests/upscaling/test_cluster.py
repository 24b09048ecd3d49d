"""Files shared out by a real Ray on this machine: two workers, one of which is killed at work."""

import functools
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import ray
from PIL import Image
from skimage import data

from stea_arch.commands.upscale import main
from stea_arch.images.decode import read_photo
from stea_arch.upscaling import batch, cluster
from stea_arch.upscaling.upscaler import Upscaler


ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # for workers, which cannot import it


@pytest.fixture(autouse=True)
def two_workers(monkeypatch, tmp_path):
    monkeypatch.setattr(ray, 'init', functools.partial(ray.init, num_cpus=2, include_dashboard=False))
    monkeypatch.chdir(tmp_path)


class Mortal(cluster.Worker):
    """Notes what it begins, and is killed once, when it has read c.png and would upscale it."""

    def run(self, job, settings):
        folder, upscaler = job.source.parents[1], self.upscaler
        with open(folder / 'begun.txt', 'a') as file:
            print(job.source.name, file=file)
        if job.source.name == 'c.png' and not (folder / 'killed').exists():
            (folder / 'killed').touch()
            self.upscaler = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        return super().run(job, settings)


def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(tmp_path, monkeypatch):
    (tmp_path / 'photos').mkdir()
    for number, letter in enumerate('abcdef'):
        Image.fromarray(data.astronaut()[90 + number : 108, 200:224]).save(f'photos/{letter}.png')
    (tmp_path / 'photos/damaged.jpg').write_bytes(b'\xff\xd8 nothing')
    images = batch.find_images(['photos'])
    here, there = (batch.plan(images, out) for out in ('here', 'there'))
    failed = batch.run(here, Upscaler('labnet-s-x4'))

    finished, warnings = [], []
    monkeypatch.setattr(cluster, 'Worker', Mortal)
    arguments = {'model': 'labnet-s-x4', 'device': 'cpu'}
    failed_there = cluster.run(there, 'local', arguments, 4, finished.append, lambda *said: warnings.append(said))
    assert [path.name for path, _ in failed] == ['damaged.jpg'] and failed_there == failed
    assert warnings == [(Path('photos/c.png'), 'its worker was lost; another one takes it')]
    names = [path.name for path in images]
    assert sorted(job.source.name for job in finished) == sorted(names)
    assert sorted((tmp_path / 'begun.txt').read_text().split()) == sorted([*names, 'c.png'])
    assert sorted(path.name for path in (tmp_path / 'there').iterdir()) == sorted(
        f'{letter}.png' for letter in 'abcdef'
    )
    for one, other in zip(here[:6], there[:6], strict=True):
        np.testing.assert_allclose(read_photo(other.target).pixels, read_photo(one.target).pixels, atol=1)


def test_the_command_names_what_is_missing(monkeypatch, capsys):
    Image.new('RGB', (8, 8)).save('a.png')
    assert main(['a.png', '--ray', '127.0.0.1:1']) == 2
    assert 'No cluster of Ray was found at 127.0.0.1:1' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'ray', None)
    assert main(['a.png', '--ray', 'local']) == 2
    assert "pip install 'stea_arch[ray]'" in capsys.readouterr().err
