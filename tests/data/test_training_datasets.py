"""What both training datasets promise: patches of the images, which seed and draw alone decide."""

import dataclasses
import json
import random

import cv2
import numpy as np
import pytest
import torch

from stea_arch.data.classical_dataset import ClassicalDegradationDataset
from stea_arch.data.realworld_dataset import RealWorldDataset
from stea_arch.data.sampler import Draw


def classical(root, backend='disk', **changes):
    noisy = {'kernel_type': 'anisotropic', 'kernel_noise': 0.25, 'noise_range': [1, 5]}
    opt = {'phase': 'train', 'scale': 4, 'gt_size': 48, 'use_hflip': True, 'use_rot': True, **noisy}
    return ClassicalDegradationDataset({**opt, 'dataroot_gt': str(root), 'io_backend': {'type': backend}, **changes})


def realworld(root, backend='disk', **changes):
    opt = {'phase': 'train', 'scale': 4, 'crop_pad_size': 48}
    return RealWorldDataset({**opt, 'dataroot_gt': str(root), 'io_backend': {'type': backend}, **changes})


both = pytest.mark.parametrize('make', [classical, realworld])


def equal(first, second):
    """All but the path, which a folder and an LMDB name differently."""
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) for key, value in first.items() if torch.is_tensor(value)
    )


@both
def test_crops_are_patches_of_the_image_under_all_eight_symmetries(tmp_path, make):
    img = np.arange(60 * 52, dtype=np.uint16).reshape(60, 52)
    cv2.imwrite(str(tmp_path / 'a.png'), np.stack([np.zeros_like(img), img & 255, img >> 8], -1).astype(np.uint8))
    dataset, seen, tops, lefts = make(tmp_path), set(), set(), set()
    for draw in range(150):
        gt = (dataset[Draw(0, (5, draw))]['gt'].numpy() * 255).round().astype(int)
        rows, columns = np.divmod(gt[0] * 256 + gt[1], 52)
        seen.add((rows[0, 0] < rows[-1, -1], columns[0, 0] < columns[-1, -1], rows[0, 0] == rows[0, 1]))
        tops.add(rows.min())
        lefts.add(columns.min())
        assert np.ptp(rows) == np.ptp(columns) == 47
    assert len(seen) == 8
    assert tops == set(range(13)) and lefts == set(range(5))


@both
@pytest.mark.parametrize(('flags', 'symmetries'), [((False, False), 1), ((True, False), 2), ((False, True), 4)])
def test_flips_are_switched_by_their_keys(photo_folder, make, flags, symmetries):
    dataset = make(photo_folder, use_hflip=flags[0], use_rot=flags[1])
    recipes = [dataset.recipe(Draw(0, (0, draw))) for draw in range(100)]
    assert len({(recipe.hflip, recipe.vflip, recipe.transpose) for recipe in recipes}) == symmetries


@both
@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
def test_items_depend_on_seed_and_draw_only(photo_folder, photo_lmdb, make, backend):
    dataset = make(photo_lmdb if backend == 'lmdb' else photo_folder, backend)
    draws = [Draw(number % 6, (7, number)) for number in range(12)]
    alone, reference = [dataset[draw] for draw in draws], make(photo_folder)
    assert not any(torch.equal(alone[0][key], alone[6][key]) for key in alone[0] if key in ('gt', 'lq', 'kernel1'))
    assert all(equal(item, reference[draw]) for item, draw in zip(alone, draws, strict=True))
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, sampler=draws, num_workers=workers)
        assert all(equal(first, second) for first, second in zip(alone, loader, strict=True))


@both
def test_plain_indices_are_seeded_by_torch_and_other_generators_stay(photo_folder, make):
    dataset = make(photo_folder)
    state, numpy_state = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    torch.manual_seed(11)
    first, second = dataset[0], dataset[0]
    torch.manual_seed(11)
    assert equal(first, dataset[0]) and not equal(first, second)
    assert random.getstate() == state and str(np.random.get_state()) == numpy_state  # noqa: NPY002


@both
def test_recipes_replay_through_json(photo_folder, make):
    dataset = make(photo_folder)
    item = dataset.patch if make is classical else dataset.region
    for index in range(6):
        recipe = dataset.recipe(index)
        again = type(recipe).from_dict(json.loads(json.dumps(dataclasses.asdict(recipe))))
        assert again == recipe and equal(item(recipe), item(again))
