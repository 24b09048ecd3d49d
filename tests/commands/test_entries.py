"""What a person sees who mistypes something."""

import re
import shutil
import sys

import cv2
import pytest

from stea_arch import test as test_entry
from stea_arch import train
from stea_arch.commands import compare
from stea_arch.weights.files import read_checkpoint


@pytest.mark.parametrize(
    ('changes', 'flags', 'message'),
    [
        (
            {'datasets': {'train': {'gt_sise': 32}}},
            (),
            r"datasets\.train\.gt_sise: unknown key.*did you mean 'gt_size'",
        ),
        ({}, ('--force_yml', 'train:total_itr=5'), r'total_itr.*total_iter'),
        (
            {'datasets': {'train': {'dataroot_gt': 'no/such/folder'}}},
            (),
            r'datasets\.train\.dataroot_gt.*no/such/folder',
        ),
        ({'path': {'pretrain_network_g': 'none.pth'}}, (), r'path\.pretrain_network_g.*none\.pth'),
    ],
)
def test_a_wrong_option_ends_the_program_before_anything_is_made(
    tiny_options, fail_main, tmp_path, changes, flags, message
):
    error = fail_main(2, train.main, tiny_options({'val': ..., **changes}), *flags)
    assert re.search(message, error, re.DOTALL), error
    assert not (tmp_path / 'experiments').exists()


@pytest.mark.parametrize(
    ('command', 'file', 'right'),
    [
        ('train', 'compare/quick_x2.yml', 'stea-compare'),
        ('test', 'compare/quick_x2.yml', 'stea-compare'),
        ('train', 'test/LabNet_x4.yml', 'stea-test'),
        ('test', 'train/EDSR_x4.yml', 'stea-train'),
        ('test', 'without_settings.yml', 'stea-train'),
        ('compare', 'train/EDSR_x4.yml', 'stea-train'),
        ('compare', 'test/LabNet_x4.yml', 'stea-test'),
        ('compare', 'without_settings.yml', 'stea-train'),
    ],
)
def test_a_file_for_another_command_is_answered_with_that_command(monkeypatch, tmp_path, capsys, command, file, right):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'without_settings.yml').write_text('network_g: {}\ndatasets: {train: {}}')
    monkeypatch.setattr('sys.argv', ['stea', '-opt', file])
    mains = {'train': train.main, 'test': test_entry.main, 'compare': lambda: sys.exit(compare.main())}
    with pytest.raises(SystemExit) as stop:
        mains[command]()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and f'start it with {right} -opt FILE' in error and error.count('\n') <= 2, error


def test_a_state_beyond_the_end_is_said(tiny_options, run_main, tmp_path):
    run_main(train.main, tiny_options({'val': ..., 'train': {'total_iter': 4}}))
    run_main(train.main, tiny_options({'val': ..., 'train': {'total_iter': 2}}), '--auto_resume')
    log = ''.join(path.read_text() for path in (tmp_path / 'experiments/tiny').glob('*.log'))
    assert 'The state is of iteration 4, and train.total_iter is 2: nothing is left to do.' in log


def test_a_file_that_comes_with_the_package_is_found_by_its_name(photo_folder, monkeypatch, tmp_path, call):
    monkeypatch.chdir(tmp_path)
    forced = [f'datasets:{name}:dataroot_gt={photo_folder}' for name in ('train', 'val')]
    forced += [f'datasets:{name}:io_backend:type=disk' for name in ('train', 'val')]
    forced += ['datasets:train:batch_size_per_gpu=1', 'datasets:train:num_worker_per_gpu=0', 'train:total_iter=1']
    call(train.main, 'stea', '-opt', 'sample/LabNet-T_x2.yml', '--force_yml', 'num_gpu=0', *forced)
    assert (tmp_path / 'experiments/sample_LabNet-T_x2/models/net_g_latest.pth').is_file()


def test_debug_mode(tiny_options, run_main, tmp_path):
    run_main(train.main, tiny_options({'val': ...}), '--debug')
    assert (tmp_path / 'experiments/debug_tiny/training_states/8.state').is_file()


@pytest.mark.parametrize('workers', [0, 2])
def test_too_many_broken_images_end_a_run_with_a_paragraph(tiny_options, fail_main, photo_folder, tmp_path, workers):
    folder = shutil.copytree(photo_folder, tmp_path / 'images')
    for number in range(1, 5):
        file = folder / f'photo{number}.png'
        file.write_bytes(file.read_bytes()[:60])
    data = {'dataroot_gt': str(folder), 'num_worker_per_gpu': workers, 'batch_size_per_gpu': 1}
    error = fail_main(1, train.main, tiny_options({'val': ..., 'datasets': {'train': data}}))
    assert re.search(r'yml: At most 3 unreadable images .* but 4 of 6 cannot be read. The last: ', error), error


def test_a_database_that_was_cut_short_ends_a_training_before_it_reads(tiny_options, fail_main, photo_lmdb):
    data = photo_lmdb / 'data.mdb'
    data.write_bytes(data.read_bytes()[: 10 * 4096])
    lmdb = {'dataroot_gt': str(photo_lmdb), 'io_backend': {'type': 'lmdb'}}
    pairs = {'name': 'val', 'type': 'PairedImageDataset', **lmdb, 'dataroot_lq': lmdb['dataroot_gt']}
    error = fail_main(2, train.main, tiny_options({'datasets': {'train': lmdb, 'val': pairs}}))
    assert [line.split(':')[0].strip() for line in error.splitlines() if 'was cut short' in line] == [
        'datasets.train.dataroot_gt', 'datasets.val.dataroot_gt', 'datasets.val.dataroot_lq'
    ]  # fmt: skip


@pytest.mark.parametrize('kilobytes', [4, 40, 300, 1500, 2500, 4000, 8000])
def test_a_full_disk_ends_a_training_with_a_paragraph(tiny_options, fail_main, small_disk, monkeypatch, kilobytes):
    """A checkpoint takes 3.5 MB, its state as much: the disk is full at the folders, the log, or one of these."""
    options = tiny_options(
        {'val': {'val_freq': 2, 'save_img': True}, 'logger': {'print_freq': 1, 'save_checkpoint_freq': 2}}
    )
    with small_disk(kilobytes * 1000) as disk:
        monkeypatch.setattr('os.getcwd', lambda: str(disk))
        error = fail_main(1, train.main, options)
        assert re.search('No space left|too large|could not be saved|writ', error.splitlines()[-1]), error
        assert not list(disk.rglob('*.partial'))
        for file in disk.rglob('*.pth'):
            read_checkpoint(file)
        for file in disk.rglob('*.png'):
            assert cv2.imread(str(file)) is not None
