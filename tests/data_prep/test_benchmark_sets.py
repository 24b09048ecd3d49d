import hashlib
import json
import os

import cv2
import numpy as np
import pytest
import torch
from basicsr.data.paired_image_dataset import PairedImageDataset
from real_files import killed, read_image, write_image
from skimage import data as skimage_data

import data_prep.benchmark_sets as benchmark_sets
from data_prep.cli import main
from stea_arch.data.classical_dataset import ClassicalDegradationDataset, PatchRecipe
from stea_arch.degradations.classical import ClassicalParams

PHOTO = skimage_data.coffee()[100:170, 200:261]  # 70 x 61: no multiple of 2, 3 or 4 along both axes


@pytest.fixture(scope='module')
def hr(tmp_path_factory):
    folder = tmp_path_factory.mktemp('hr')
    write_image(folder / 'first.png', PHOTO)
    write_image(folder / 'second.bmp', PHOTO[:50])
    write_image(folder / 'third.png', PHOTO[..., 0])
    return folder


def dataset(folder, phase='val', **changes):
    return ClassicalDegradationDataset(
        {'name': 'set', 'phase': phase, 'dataroot_gt': str(folder), 'io_backend': {'type': 'disk'}, **changes}
    )


def paired(gt, lq, scale):
    is_lmdb = str(gt).endswith('.lmdb')
    opt = {'dataroot_gt': str(gt), 'dataroot_lq': str(lq), 'scale': scale, 'phase': 'val'}
    data = PairedImageDataset({**opt, 'io_backend': {'type': 'lmdb' if is_lmdb else 'disk'}})
    items = sorted((data[index] for index in range(len(data))), key=lambda item: item['gt_path'])
    if is_lmdb:
        for env in data.file_client.client._client.values():
            env.close()
    return items


@pytest.mark.usefixtures('basicsrs_reader')
@pytest.mark.parametrize('scale', [2, 3, 4])
@pytest.mark.parametrize('end', ['', '.lmdb'])
def test_gaussian8_is_what_the_dataset_serves_through_basicsrs_reader(hr, tmp_path, scale, end):
    out = tmp_path / 'set'
    assert main(['gaussian8', str(hr), '--scale', str(scale), '--out', str(out), '--quiet']) == 0
    served = dataset(hr, scale=scale)
    assert len(served) == 24
    for number, (group, _) in enumerate(served.cases):
        items = paired(f'{out}/gt{end}', f'{out}/{group}{end}', scale)
        assert len(items) == 3
        for image, item in enumerate(items):
            expected = served[image * 8 + number]
            assert expected['group'] == group
            assert torch.equal(item['lq'], expected['lq']) and torch.equal(item['gt'], expected['gt'])


def test_gaussian8_manifest(hr, tmp_path):
    out = tmp_path / 'set'
    main(['gaussian8', str(hr), '--scale', '4', '--out', str(out), '--quiet'])
    manifest = json.loads((out / 'manifest.json').read_text())
    assert (
        manifest['protocol'].startswith('Gaussian8')
        and manifest['scale'] == 4
        and 'opencv' in str(manifest['versions'])
    )
    sigmas = [kernel['sigma_x'] for kernel in manifest['kernels'].values()]
    np.testing.assert_allclose(sigmas, np.linspace(1.8, 3.2, 8))
    assert {kernel['kernel_size'] for kernel in manifest['kernels'].values()} == {21}
    for group, sums in manifest['pixels_sha256'].items():
        assert list(sums) == ['first.png', 'second.png', 'third.png']
        for name, digest in sums.items():
            assert digest == hashlib.sha256(read_image(out / group / name).tobytes()).hexdigest()


def test_setting2_is_what_the_dataset_makes_of_the_same_parameters(tmp_path):
    square = skimage_data.astronaut()[100:160, 180:240]
    write_image(tmp_path / 'hr' / 'a.png', square)
    write_image(tmp_path / 'hr' / 'b.png', square[::-1])
    for seed in ('5', '5', '6'):
        out = tmp_path / f'set{seed}'
        command = ['setting2', str(tmp_path / 'hr'), '--scale', '4', '--out', str(out), '--seed', seed, '--quiet']
        assert main(command) == 0
    manifest = json.loads((tmp_path / 'set5' / 'manifest.json').read_text())
    train = dataset(tmp_path / 'hr', 'train', scale=4, gt_size=60, kernel_type='anisotropic', kernel_size=31)
    parameters = [ClassicalParams(**manifest['kernels']['lq'][name]) for name in ('a.png', 'b.png')]
    assert parameters[0] != parameters[1] and {p.kernel_noise for p in parameters} == {0.25}
    for index, (params, item) in enumerate(zip(parameters, paired(tmp_path / 'set5/gt', tmp_path / 'set5/lq', 4))):
        expected = train.patch(PatchRecipe(index, 0, 0, False, False, False, params))
        assert torch.equal(item['lq'], expected['lq']) and torch.equal(item['gt'], expected['gt'])
    other = json.loads((tmp_path / 'set6' / 'manifest.json').read_text())
    assert other['kernels'] != manifest['kernels'] and other['seed'] == 6


def test_setting2_kernel_sizes(hr, tmp_path, capsys):
    for scale, options, size in ((2, [], 11), (4, [], 31), (4, ['--kernel-size', '21'], 21)):
        out = tmp_path / f'{scale}{size}'
        assert main(['setting2', str(hr), '--scale', str(scale), '--out', str(out), '--quiet', *options]) == 0
        kernels = json.loads((out / 'manifest.json').read_text())['kernels']['lq']
        assert {kernel['kernel_size'] for kernel in kernels.values()} == {size}
    assert main(['setting2', str(hr), '--scale', '4', '--out', str(tmp_path / 'x'), '--kernel-size', '20']) == 2
    assert 'kernel_size must be an odd whole number' in capsys.readouterr().err


def test_killed_and_continued(hr, tmp_path, monkeypatch, capsys):
    command = ['gaussian8', str(hr), '--scale', '4', '--out', str(tmp_path / 'set'), '--quiet']
    count = []

    def child():
        write_lmdb = benchmark_sets.write_lmdb

        def third(*args, **options):
            count.append(1)
            if len(count) == 3:
                os.kill(os.getpid(), 9)
            return write_lmdb(*args, **options)

        benchmark_sets.write_lmdb = third
        main(command)

    killed(child)
    assert not (tmp_path / 'set').exists()
    degraded = []
    original = benchmark_sets.degrade
    monkeypatch.setattr(benchmark_sets, 'degrade', lambda gt, params: degraded.append(1) or original(gt, params))
    assert main(command) == 0 and len(degraded) == 3 * 6  # two of eight kernels were done
    assert main(['check', str(tmp_path / 'set'), '--quiet']) == 0
    assert main(command) == 0 and len(degraded) == 18
    assert 'is complete' in capsys.readouterr().out


def test_sources_that_change_in_between_begin_anew(tmp_path, monkeypatch):
    write_image(tmp_path / 'hr' / 'a.png', PHOTO)
    command = ['gaussian8', str(tmp_path / 'hr'), '--scale', '4', '--out', str(tmp_path / 'set'), '--quiet']
    monkeypatch.setattr(benchmark_sets, 'pixel_checksums', lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(command)
    monkeypatch.undo()
    write_image(tmp_path / 'hr' / 'a.png', PHOTO[:40])
    assert main(command) == 0 and read_image(tmp_path / 'set/gt/a.png').shape == (40, 60, 3)


def test_broken_images_are_refused_or_left_out(hr, tmp_path, capsys):
    write_image(tmp_path / 'hr' / 'good.png', PHOTO)
    write_image(tmp_path / 'hr' / 'tiny.png', PHOTO[:3])
    (tmp_path / 'hr' / 'broken.png').write_text('no image')
    command = ['gaussian8', str(tmp_path / 'hr'), '--scale', '4', '--out', str(tmp_path / 'set'), '--quiet']
    assert main(command) == 2
    err = capsys.readouterr().err
    assert '2 of 3 are not: broken.png: ' in err and 'tiny.png: An image of at least 4x4 pixels was expected' in err
    assert main([*command, '--skip-broken']) == 0
    assert json.loads((tmp_path / 'set/manifest.json').read_text())['left_out'] == ['broken.png', 'tiny.png']
    assert cv2.imread(str(tmp_path / 'set/sigma2.00/good.png')).shape == (17, 15, 3)
