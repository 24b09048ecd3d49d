"""A short run of the fuzzing of image files, and that it finds what it looks for."""

import random
from collections import Counter

import fuzz_images
import pytest


@pytest.fixture
def kind(tmp_path):
    return fuzz_images.Images(tmp_path)


def test_a_short_run_finds_nothing(kind):
    ends = Counter()
    for seed in range(120):
        try:
            kind.run(random.Random(seed))
            ends['pixels'] += 1
        except kind.errors as error:
            assert str(error)
            ends['refused'] += 1
    assert ends['pixels'] > 5 and ends['refused'] > 50


def test_readers_that_disagree_are_found(kind, monkeypatch):
    monkeypatch.setattr(fuzz_images, 'damage', lambda rng, files: files[0])
    kind.run(random.Random(0))

    def refuse(data, name, allow_gray):
        raise ValueError('not taken')

    monkeypatch.setattr(fuzz_images, 'decode', refuse)
    with pytest.raises(AssertionError, match='one reader takes it, the other does not'):
        kind.run(random.Random(0))
