import logging

import cv2
import numpy as np
import pytest
import torch
from skimage.data import astronaut

from data_prep.lmdb_writer import write_lmdb
from stea_arch.data.classical_dataset import ClassicalDegradationDataset
from stea_arch.data.loading import TrainingLoader
from stea_arch.data.realworld_dataset import RealWorldDataset
from stea_arch.data.sampler import Draw
from stea_arch.data.training_images import TrainingImages, UnreadableImages


@pytest.fixture
def folder(tmp_path):
    """Eight images of 40 x 36, each of one colour: image n is n everywhere."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for number in range(8):
        cv2.imwrite(str(folder / f'{number}.png'), np.full((40, 36, 3), number, np.uint8))
    return folder


def damage(folder, *numbers):
    """Keep the header, so that only decoding shows it."""
    for number in numbers:
        path = folder / f'{number}.png'
        path.write_bytes(path.read_bytes()[:60])


def damaged_lmdb(folder, *numbers):
    """An LMDB in which the given images are cut short."""
    import lmdb

    target = folder.parent / 'images.lmdb'
    write_lmdb([str(folder)], str(target), progress=False)
    with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
        for number in numbers:
            key = str(number).encode()
            txn.put(key, txn.get(key)[:60])
    return target


def classical(root, backend='disk', **changes):
    opt = {'phase': 'train', 'scale': 2, 'dataroot_gt': str(root), 'io_backend': {'type': backend}, 'gt_size': 32}
    return ClassicalDegradationDataset({**opt, **changes})


def realworld(root, backend='disk', **changes):
    opt = {'phase': 'train', 'scale': 2, 'dataroot_gt': str(root), 'io_backend': {'type': backend}, 'crop_pad_size': 32}
    return RealWorldDataset({**opt, **changes})


def values(items):
    return [round(item['gt'].mean().item() * 255) for item in items]


@pytest.mark.parametrize('make', [classical, realworld])
@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
@pytest.mark.parametrize('workers', [0, 2])
def test_bad_images_are_replaced_and_counted(folder, make, backend, workers, caplog, request):
    logging.getLogger('basicsr').addHandler(caplog.handler)
    request.addfinalizer(lambda: logging.getLogger('basicsr').removeHandler(caplog.handler))
    if backend == 'disk':
        damage(folder, 2, 3, 7)
        root = folder
    else:
        root = damaged_lmdb(folder, 2, 3, 7)
    dataset = make(root, backend)
    draws = [Draw(index % 8, (0, index)) for index in range(24)]
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, sampler=draws, num_workers=workers)
    assert values(loader) == [0, 1, 4, 4, 4, 5, 6, 0] * 3  # the next one that can be read, wherever it is
    assert dataset.images.num_bad == 3  # by the workers together, seen from this process
    if not workers:  # what workers log goes to the log file, not to this process
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == 3 and all('of at most 3 that cannot be read' in message for message in messages)
        assert 'could not be decoded' in messages[0]


def expect_stop(loader, message):
    """The message is the error's own, also of one from a loader process."""
    with pytest.raises(UnreadableImages, match=f'^{message}'):
        list(TrainingLoader(loader))


@pytest.mark.parametrize('make', [classical, realworld])
@pytest.mark.parametrize('workers', [0, 2])
def test_one_too_many_stops_the_run(folder, make, workers):
    damage(folder, 1, 2, 5, 6)
    dataset = make(folder)
    loader = torch.utils.data.DataLoader(dataset, batch_size=1, sampler=list(range(8)), num_workers=workers)
    message = (
        r'At most 3 unreadable images were expected \(max_bad_images\), but 4 of 8 cannot be read. The last: .*png'
    )
    expect_stop(loader, message)
    assert len(list(make(folder, max_bad_images=4))) == 8


def test_none_allowed(folder):
    damage(folder, 1)
    with pytest.raises(ValueError, match=r'At most 0 unreadable images were expected .* but 1 of 8 cannot be read'):
        classical(folder, max_bad_images=0)[1]


def test_a_worker_process_counts_what_the_others_found(folder):
    """Each of four workers meets one bad image; alone, none of them would stop."""
    damage(folder, 0, 1, 2, 3)
    dataset = classical(folder, max_bad_images=3)
    loader = torch.utils.data.DataLoader(dataset, batch_size=1, sampler=list(range(8)), num_workers=4)
    expect_stop(loader, 'At most 3 unreadable images')


def test_files_without_a_header_count_from_the_start(folder):
    (folder / '4.png').write_bytes(b'no image at all')
    images = TrainingImages(str(folder), 'disk')
    images.check(1, 'test')
    assert images.num_bad == 1 and images.read(4)[1].endswith('5.png')
    with pytest.raises(ValueError, match=r'but 1 of 8 cannot be read. The last: .*could not be recognised'):
        TrainingImages(str(folder), 'disk', max_bad_images=0).check(1, 'test')


def test_a_file_that_vanishes_is_a_bad_image(folder):
    images = TrainingImages(str(folder), 'disk')
    (folder / '3.png').unlink()
    assert images.read(3)[1].endswith('4.png') and images.num_bad == 1


def test_nothing_left(folder):
    damage(folder, *range(8))
    images = TrainingImages(str(folder), 'disk', max_bad_images=20)
    with pytest.raises(ValueError, match=r'None of the 8 images of .*images can be read'):
        images.read(5)


def test_evaluation_replaces_nothing(folder):
    damage(folder, 0)
    opt = {'phase': 'val', 'scale': 2, 'dataroot_gt': str(folder), 'io_backend': {'type': 'disk'}}
    with pytest.raises(ValueError, match='could not be decoded'):
        ClassicalDegradationDataset(opt)[0]


@pytest.mark.parametrize('make', [classical, realworld])
def test_several_roots(folder, tmp_path, make):
    other = tmp_path / 'other'
    other.mkdir()
    for number in (20, 21, 22):
        cv2.imwrite(str(other / f'{number}.png'), np.full((40, 36, 3), number, np.uint8))
    (tmp_path / 'list.txt').write_text('5.png\n1.png\n')
    roots = [str(folder), str(other)]
    assert values(list(make(folder, dataroot_gt=roots))) == [*range(8), 20, 21, 22]
    dataset = make(folder, dataroot_gt=roots, meta_info=[str(tmp_path / 'list.txt'), None])
    assert values(list(dataset)) == [5, 1, 20, 21, 22] and len(dataset) == 5
    assert dataset[3]['gt_path'] == str(other / '21.png')
    with pytest.raises(ValueError, match=r'Expected one meta_info for each dataroot_gt, got 1 for 2'):
        make(folder, dataroot_gt=roots, meta_info=str(tmp_path / 'list.txt'))


@pytest.mark.parametrize('wrong', [-1, 1.5, True, '3'])
def test_refuses_other_bounds(folder, wrong):
    with pytest.raises(ValueError, match='max_bad_images must be a whole number of at least 0'):
        TrainingImages(str(folder), 'disk', max_bad_images=wrong)


def test_index_beyond_the_end(folder):
    with pytest.raises(IndexError, match='has 8 images; number 8 was asked'):
        TrainingImages(str(folder), 'disk').read(8)


def test_gray_images_are_refused_not_replaced(folder):
    cv2.imwrite(str(folder / '3.png'), astronaut()[:40, :36, 0])
    with pytest.raises(ValueError, match='An RGB image was expected for training'):
        realworld(folder)
