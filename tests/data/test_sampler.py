"""The sampler against BasicSR's own, and what a draw is."""

import pickle

import pytest
from basicsr.data.data_sampler import EnlargedSampler

from stea_arch.data.sampler import Draw, ResumableSampler


@pytest.mark.parametrize('world_size', [1, 3])
@pytest.mark.parametrize('ratio', [1, 4])
@pytest.mark.parametrize('epoch', [0, 2])
def test_same_indices_as_basicsr(world_size, ratio, epoch):
    for rank in range(world_size):
        ours, theirs = (cls(range(7), world_size, rank, ratio) for cls in (ResumableSampler, EnlargedSampler))
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)
        assert list(ours) == list(theirs)
        assert len(ours) == len(theirs)


def test_every_draw_of_a_run_has_entropy_of_its_own():
    entropies = []
    for rank in range(2):
        sampler = ResumableSampler(range(5), 2, rank, ratio=3)
        sampler.seed = 11
        for epoch in range(3):
            sampler.set_epoch(epoch)
            entropies += [draw.entropy for draw in sampler]
    assert len(set(entropies)) == len(entropies) == 3 * 16
    assert {seed for seed, _ in entropies} == {11}


@pytest.mark.parametrize('position', [0, 1, 9, 10])
def test_start_in_the_middle_gives_the_rest_of_that_epoch_only(position):
    whole, resumed = ResumableSampler(range(10), 1, 0), ResumableSampler(range(10), 1, 0)
    resumed.start_at(1, position)
    for epoch, first in ((1, position), (2, 0)):
        whole.set_epoch(epoch)
        resumed.set_epoch(epoch)
        rest = list(whole)[first:]
        assert list(resumed) == rest
        assert [draw.entropy for draw in resumed] == [draw.entropy for draw in rest]


def test_a_draw_is_an_index_and_survives_pickling():
    draw = pickle.loads(pickle.dumps(Draw(3, (1, 2))))
    assert 'abcdef'[draw] == 'd'
    assert draw.entropy == (1, 2)
