"""Checkpoint files: whole or not at all, and never executed."""

import contextlib
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from stea_arch.weights import files
from stea_arch.weights.files import (
    CheckpointNotWritten,
    read_checkpoint,
    unwrap_state_dict,
    write_checkpoint,
    write_safetensors,
)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('writer', ['torch', 'pickle'])
def test_code_is_refused_and_not_executed(tmp_path, writer):
    file, trace = tmp_path / 'net.pth', tmp_path / 'executed'
    content = {'params': Bomb(trace)}
    if writer == 'torch':
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=r'net\.pth is refused: expected .* plain values.*could execute code'):
        read_checkpoint(file)
    assert not trace.exists()


@pytest.mark.parametrize('content', [b'', b'hello', b'PK\x03\x04' + b'x' * 50])
def test_a_damaged_file_is_named(tmp_path, content):
    file = tmp_path / 'net.pth'
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r'net\.pth (could not be read as a checkpoint|is refused)'):
        read_checkpoint(file)


def test_an_image_and_a_folder_are_not_checkpoints(tmp_path):
    (tmp_path / 'photo.png').write_bytes(b'\x89PNG\r\n\x1a\n' + bytes(50))
    with pytest.raises(ValueError, match=r'photo\.png is not a checkpoint: expected'):
        read_checkpoint(tmp_path / 'photo.png')
    with pytest.raises(ValueError, match='is a folder, expected a file of weights'):
        read_checkpoint(tmp_path)


def test_safetensors_are_read(tmp_path):
    save_file({'w': torch.arange(3.0)}, tmp_path / 'net.safetensors')
    assert read_checkpoint(tmp_path / 'net.safetensors')['w'].tolist() == [0, 1, 2]
    (tmp_path / 'net.safetensors').write_bytes(b'hello, this is not a header')
    with pytest.raises(ValueError, match=r'net\.safetensors could not be read'):
        read_checkpoint(tmp_path / 'net.safetensors')


def test_half_a_file_is_named(tmp_path):
    file = tmp_path / 'net.pth'
    torch.save({'a': torch.ones(1000)}, file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match='damaged, cut short'):
        read_checkpoint(file)


def test_a_missing_file_is_named_with_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f'Checkpoint nowhere.pth does not exist .*{tmp_path}'):
        read_checkpoint('nowhere.pth')


def test_a_write_that_dies_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / '1.state'
    write_checkpoint({'iter': 1}, file)

    def die(content, handle):
        handle.write(b'half')
        raise OSError('No space left on device')

    monkeypatch.setattr(files.torch, 'save', die)
    with pytest.raises(CheckpointNotWritten, match=r'1\.state could not be saved: No space left.*MB are free.*intact'):
        write_checkpoint({'iter': 2}, file)
    assert read_checkpoint(file) == {'iter': 1}
    assert [p.name for p in tmp_path.iterdir()] == ['1.state']


def test_no_reader_sees_a_file_before_it_is_whole(tmp_path, monkeypatch):
    seen = []
    real_save = torch.save

    def save(content, handle):
        real_save(content, handle)
        seen.extend(p.name for p in tmp_path.glob('*.state'))

    monkeypatch.setattr(files.torch, 'save', save)
    write_checkpoint({'iter': 1}, tmp_path / '1.state')
    assert seen == []
    assert (tmp_path / '1.state').is_file()


@pytest.mark.parametrize(
    ('content', 'key', 'expected'),
    [
        ({'params': {'w': torch.tensor(1)}, 'params_ema': {'w': torch.tensor(2)}}, 'params', 1),
        ({'params': {'w': torch.tensor(1)}, 'params_ema': {'w': torch.tensor(2)}}, 'params_ema', 2),
        ({'params': {'w': torch.tensor(1)}}, 'params_ema', 1),
        ({'params_ema': {'w': torch.tensor(2)}}, 'params', 2),
        ({'w': torch.tensor(3)}, 'params', 3),
        ({'module.w': torch.tensor(4)}, 'params', 4),
        ({'params': {'module.w': torch.tensor(5)}}, None, 5),
    ],
)
def test_unwrap(content, key, expected):
    assert unwrap_state_dict(content, key) == {'w': torch.tensor(expected)}


def test_only_known_entries_are_asked_for():
    with pytest.raises(ValueError, match=r"param_key must be params or params_ema, got 'params_emma'"):
        unwrap_state_dict({'params': {'w': 1}}, 'params_emma')


def test_others_may_read_what_is_written(tmp_path):
    (tmp_path / 'plain').write_bytes(b'')
    write_safetensors({'w': torch.arange(3.0)}, tmp_path / 'net.safetensors', 'LabNet', {})
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ('plain', 'net.safetensors')]
    assert modes[0] == modes[1]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'params': {'w': 1}}, "got a int as 'w'"),
        ({'params': {3: torch.zeros(1)}}, 'got a Tensor as 3'),
        ({'epoch': 4, 'optimizers': []}, "got a int as 'epoch'.*training state"),
        ({'w': torch.zeros(3).to_sparse()}, 'w of shape .* sparse'),
        ({'w': torch.zeros(1).expand(10**12)}, r'w of shape \(1000000000000,\) is .*expanded'),
    ],
)
def test_what_are_no_plain_weights_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        unwrap_state_dict(content)


@pytest.mark.parametrize('position', range(0, 3000, 97))
def test_a_damaged_file_is_a_value_error_whatever_the_unpickler_meets(tmp_path, position):
    """In the format of old, which has no checksums: one byte is another."""
    path = tmp_path / 'old.pth'
    torch.save({'params': {f'w{i}': torch.zeros(2) for i in range(40)}}, path, _use_new_zipfile_serialization=False)
    data = bytearray(path.read_bytes())
    for value in (0, 40, 41, 82, 98, 125, 255):
        data[position] = value
        path.write_bytes(data)
        with contextlib.suppress(ValueError):
            assert isinstance(read_checkpoint(path), dict)
