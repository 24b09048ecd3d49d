"""A short run of the fuzzing, and that it finds what it looks for."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmarks'))
import fuzz_images


def test_a_short_run_finds_nothing():
    ends, findings = fuzz_images.run(seed=7, cases=120)
    assert findings == []
    assert ends['pixels'] > 5 and ends['refused'] > 50


def test_a_reader_that_fails_is_found(monkeypatch):
    def fail(data):
        raise TypeError('a decoder of its own mind')

    monkeypatch.setattr(fuzz_images, 'decode_photo', fail)
    ends, findings = fuzz_images.run(seed=3, cases=2)
    assert ends == {'finding': 2} and all('TypeError: a decoder of its own mind' in line for line in findings)
    first, second = (fuzz_images.damage(np.random.default_rng(3), fuzz_images.sound_files()) for _ in range(2))
    assert first == second
