"""The command as a person uses it, on files of every kind."""

import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from stea_arch.backends import BACKENDS
from stea_arch.commands import upscale
from stea_arch.images.decode import Photo, read_photo
from stea_arch.images.encode import encode_photo
from stea_arch.upscaling.batch import plan
from stea_arch.upscaling.progress import Progress, watch
from stea_arch.upscaling.upscaler import Upscaler
from stea_arch.weights import shipped


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """in/{rgb.jpg,rgba.png,gray.tif,deep.png} in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in').mkdir()
    rng = np.random.default_rng(5)
    for name, channels, dtype in [
        ('rgb.jpg', 3, np.uint8),
        ('rgba.png', 4, np.uint8),
        ('gray.tif', 1, np.uint8),
        ('deep.png', 3, np.uint16),
    ]:
        pixels = rng.integers(0, np.iinfo(dtype).max + 1, (10, 13, channels)).astype(dtype)
        (tmp_path / 'in' / name).write_bytes(encode_photo(Photo(pixels), f'.{name.split(".")[1]}'))
    return tmp_path


@pytest.fixture
def command(checkpoint):
    return lambda *args: upscale.main([*args, '--model', checkpoint, '--device', 'cpu'])


def test_a_folder_of_every_kind(photos, command, network, capsys):
    assert command('in', '--max-memory', '4') == 0
    assert f'Wrote 4 of 4 images to {photos}/in_x2.' in capsys.readouterr().out
    upscaler = Upscaler(network, 'cpu')
    for name in ('rgba.png', 'gray.tif', 'deep.png'):
        expected = upscaler(read_photo(photos / 'in' / name).pixels)
        np.testing.assert_array_equal(read_photo(photos / 'in_x2' / name).pixels, expected)
    assert read_photo(photos / 'in_x2' / 'rgb.jpg').pixels.shape == (20, 26, 3)


def test_one_file(photos, command, capsys):
    assert command('in/rgba.png', '--scale', '1.5', '--format', 'tiff', '--alpha', 'bicubic', '--dtype', 'bf16') == 0
    assert capsys.readouterr().out == 'Wrote in/rgba_x1.5.tiff.\n'
    assert read_photo('in/rgba_x1.5.tiff').pixels.shape == (15, 20, 4)
    assert command('in/rgb.jpg', '-o', 'new/name.webp', '--compare', 'html') == 0
    assert sorted(path.name for path in (photos / 'new').iterdir()) == ['name.webp', 'name_compare.html']


def test_strength(photos, command, checkpoint, network):
    assert command('in/rgba.png', '--out', 'out/weak.png', '--strength', '0.25') == 0
    pixels = read_photo('in/rgba.png').pixels
    np.testing.assert_array_equal(read_photo('out/weak.png').pixels, Upscaler(network, 'cpu', strength=0.25)(pixels))
    assert command('in/rgba.png', '--out', 'out/same.png', '--strength', '0.25', '--base', checkpoint) == 0
    np.testing.assert_array_equal(read_photo('out/same.png').pixels, Upscaler(network, 'cpu')(pixels))


@pytest.mark.parametrize('ending', ['jpg', 'webp', 'avif', 'png'])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_quality_and_compression(photos, command, ending, dtype):
    ramp = np.linspace(0, np.iinfo(dtype).max, 40 * 40 * 3).astype(dtype).reshape(40, 40, 3)
    (photos / 'ramp.png').write_bytes(encode_photo(Photo(ramp), '.png'))
    sizes = []
    for settings in (
        [('--quality', '30'), ('--quality', '98')]
        if ending != 'png'
        else [('--compression', '9'), ('--compression', '0')]
    ):
        assert command('ramp.png', '--out', f'out/a.{ending}', *settings) == 0
        sizes.append((photos / 'out' / f'a.{ending}').stat().st_size)
    assert sizes[0] < sizes[1]


def test_the_shipped_models_are_listed(capsys):
    with pytest.raises(SystemExit, match='0'):
        upscale.main(['--list-models'])
    listed = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in listed} == set(shipped()) and all(len(line.split()) > 3 for line in listed)


def test_a_broken_file_is_reported_and_the_status_says_so(photos, command, capsys):
    (photos / 'in' / 'broken.png').write_bytes(b'?')
    assert command('in', '-o', 'out') == 1
    printed = capsys.readouterr()
    assert 'Wrote 4 of 5 images to out.' in printed.out
    assert '1 failed:\n  in/broken.png: not readable as PNG, JPEG, WebP, AVIF, TIFF or BMP' in printed.err


def test_a_stopped_run_goes_on(photos, command, capsys):
    (photos / 'out').mkdir()
    (photos / 'out' / 'rgba.png').write_bytes(b'from before')
    assert command('in', '-o', 'out', '--skip-existing') == 0
    assert (photos / 'out' / 'rgba.png').read_bytes() == b'from before'
    assert capsys.readouterr().out.endswith('Wrote 3 of 4 images to out. 1 were there already.\n')
    assert command('in', '-o', 'out', '--skip-existing', '--compare', 'png') == 0
    assert '4 were there already.\n4 that were there have no comparison: it is' in capsys.readouterr().out
    assert command('in', '-o', 'out') == 0  # without the flag it is made anew
    assert read_photo(photos / 'out' / 'rgba.png').pixels.shape == (20, 26, 4)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['none.png'], r'no image under none\.png'),
        (['in', '-o', 'in'], r'would replace the input in/'),
        (['in', '--base', 'labnet-s-x4'], r'--base needs --strength'),
        (['in', '--base', 'none', '--strength', '0.5'], r'none is neither a file .* nor one of the shipped networks'),
        (['in', '--device', 'cuda:99'], r'device cuda:99 cannot be used'),
        (['in', '--model', 'labnet-xxl'], r'labnet-xxl is neither a file .* nor one of the shipped networks'),
    ],
)
def test_what_is_wrong_is_said_in_one_paragraph(photos, checkpoint, capsys, args, message):
    assert upscale.main(['--model', checkpoint, *args]) == 2
    error = capsys.readouterr().err
    assert re.match(f'stea-upscale: .*{message}', error)
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    'args',
    [
        ['--scale', '0'],
        ['--format', 'gif'],
        ['--max-memory', 'much'],
        ['--quality', '0'],
        ['--strength', '2'],
        ['--compression', '10'],
        ['--tile', '400'],
        [],
    ],
)
def test_wrong_flags_end_with_the_usage(capsys, args):
    with pytest.raises(SystemExit, match='2'):
        upscale.main([*(['a.png'] if args else []), *args])
    error = capsys.readouterr().err
    assert 'usage: stea-upscale' in error and 'invalid _' not in error
    assert '--tile' not in args or 'computed in strips' in error


def test_an_interruption_is_no_traceback(photos, command, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Upscaler, '__call__', interrupt)
    assert command('in') == 130
    assert '--skip-existing continues' in capsys.readouterr().err


def test_the_work_adds_up_to_the_pixels_of_the_image(network):
    counted = []
    handles = watch(network, counted.append)
    assert counted == []
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 128))
        assert sum(counted) == pytest.approx(64 * 128, rel=0.01)
        assert len(counted) > 100
        for handle in handles:
            handle.remove()
        network(torch.zeros(1, 3, 8, 8))
    assert sum(counted) == pytest.approx(64 * 128, rel=0.01)


def test_the_bar_moves_within_images_and_ends_full(photos, network, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, 'stderr', Terminal())
    paths = [photos / 'in' / name for name in ('deep.png', 'rgb.jpg')]
    Image.new('RGB', (8, 8)).save(paths[0])
    jobs = plan(dict.fromkeys(paths))
    upscale, seen = Upscaler(network, 'cpu'), []
    progress = Progress(jobs, upscale.network)
    for job in jobs:
        upscale(read_photo(job.source).pixels)
        seen.append(progress.bar.n)
        progress.done(job)
    progress.close()
    assert progress.bar.n == progress.bar.total == 8 * 8 + 10 * 13
    assert seen == pytest.approx([64, 194], rel=0.3)
    assert '2/2 rgb.jpg' in sys.stderr.getvalue() and ', left ' in sys.stderr.getvalue()


@pytest.mark.parametrize('compare', ['png', 'html'])
def test_names_that_a_console_cannot_print(tmp_path, checkpoint, compare):
    """The work is done, and the status says so."""
    names = [os.fsdecode(name) for name in ('日本.png', b'no\xfftext.png', 'two\nlines.png')]
    for name in names:
        Image.new('RGB', (8, 8)).save(tmp_path / 'in.png')
        (tmp_path / 'in.png').rename(tmp_path / name)
    command = [sys.executable, '-m', 'stea_arch.commands.upscale', *names, '--model', checkpoint, '--compare', compare]
    env = {**os.environ, 'PYTHONIOENCODING': 'cp1252'}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 9


def test_a_backend_that_computes_something_else_ends_in_a_paragraph(photos, command, monkeypatch, capsys):
    monkeypatch.setitem(BACKENDS, 'openvino', lambda net, *_: lambda lq: net(lq) + 1)
    assert command('in/rgb.jpg', '--backend', 'openvino') == 2
    assert capsys.readouterr().err.startswith('stea-upscale: The backend openvino is refused')
