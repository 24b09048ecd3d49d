"""No file is ever half-written, and none that is stays."""

import os
import platform
import subprocess
import sys

import pytest

from stea_arch.system.files import remove_partials, whole_or_nothing

KILLED = """
import os, sys
from stea_arch.system.files import whole_or_nothing
with whole_or_nothing(sys.argv[1]) as partial:
    partial.write_bytes(b'half')
    os._exit(9)
"""


def test_what_a_dead_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    subprocess.run([sys.executable, '-c', KILLED, str(tmp_path / 'net_g_4.pth')], check=False)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b'half' and left.name[0] == '.'
    name, machine, process, ending = left.name[1:].split('.')
    living = tmp_path / f'.{name}.{machine}.{os.getppid()}.{ending}'
    elsewhere = tmp_path / f'.{name}.{machine[::-1]}.{process}.{ending}'
    for file in (living, elsewhere):
        file.write_bytes(b'')
    remove_partials.cache_clear()
    with whole_or_nothing(tmp_path / 'net_g_8.pth') as partial:
        partial.write_bytes(b'whole')
    assert sorted(tmp_path.iterdir()) == sorted([living, elsewhere, tmp_path / 'net_g_8.pth'])


def test_the_longest_name_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, 'node', lambda: 'build-worker-17.example.com')
    with whole_or_nothing(tmp_path / ('n' * 255)) as partial:  # what file systems take
        partial.write_bytes(b'whole')
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_a_full_disk_leaves_what_was_there(small_disk):
    with small_disk(200_000) as disk:
        with whole_or_nothing(disk / 'page.html') as partial:
            partial.write_bytes(b'old')
        with pytest.raises(OSError), whole_or_nothing(disk / 'page.html') as partial:
            partial.write_bytes(bytes(300_000))
        assert (disk / 'page.html').read_bytes() == b'old' and len(list(disk.iterdir())) == 1
