"""Freed memory stays in the process until it is given back, where the C library lets us say so."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from stea_arch.system import allocator

NAMES = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'GLIBC_TUNABLES')
GLIBC = Path('/proc/self/status').exists() and hasattr(ctypes.CDLL(None), 'mallopt')
MEASURE = """
import numpy
from stea_arch.system.allocator import give_back_memory, keep_freed_memory

def resident():
    with open('/proc/self/status') as file:
        return int(next(line for line in file if line.startswith('VmRSS')).split()[1]) // 1024

def growth():
    for _ in range(2):
        blocks = [numpy.ones(4 * 2**20, 'float32') for _ in range(16)]  # 16 MiB each
        del blocks
    return resident() - start

kept = keep_freed_memory()
start = resident()
freed = growth()
give_back_memory()
print(kept, freed, resident() - start)
"""


if GLIBC:

    def test_what_is_freed_stays_until_it_is_given_back():
        """The MiB that are resident after 256 are freed, and after they are given back."""
        done = subprocess.run([sys.executable, '-c', MEASURE], capture_output=True, text=True, check=True)
        kept, freed, after = done.stdout.split()
        assert kept == 'True' and int(freed) > 240 and int(after) < 16


@pytest.mark.parametrize('name', NAMES)
def test_the_environment_has_the_last_word(monkeypatch, name):
    monkeypatch.setattr(allocator, '_of_glibc', lambda name: lambda *_: pytest.fail(f'{name} was called'))
    monkeypatch.setenv(name, 'whatever')
    assert not allocator.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(allocator.ctypes, 'CDLL', lambda name: object())
    assert not allocator.keep_freed_memory()
    allocator.give_back_memory()
