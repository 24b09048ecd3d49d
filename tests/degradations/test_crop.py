import dataclasses
import random

import numpy as np
import pytest
import torch
from basicsr.data.transforms import paired_random_crop

from stea_arch.degradations.crop import paired_crop
from stea_arch.degradations.second_order import SecondOrderSampler


@pytest.mark.parametrize('scale', [2, 4])
def test_equals_basicsr_at_the_same_place(scale, monkeypatch):
    lq = torch.rand(2, 3, 20, 17)
    gt = torch.rand(2, 3, 20 * scale, 17 * scale)
    rng = np.random.default_rng(0)
    for _ in range(20):
        params = SecondOrderSampler(scale).draw(2, 12 * scale, rng)
        (small, same), (large,) = paired_crop([lq, lq + 1], [gt], params)
        places = iter([int(params.top * 9), int(params.left * 6)])
        monkeypatch.setattr(random, 'randint', lambda low, high, places=places: next(places))
        expected_gt, expected_lq = paired_random_crop(gt, lq, 12 * scale, scale)
        assert torch.equal(small, expected_lq) and torch.equal(large, expected_gt) and torch.equal(same, small + 1)


def test_reaches_every_place():
    lq, gt = torch.arange(30.0).view(1, 1, 5, 6), torch.zeros(1, 1, 10, 12)
    params = SecondOrderSampler(2).draw(1, 6, np.random.default_rng(0))
    ends = [
        dataclasses.replace(params, top=top, left=left)
        for top in (0.0, 0.4, 0.9999)
        for left in (0.0, 0.3, 0.6, 0.9999)
    ]
    assert {paired_crop([lq], [gt], place)[0][0][0, 0, 0, 0].item() for place in ends} == {
        row * 6 + column for row in range(3) for column in range(4)
    }


def test_refuses():
    params = SecondOrderSampler(4).draw(1, 64, np.random.default_rng(0))
    with pytest.raises(ValueError, match='Images 4 times as large as the low-quality ones of 20x20 were expected'):
        paired_crop([torch.zeros(1, 3, 20, 20)], [torch.zeros(1, 3, 80, 76)], params)
    with pytest.raises(ValueError, match=r'at least 16x16 \(gt_size 64 / scale 4\) were expected, but 12x20 came'):
        paired_crop([torch.zeros(1, 3, 12, 20)], [torch.zeros(1, 3, 48, 80)], params)
