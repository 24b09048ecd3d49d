import dataclasses
import json
import random

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.utils.matlab_functions import imresize
from scipy.ndimage import correlate
from skimage import data as skimage_data

from data_prep.lmdb_writer import write_lmdb
from stea_arch.data.classical_dataset import ClassicalDegradationDataset, PatchRecipe
from stea_arch.data.sampler import Draw

PHOTO = skimage_data.coffee()[100:170, 200:261]  # 70 x 61: no multiple of 2, 3 or 4 along both axes


def options(folder, phase='train', **changes):
    train = {'gt_size': 48, 'use_hflip': True, 'use_rot': True} if phase == 'train' else {}
    return {
        'name': 'photos',
        'type': 'ClassicalDegradationDataset',
        'phase': phase,
        'scale': 4,
        'dataroot_gt': str(folder),
        'io_backend': {'type': 'disk'},
        **train,
        **changes,
    }


def write_images(folder, **images):
    folder.mkdir(exist_ok=True)
    for name, img in images.items():
        assert cv2.imwrite(str(folder / f'{name}.png'), img if img.ndim == 2 else img[..., ::-1])
    return folder


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if torch.is_tensor(value) else value == second[key]
        for key, value in first.items()
    )


@pytest.fixture
def photo_lmdb(photo_folder, tmp_path):
    write_lmdb([str(photo_folder)], str(tmp_path / 'photos.lmdb'), progress=False)
    return tmp_path / 'photos.lmdb'


@pytest.mark.parametrize('scale', [2, 3, 4])
@pytest.mark.parametrize(
    'setting',
    [
        {},
        {'kernel_type': 'anisotropic', 'kernel_size': 31, 'kernel_noise': 0.25, 'noise_range': [0, 10]},
    ],
)
def test_training_item(photo_folder, scale, setting):
    dataset = build_dataset(options(photo_folder, scale=scale, **setting))
    item = dataset[2]
    assert item['gt'].shape == (3, 48, 48) and item['lq'].shape == (3, 48 // scale, 48 // scale)
    for key in ('gt', 'lq'):
        values = item[key] * 255
        assert item[key].dtype == torch.float32 and item[key].is_contiguous()
        assert torch.allclose(values, values.round(), atol=1e-4) and values.min() >= 0 and values.max() <= 255
    assert item['gt_path'] == item['lq_path'] == str(photo_folder / 'photo2.png')
    # the pair shows the same scene: the shrunk truth is close to the input
    small = imresize(item['gt'].numpy().transpose(1, 2, 0), 1 / scale).transpose(2, 0, 1)
    assert np.abs(small - item['lq'].numpy()).mean() < 0.1


def test_crops_are_patches_of_the_image_under_all_eight_symmetries(tmp_path):
    img = np.arange(60 * 52, dtype=np.uint16).reshape(60, 52)
    img = np.stack([img >> 8, img & 255, np.zeros_like(img)], -1).astype(np.uint8)
    dataset = ClassicalDegradationDataset(options(write_images(tmp_path / 'f', a=img)))
    seen, tops, lefts = set(), set(), set()
    for draw in range(150):
        gt = (dataset[Draw(0, (5, draw))]['gt'].numpy() * 255).round().astype(int)
        rows, columns = np.divmod(gt[0] * 256 + gt[1], 52)
        seen.add((rows[0, 0] < rows[-1, -1], columns[0, 0] < columns[-1, -1], rows[0, 0] == rows[0, 1]))
        tops.add(rows.min())
        lefts.add(columns.min())
        assert np.ptp(rows) == np.ptp(columns) == 47
    assert len(seen) == 8
    assert tops == set(range(13)) and lefts == set(range(5))


@pytest.mark.parametrize(('flags', 'symmetries'), [((False, False), 1), ((True, False), 2), ((False, True), 4)])
def test_flips_are_switched_by_their_keys(photo_folder, flags, symmetries):
    dataset = ClassicalDegradationDataset(options(photo_folder, use_hflip=flags[0], use_rot=flags[1]))
    recipes = [dataset.recipe(Draw(0, (0, draw))) for draw in range(100)]
    assert len({(recipe.hflip, recipe.vflip, recipe.transpose) for recipe in recipes}) == symmetries


@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
def test_items_depend_on_seed_and_draw_only(photo_folder, photo_lmdb, backend):
    folder = photo_lmdb if backend == 'lmdb' else photo_folder
    dataset = ClassicalDegradationDataset(options(folder, io_backend={'type': backend}))
    draws = [Draw(number % 6, (7, number)) for number in range(12)]
    alone = [dataset[draw] for draw in draws]
    assert not torch.equal(alone[0]['gt'], alone[6]['gt'])
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, sampler=draws, num_workers=workers)
        assert all(equal(first, second) for first, second in zip(alone, loader, strict=True))


def test_folder_and_lmdb_give_the_same_pairs(photo_folder, photo_lmdb):
    first = ClassicalDegradationDataset(options(photo_folder))
    second = ClassicalDegradationDataset(options(photo_lmdb, io_backend={'type': 'lmdb'}))
    for index in range(6):
        one, two = first[Draw(index, (1, index))], second[Draw(index, (1, index))]
        assert torch.equal(one['lq'], two['lq']) and torch.equal(one['gt'], two['gt'])
        assert two['gt_path'] == f'photo{index}'


def test_plain_indices_are_seeded_by_torch(photo_folder):
    dataset = ClassicalDegradationDataset(options(photo_folder))
    torch.manual_seed(11)
    first, second = dataset[0], dataset[0]
    torch.manual_seed(11)
    assert equal(first, dataset[0]) and not equal(first, second)


def test_python_and_numpy_globals_are_not_touched(photo_folder):
    dataset = ClassicalDegradationDataset(options(photo_folder))
    state, numpy_state = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    dataset[1]
    assert random.getstate() == state and str(np.random.get_state()) == numpy_state  # noqa: NPY002


def test_recipes_replay_through_json(photo_folder):
    dataset = ClassicalDegradationDataset(
        options(photo_folder, kernel_type='anisotropic', kernel_noise=0.25, noise_range=[1, 5])
    )
    recipe = dataset.recipe(3)
    again = PatchRecipe.from_dict(json.loads(json.dumps(dataclasses.asdict(recipe))))
    assert again == recipe and equal(dataset.patch(recipe), dataset.patch(again))


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_evaluation_equals_the_plain_way(tmp_path, scale):
    folder = write_images(tmp_path / 'f', first=PHOTO, **{'second.v2': PHOTO[:50], 'third': PHOTO[..., 0]})
    dataset = build_dataset(options(folder, 'val', scale=scale))
    assert len(dataset) == 24
    groups = list(dict(dataset.cases))
    for index in (0, 3, 7, 8, 15, 20):
        item, group = dataset[index], groups[index % 8]
        name, img = [('first', PHOTO), ('second.v2', PHOTO[:50]), ('third', np.dstack([PHOTO[..., 0]] * 3))][index // 8]
        height, width = (length // scale * scale for length in img.shape[:2])
        gt = img[:height, :width].astype(np.float64) / 255
        offsets = np.arange(-10, 11)
        kernel = np.exp(-np.add.outer(offsets**2, offsets**2) / (2 * float(group[5:]) ** 2))
        if scale == 2:  # the name has two decimals, the sigma more
            kernel = dataset.cases[index % 8][1].kernel()
        blurred = correlate(gt, (kernel / kernel.sum())[..., None], mode='mirror').astype(np.float32)
        expected = imresize(blurred, 1 / scale).clip(0, 1) * 255
        assert np.abs(item['lq'].numpy().transpose(1, 2, 0) * 255 - expected).max() < 0.501
        np.testing.assert_allclose(item['gt'].numpy().transpose(1, 2, 0), gt, atol=1e-7)
        assert item['lq_path'] == f'{name}_{group}.png' and item['group'] == group
        assert item['gt_path'] == str(folder / f'{name}.png')


def test_evaluation_reads_each_image_once(photo_folder, monkeypatch):
    dataset = ClassicalDegradationDataset(options(photo_folder, 'test', num_kernels=2))
    read, names = dataset.source.read, []
    monkeypatch.setattr(dataset.source, 'read', lambda name: names.append(name) or read(name))
    assert len(list(dataset)) == 12
    assert names == dataset.source.names


def test_training_and_evaluation_on_one_lmdb_with_workers(photo_lmdb):
    backend = {'io_backend': {'type': 'lmdb'}}
    train = ClassicalDegradationDataset(options(photo_lmdb, **backend))
    val = ClassicalDegradationDataset(options(photo_lmdb, 'val', **backend))
    assert train[0]['gt'].shape == (3, 48, 48) and val[0]['gt'].shape == (3, 72, 64)  # opened before the forks
    loaders = [torch.utils.data.DataLoader(dataset, batch_size=2, num_workers=2) for dataset in (train, val)]
    pairs = list(zip(*loaders))
    assert len(pairs) == 3 and val[47]['gt_path'] == 'photo5'
    assert equal(pairs[0][1], torch.utils.data.default_collate([val[0], val[1]]))


@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
def test_meta_info_lists_a_subset(photo_folder, photo_lmdb, tmp_path, backend):
    (tmp_path / 'list.txt').write_text('photo4.png\nphoto1.png (72,64,3) 1\n')
    folder = photo_lmdb if backend == 'lmdb' else photo_folder
    changes = {'io_backend': {'type': backend}, 'meta_info': str(tmp_path / 'list.txt')}
    dataset = ClassicalDegradationDataset(options(folder, 'val', **changes))
    assert [dataset[index]['lq_path'] for index in (0, 8)] == ['photo4_sigma1.80.png', 'photo1_sigma1.80.png']
    (tmp_path / 'list.txt').write_text('photo4.png\nother.png\n')
    with pytest.raises(FileNotFoundError, match=r'should be an image in .* but 1 of 2 are missing: other.png'):
        ClassicalDegradationDataset(options(folder, 'val', **changes))


def sr_model(tmp_path, is_train):
    from basicsr.models import build_model

    path = {key: str(tmp_path) for key in ('models', 'training_states', 'visualization', 'log', 'results_root')}
    return build_model(
        {
            'name': 'edsr',
            'model_type': 'SRModel',
            'scale': 4,
            'num_gpu': 0,
            'dist': False,
            'is_train': is_train,
            'network_g': {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 4},
            'path': {'pretrain_network_g': None, 'strict_load_g': True, **path},
            'train': {
                'ema_decay': 0.9,
                'optim_g': {'type': 'Adam', 'lr': 1e-3},
                'pixel_opt': {'type': 'L1Loss'},
                'scheduler': {'type': 'MultiStepLR', 'milestones': [100]},
                'total_iter': 10,
            },
            'val': {
                'save_img': True,
                'suffix': None,
                'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 4, 'test_y_channel': True}},
            },
        }
    )


def test_basicsr_trains_and_validates_its_own_network(photo_folder, tmp_path):
    changes = {'num_worker_per_gpu': 0, 'batch_size_per_gpu': 3}
    train = options(photo_folder, **changes)
    model = sr_model(tmp_path, is_train=True)
    losses = []
    for batch in list(build_dataloader(build_dataset(train), train, num_gpu=0, seed=0)) * 6:
        model.feed_data(batch)
        model.optimize_parameters(1)
        losses.append(model.log_dict['l_pix'])
    assert np.isfinite(losses).all() and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])

    val = options(photo_folder, 'val', num_kernels=2)
    tester = sr_model(tmp_path, is_train=False)
    tester.nondist_validation(build_dataloader(build_dataset(val), val), 'edsr', None, save_img=True)
    assert 5 < tester.metric_results['psnr'] < 60
    assert len(list((tmp_path / 'photos').glob('photo?_sigma?.?0_edsr.png'))) == 12


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'scale': 5}, 'scale must be 2, 3 or 4, got 5'),
        ({'phase': 'train_1'}, "phase must be train, val or test, got 'train_1'"),
        ({'gt_size': 50}, 'must be a whole multiple of the scale 4, got 50'),
        ({'gt_size': None}, 'must be a whole multiple of the scale 4, got None'),
        ({'gt_size': 80}, r'at least 80x80 pixels .*\(gt_size is 80\).*6 of 6 are smaller: photo0.png \(72x64\)'),
        ({'kernel_size': 20}, 'kernel_size must be an odd whole number'),
        ({'kernel_type': 'box'}, 'kernel_type must be one of'),
        ({'dataroot_gt': None}, 'Expected dataroot_gt, the folder or LMDB of the ground-truth images, got none'),
        ({'io_backend': {'type': 'memcached'}}, "io_backend.type must be disk or lmdb, got 'memcached'"),
        (
            {'phase': 'val', 'kernel_type': 'anisotropic'},
            'are isotropic Gaussians .*, got kernel_type: anisotropic',
        ),
        ({'phase': 'val', 'noise_range': [0, 5]}, 'Leave noise_range to the training section'),
        ({'phase': 'test', 'num_kernels': 1}, 'num_kernels must be a whole number above 1'),
    ],
)
def test_refuses_impossible_options(photo_folder, changes, message):
    with pytest.raises(ValueError, match=message):
        ClassicalDegradationDataset(options(photo_folder, **changes))


def test_refuses_missing_folder(tmp_path):
    for backend, expected in (('disk', 'A folder of images was expected at'), ('lmdb', 'An LMDB is a folder with')):
        with pytest.raises(FileNotFoundError, match=expected):
            ClassicalDegradationDataset(options(tmp_path / 'none', io_backend={'type': backend}))


def test_refuses_gray_images_in_training_before_it_starts(tmp_path):
    folder = write_images(tmp_path / 'f', gray=PHOTO[..., 0], colour=PHOTO)
    with pytest.raises(ValueError, match=r'expected for training, but gray.png of .* is gray'):
        ClassicalDegradationDataset(options(folder))
    write_lmdb([str(folder)], str(tmp_path / 'f.lmdb'), allow_gray=True, progress=False)
    with pytest.raises(ValueError, match=r'expected for training, but gray.png of .* is gray'):
        ClassicalDegradationDataset(options(tmp_path / 'f.lmdb', io_backend={'type': 'lmdb'}))
    item = ClassicalDegradationDataset(options(tmp_path / 'f.lmdb', 'val', io_backend={'type': 'lmdb'}))[8]
    assert torch.equal(item['gt'][0], item['gt'][1]) and torch.equal(item['gt'][0], item['gt'][2])


def test_refuses_transparency_and_depth_before(tmp_path):
    folder = write_images(tmp_path / 'f', deep=PHOTO.astype(np.uint16))
    for phase in ('train', 'val'):
        with pytest.raises(ValueError, match=r'deep.png of .* has 16. Convert it to 8 bits'):
            ClassicalDegradationDataset(options(folder, phase))
    folder = write_images(tmp_path / 'g', alpha=np.dstack([PHOTO, PHOTO[..., :1]]))
    for phase in ('train', 'val'):
        with pytest.raises(ValueError, match=r'alpha.png of .* has 4: transparency cannot be used'):
            ClassicalDegradationDataset(options(folder, phase))


def test_lmdb_shapes_reveal_small_images_before_training(photo_lmdb):
    with pytest.raises(ValueError, match=r'6 of 6 are smaller: photo0.png \(72x64\), .*, \.\.\.\. Leave them out'):
        ClassicalDegradationDataset(options(photo_lmdb, gt_size=68, io_backend={'type': 'lmdb'}))


def test_small_image_that_only_reading_reveals(photo_lmdb):
    (photo_lmdb / 'meta_info.txt').unlink()
    dataset = ClassicalDegradationDataset(options(photo_lmdb, gt_size=68, io_backend={'type': 'lmdb'}))
    with pytest.raises(ValueError, match=r'gt_size 68x68 pixels were expected, but photo0 of .*photos.lmdb has 72x64'):
        dataset[0]


def test_image_broken_after_the_header(tmp_path):
    folder = write_images(tmp_path / 'f', a=PHOTO)
    (folder / 'a.png').write_bytes((folder / 'a.png').read_bytes()[:60])
    dataset = ClassicalDegradationDataset(options(folder))
    with pytest.raises(ValueError, match=r'a.png, but its 60 bytes could not be decoded'):
        dataset[0]


def test_evaluation_refuses_images_below_one_pixel_of_input(tmp_path):
    folder = write_images(tmp_path / 'f', a=PHOTO[:3])
    with pytest.raises(ValueError, match=r'at least 4x4 pixels were expected \(scale is 4\)'):
        ClassicalDegradationDataset(options(folder, 'val'))


def test_index_beyond_the_end(photo_folder):
    with pytest.raises(IndexError, match='48 items; number 48'):
        ClassicalDegradationDataset(options(photo_folder, 'val'))[48]
