import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.utils.matlab_functions import imresize
from scipy.ndimage import correlate
from skimage import data as skimage_data

from data_prep.lmdb_writer import write_lmdb
from stea_arch.compare.testsets import TestSet
from stea_arch.data.classical_dataset import ClassicalDegradationDataset

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
    assert torch.equal(pairs[0][1]['lq'], torch.stack([val[0]['lq'], val[1]['lq']]))


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


@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
def test_images_whose_results_would_have_one_name_are_refused_in_evaluation(photo_folder, tmp_path, backend):
    for name in ('a/b.png', 'a_b.png'):
        (tmp_path / 'f' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'f' / name).write_bytes((photo_folder / 'photo0.png').read_bytes())
    (tmp_path / 'list.txt').write_text('a/b.png\na_b.png\n')
    write_lmdb([str(tmp_path / 'f')], str(tmp_path / 'f.lmdb'), progress=False)
    root = tmp_path / ('f' if backend == 'disk' else 'f.lmdb')
    changes = {'io_backend': {'type': backend}, 'meta_info': str(tmp_path / 'list.txt')}
    assert len(ClassicalDegradationDataset(options(root, **changes))) == 2  # training makes no results
    message = rf'{root.name} has a/b\.png and a_b\.png: the result of one would overwrite'
    with pytest.raises(ValueError, match=message):
        ClassicalDegradationDataset(options(root, 'val', **changes))
    with pytest.raises(ValueError, match=message):
        TestSet('set', {'protocol': 'gaussian8', 'gt': str(root), 'meta_info': changes['meta_info']}, 4)


def test_basicsr_trains_and_validates_its_own_network(photo_folder, tmp_path, tiny_options, build):
    train = options(photo_folder, num_worker_per_gpu=0, batch_size_per_gpu=3)
    edsr = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'num_blocks': ...}
    opt = {'name': 'edsr', 'model_type': 'SRModel', 'scale': 4, 'network_g': {**edsr, 'upscale': 4}}
    opt = tiny_options({**opt, 'val': {'suffix': None}})
    model = build(opt)
    losses = []
    for batch in list(build_dataloader(build_dataset(train), train, num_gpu=0, seed=0)) * 6:
        model.feed_data(batch)
        model.optimize_parameters(1)
        losses.append(model.log_dict['l_pix'])
    assert np.isfinite(losses).all() and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])

    val = options(photo_folder, 'val', num_kernels=2)
    tester = build(opt, is_train=False)
    tester.nondist_validation(build_dataloader(build_dataset(val), val), 'edsr', None, save_img=True)
    assert 5 < tester.metric_results['psnr'] < 60
    assert len(list((tmp_path / 'visualization/photos').glob('photo?_sigma?.?0_edsr.png'))) == 12


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


def test_evaluation_refuses_images_below_one_pixel_of_input(tmp_path):
    folder = write_images(tmp_path / 'f', a=PHOTO[:3])
    with pytest.raises(ValueError, match=r'at least 4x4 pixels were expected \(scale is 4\)'):
        ClassicalDegradationDataset(options(folder, 'val'))


def test_index_beyond_the_end(photo_folder):
    with pytest.raises(IndexError, match='48 items; number 48'):
        ClassicalDegradationDataset(options(photo_folder, 'val'))[48]
