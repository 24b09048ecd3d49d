import io

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from stea_arch.degradations.pair_pool import PairPool


def batches(size, seed=0):
    """Endless batches whose pairs can be told apart: sample n is n everywhere in gt and -n in lq."""
    first = 2  # 1 would be an 8-bit value
    while True:
        numbers = torch.arange(first, first + size, dtype=torch.float32)
        yield -numbers.view(-1, 1, 1, 1).expand(-1, 3, 2, 2), numbers.view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
        first += size


@pytest.mark.parametrize(('queue', 'size'), [(6, 2), (6, 6), (7, 3), (5, 4), (3, 5), (1, 4), (0, 2), (180, 1)])
def test_every_pair_comes_out_at_most_once_and_stays_together(queue, size):
    pool, seen = PairPool(queue, seed=1), []
    for step, (lq, gt) in zip(range(12), batches(size)):
        out_lq, out_gt = pool.exchange(lq, gt)
        assert out_lq.shape == lq.shape and out_gt.shape == gt.shape and out_gt.is_contiguous()
        assert torch.equal(out_lq[:, 0, 0, 0], -out_gt[:, 0, 0, 0]) and (out_gt == out_gt[:, :1, :1, :1]).all()
        numbers = out_gt[:, 0, 0, 0].tolist()
        if (step + 1) * size <= queue:
            assert torch.equal(out_gt, gt)  # while it fills, batches pass
        seen += numbers
    put_in, kept = 12 * size, min(queue, 12 * size)
    inside = pool.state_dict()['tensors'][1][:, 0, 0, 0].tolist() if kept else []
    assert len(inside) == len(set(inside)) == kept
    # passed ones were stored too: each number is out, inside, or both (stored on its way through), never lost
    assert set(seen) | set(inside) == set(map(float, range(2, put_in + 2)))
    passed_while_filling = min(queue, put_in)
    assert len(seen) - len(set(seen)) <= passed_while_filling


def test_mixes_batches_evenly():
    pool, origins = PairPool(8, seed=3), []
    for step, (lq, gt) in zip(range(2004), batches(2)):
        out = pool.exchange(lq, gt)[1][:, 0, 0, 0]
        if step >= 4:
            origins += ((2 * step + 3 - out) // 2).tolist()  # how many batches ago it was put in
    # a pair leaves at each batch with probability 2 / 8, as in BasicSR's shuffled queue: a geometric law from 1 on.
    # False alarm of this test: 1e-4, were the seed not fixed.
    counts = np.bincount(np.array(origins[200:], int), minlength=13)
    law = 0.25 * 0.75 ** np.arange(11)
    expected = np.append(law, 1 - law.sum()) * counts[1:].sum()
    assert counts[0] == 0
    assert chisquare(np.append(counts[1:12], counts[12:].sum()), expected).pvalue > 1e-4


@pytest.mark.parametrize('stop', [0, 1, 2, 5])
def test_resumed_equals_unbroken(stop):
    rng = torch.Generator().manual_seed(0)
    feed = [
        (torch.randint(256, (3, 3, 2, 2), generator=rng).float() / 255, torch.rand(3, 3, 4, 4, generator=rng))
        for _ in range(9)
    ]
    unbroken = PairPool(5, seed=4)
    expected = [unbroken.exchange(*batch) for batch in feed]
    first = PairPool(5, seed=4)
    for batch in feed[:stop]:
        first.exchange(*batch)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = PairPool(5, seed=99)
    second.load_state_dict(torch.load(file, weights_only=True))
    for batch, wanted in zip(feed[stop:], expected[stop:]):
        assert all(torch.equal(one, two) for one, two in zip(second.exchange(*batch), wanted))


def test_state_is_compact_where_that_is_exact():
    pool = PairPool(10, seed=0)
    eight_bit = torch.arange(256).float().view(1, 1, 16, 16) / 255
    pool.exchange(eight_bit, eight_bit + 1e-4, eight_bit)
    state = pool.state_dict()
    assert [tensor.dtype for tensor in state['tensors']] == [torch.uint8, torch.float32, torch.uint8]
    assert all(len(tensor) == 1 for tensor in state['tensors'])  # what is filled, not the whole queue


def test_further_tensors_go_with_their_pair():
    pool = PairPool(4, seed=0)
    for lq, gt in [batch for batch, _ in zip(batches(2), range(10))]:
        out = pool.exchange(lq, gt, lq * 2, lq * 3)
        assert torch.equal(out[2], out[0] * 2) and torch.equal(out[3], out[0] * 3)


def test_returned_batches_are_not_the_pools_memory():
    pool = PairPool(2, seed=0)
    feed = batches(2)
    pool.exchange(*next(feed))
    out = pool.exchange(*next(feed))
    before = [tensor.clone() for tensor in out]
    for _ in range(3):
        for tensor in pool.exchange(*next(feed)):
            tensor.zero_()
    assert all(torch.equal(one, two) for one, two in zip(out, before))
    assert all((tensor != 0).all() for tensor in pool.state_dict()['tensors'])


def test_global_randomness_is_not_touched():
    state = torch.get_rng_state()
    pool = PairPool(2, seed=0)
    for batch, _ in zip(batches(2), range(3)):
        pool.exchange(*batch)
    assert torch.equal(torch.get_rng_state(), state)


def test_refuses():
    for wrong in (-1, 2.5, None, True):
        with pytest.raises(ValueError, match='queue_size must be a whole number of pairs, at least 0'):
            PairPool(wrong, seed=0)
    pool = PairPool(4, seed=0)
    pool.exchange(torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r'holds samples of shapes \[\(3, 2, 2\), \(3, 4, 4\)\], got those of shapes'):
        pool.exchange(torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match=r'all of the same length, got those of lengths \[2, 3\]'):
        pool.exchange(torch.zeros(2, 3, 2, 2), torch.zeros(3, 3, 4, 4))
    with pytest.raises(ValueError, match='a pool of queue_size 4, but the option file says 6'):
        PairPool(6, seed=0).load_state_dict(pool.state_dict())
