"""Combinations that cannot work, and what this machine lacks."""

import re

import lmdb
import pytest
import torch
from test_options_keys import only

EDSR = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'upscale': 2}
RRDBNET = {'type': 'RRDBNet', 'num_in_ch': 3, 'num_out_ch': 3}
SWINIR = {'type': 'SwinIR', 'window_size': 8, 'upscale': 2, 'img_size': 48}
COSINE = {'type': 'CosineAnnealingRestartLR', 'periods': [500, 500], 'restart_weights': [1, 0.5], 'eta_min': 1e-7}
SINGLE = {'name': 'lq', 'type': 'SingleImageDataset', 'dataroot_lq': 'x', 'io_backend': {'type': 'disk'}}
PAIRED = {'name': 'pairs', 'type': 'PairedImageDataset', 'dataroot_gt': 'x', 'dataroot_lq': 'x', 'gt_size': 96,
          'io_backend': {'type': 'disk'}, 'use_hflip': True, 'use_rot': True, 'batch_size_per_gpu': 1,
          'num_worker_per_gpu': 0}  # fmt: skip
ONE_GPU = 'train.cuda_graph: true is for one: write num_gpu: 1'


@pytest.mark.parametrize(
    'changes, pattern',
    [
        ([('datasets.train.gt_size', 97)], 'datasets.train.gt_size: must be a multiple of the scale 2, got 97; 96 is'),
        ([('network_g.taylor_order', 2)], 'network_g.taylor_order: only read with attention: taylor; remove it.*'),
        ([('network_g.attention', 'taylor'), ('network_g.taylor_order', 4)],
         'network_g.taylor_order: expected 1 or 2 or 3, got 4'),
        ([('network_g.key_dim', 4)], 'network_g.key_dim: only read with attention: taylor or softmax; .*'),
        ([('network_g.attention', 'softmax'), ('network_g.num_heads', 3)],
         'network_g.num_heads: must divide num_feat, which is 16, got 3'),
        ([('network_g.num_feat', 30)], 'network_g.num_feat: expected a multiple of 16 up to 4096, got 30'),
        ([('network_g.large_field', False), ('network_g.dilations', [2])],
         'network_g.dilations: only read with large_field: true; remove it, or change large_field'),
        ([('network_g.upscale', 4)], "network_g.upscale: must equal the top-level scale 2, but LabNet's is 4"),
        ([('network_g.upscale', ...)], r".* LabNet's is 4 by default; write upscale: 2"),
        ([('network_g', {**EDSR, 'upscale': 3})], "network_g.upscale: must equal .* EDSR's is 3"),
        ([('network_g', RRDBNET)], r"network_g.scale: .* RRDBNet's is 4 by default; write scale: 2"),
        ([('network_g', SWINIR), ('model_type', 'SRModel')], 'model_type: SwinIR needs .*'),
        ([('network_g', EDSR), ('model_type', 'SwinIRModel')], 'network_g.window_size: missing, SwinIRModel pads.*'),
        ([('network_g', SWINIR), ('datasets.train.gt_size', 90)], 'datasets.train.gt_size: makes LR patches of 45 .*'),
        ([('network_g', EDSR), ('train.compile', 'blocks')], 'train.compile: blocks are those .*, got EDSR: .*'),
        ([('train.cuda_graph', True), ('train.amp', 'fp16')], 'train.cuda_graph: true needs amp: bf16 or ~, .*'),
        ([('network_g', {'type': 'Bicubic', 'upscale': 2})], 'network_g.type: Bicubic has no parameters to train.*'),
        ([('network_g.num_out_ch', 1)], 'network_g.num_out_ch: must be 3, .* RGB images, got 1'),
        ([('network_g', {**EDSR, 'num_out_ch': 1})], 'network_g.num_out_ch: must be 3, .* RGB images, got 1'),
        ([('network_g.num_out_ch', 1), ('datasets.train', PAIRED), ('datasets.val', ...), ('val', ...)],
         'network_g.num_out_ch: must equal num_in_ch, which is 3, as LabNet .* got 1'),
        ([('network_g', {**EDSR, 'num_in_ch': 1})], 'network_g.num_in_ch: must be 3, .* RGB images, got 1'),
        ([('val.inference', {'method': 'strip'})], "val.inference: method must be one of .*, got 'strip'."),
        ([('val.inference', {'strip': 64})], "val.inference: method 'whole' does not read strip: .*"),
        ([('val.inference', {'method': 'tiles', 'tile': 0})], 'val.inference: tile must be a whole number .* got 0.'),
        ([('val.inference', {'method': 'strips'}), ('network_g', EDSR)],
         "val.inference.method: 'strips' follows the parts of a LabNet, not those of EDSR: use tiles"),
        ([('val.metrics', {}), ('val.save_best', 'psnr')], "val.save_best: 'psnr' is not one of val.metrics: none"),
        ([('val.save_best', 'psnrr')], r"val.save_best: .*\(did you mean 'psnr'\?\).*"),
        ([('datasets.val', ...)], 'datasets.val: missing, but there is a val section.*'),
        ([('val', ...)], 'val: missing, so datasets.val would never be used.*'),
        ([('datasets.val', SINGLE)], 'datasets.val.type: .* no ground truth, which psnr of val.metrics needs: .*'),
        ([('datasets.val', SINGLE), ('val.metrics.psnr.type', ['psnr'])], 'val.metrics.psnr.type: expected text, .*'),
        ([('datasets.val.kernel_type', 'anisotropic')], 'datasets.val.kernel_type: val and test are Gaussian8.*'),
        ([('datasets.val.kernel_noise', 0.25)], 'datasets.val.kernel_noise: val and test are Gaussian8.*'),
        ([('datasets.val.num_kernels', 1)], 'datasets.val.num_kernels: is 1 for a sigma_range of twice .*'),
        ([('train.pixel_opt', ...)], 'train.pixel_opt: missing, and so is perceptual_opt.*'),
        ([('train.scheduler', {**COSINE, 'periods': [500, 499]})], 'train.scheduler.periods: add up to 999 .* 1000'),
        ([('train.scheduler', {**COSINE, 'restart_weights': [1]})], 'train.scheduler.restart_weights: .* 2 periods.*'),
        ([('train.scheduler.restarts', [0, 9])], 'train.scheduler.restart_weights: .* each of the 2 restarts, got 1'),
        ([('logger.wandb', {'project': 'p'})], 'logger.use_tb_logger: wandb copies from TensorBoard.*'),
        ([('datasets.train.persistent_workers', True), ('datasets.train.num_worker_per_gpu', 0)],
         'datasets.train.persistent_workers: there are no workers.*'),
        ([('datasets.val.persistent_workers', True)], 'datasets.val.persistent_workers: there are no workers.*'),
        ([('datasets.val.name', 'a/b')], "datasets.val.name: names a folder of results, so no slash: 'a/b'"),
    ],
)  # fmt: skip
def test_impossible_in_training(changes, pattern, train_opt, problems_of):
    only(problems_of(train_opt(*changes)), pattern)


def test_ablations_pass(train_opt, problems_of):
    taylor = {'attention': 'taylor', 'taylor_order': 3, 'num_heads': 2, 'key_dim': 5, 'dilations': [1, 3]}
    assert problems_of(train_opt(*((f'network_g.{key}', value) for key, value in taylor.items()))) == []


def test_rrdbnet_has_no_x3(train_opt, problems_of):
    opt = train_opt(('scale', 3), ('network_g', {**RRDBNET, 'scale': 3}))
    assert 'scale: RRDBNet upscales by 1, 2 or 4, not by 3: choose another network or scale' in problems_of(opt)


@pytest.mark.parametrize('scale', [1, 5])
def test_classical_dataset_makes_three_scales(scale, train_opt, problems_of):
    opt = train_opt(('scale', scale), ('network_g', {**EDSR, 'upscale': scale}))
    assert f'scale: ClassicalDegradationDataset makes scales 2, 3 and 4, not {scale}' in problems_of(opt)


@pytest.mark.parametrize('periods', [[500, 500], [5000, 1]])
def test_cosine_schedule_that_reaches_the_end_passes(periods, train_opt, problems_of):
    assert problems_of(train_opt(('train.scheduler', {**COSINE, 'periods': periods}))) == []


def test_cosine_schedule_does_crash_in_basicsr_after_its_periods():
    from basicsr.models.lr_scheduler import CosineAnnealingRestartLR

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = CosineAnnealingRestartLR(optimizer, periods=[3], restart_weights=[1])
    with pytest.raises(TypeError):
        for _ in range(5):
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize(
    'changes, pattern',
    [
        ([('val.suffix', ...)], 'val.suffix: missing, BasicSR reads it when a test saves images.*'),
        ([('val', ...)], 'val: missing: write val: and below it save_img.*'),
        ([('path.pretrain_network_g', None)], 'path.pretrain_network_g: .* LabNet would be tested with random weights'),
        ([('datasets', {})], 'datasets: empty, expected test and val'),
        ([('logger', {})], 'logger: nothing reads this key in the test phase: remove it'),
    ],
)
def test_impossible_in_test(changes, pattern, test_opt, problems_of):
    only(problems_of(test_opt(*changes), is_train=False), pattern)


def test_two_datasets_of_one_name(test_opt, problems_of):
    opt = test_opt()
    opt['datasets']['test_2'] = dict(opt['datasets']['test_1'])
    only(problems_of(opt, False), "datasets.test_2.name: 'Set5' is also that of datasets.test_1; .*")


def test_bicubic_needs_no_weights(test_opt, problems_of):
    opt = test_opt(('network_g', {'type': 'Bicubic', 'upscale': 2}), ('path.pretrain_network_g', None))
    assert problems_of(opt, is_train=False) == []


def test_debug_in_the_name_is_allowed_and_mentioned(train_opt, problems_of, recwarn):
    assert problems_of(train_opt(('name', 'debug_small'))) == [] and not recwarn
    with pytest.warns(UserWarning, match="contains 'debug', so BasicSR validates and saves every 8 iterations"):
        assert problems_of(train_opt(('name', 'net_without_debug'))) == []


@pytest.mark.parametrize(
    'changes, pattern',
    [
        ([('num_gpu', 1)], 'num_gpu: 1 asked for, but torch finds no CUDA device: write num_gpu: 0 or auto'),
        ([('datasets.train.prefetch_mode', 'cuda'), ('datasets.train.pin_memory', True)],
         'datasets.train.prefetch_mode: cuda needs a CUDA device: write cpu or ~'),
    ],
)  # fmt: skip
def test_no_cuda(changes, pattern, train_opt, problems_of, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    only(problems_of(train_opt(*changes)), pattern)


def test_cuda(train_opt, problems_of, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert problems_of(train_opt(('num_gpu', 1))) == []
    only(problems_of(train_opt(('num_gpu', 3))), 'num_gpu: 3 asked for, but torch finds 2: write auto')
    for number, said in (('auto', True), (2, True), (1, False)):
        problems = problems_of(train_opt(('num_gpu', number), ('train.cuda_graph', True)))
        assert problems == [f'num_gpu: {number} takes several GPUs here, and {ONE_GPU}'] * said
    opt = train_opt(('num_gpu', 1), ('datasets.train.prefetch_mode', 'cuda'))
    only(problems_of(opt), 'datasets.train.pin_memory: prefetch_mode: cuda needs pin_memory: true')


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The files the small options name, below the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ('photos', 'Set5'):
        folder = tmp_path / 'datasets' / name
        folder.mkdir(parents=True)
        (folder / 'image.png').write_bytes(b'no decoder looks at it')
    lmdb.open(str(tmp_path / 'datasets' / 'photos.lmdb'), map_size=1 << 16).close()
    (tmp_path / 'weights.pth').write_bytes(b'')
    (tmp_path / 'datasets' / 'hollow.lmdb').mkdir()
    (tmp_path / 'datasets' / 'empty').mkdir()
    return tmp_path


def test_files_that_are_there(disk, train_opt, test_opt, problems_of):
    in_lmdb = (('datasets.train.dataroot_gt', 'datasets/photos.lmdb'), ('datasets.train.io_backend.type', 'lmdb'))
    assert problems_of(train_opt(), check_files=True) == []
    assert problems_of(train_opt(*in_lmdb), check_files=True) == []
    assert problems_of(test_opt(), is_train=False, check_files=True) == []


@pytest.mark.parametrize(
    'backend, root, pattern',
    [
        ('disk', 'datasets/nowhere', r'datasets/nowhere does not exist \(seen from .*\): docs/data.md says where.*'),
        ('lmdb', 'datasets/sample/train.lmdb', r'datasets/sample/train.lmdb does not exist .*: ./quickstart.sh .*'),
        ('lmdb', 'datasets/photos', r'io_backend is lmdb, so a folder that ends in .lmdb is .*: .* stea-data lmdb.*'),
        ('lmdb', 'datasets/hollow.lmdb', r'datasets/hollow.lmdb holds no data.mdb.*'),
        ('disk', 'datasets/photos.lmdb', r'datasets/photos.lmdb is an LMDB, but io_backend is disk.*'),
        ('disk', 'datasets/empty', r'datasets/empty is empty, expected images'),
        ('disk', 'weights.pth', r'weights.pth is a file, expected a folder of images or an LMDB'),
    ],
)
def test_data_that_is_not_there(backend, root, pattern, disk, train_opt, problems_of):
    opt = train_opt(('datasets.train.dataroot_gt', root), ('datasets.train.io_backend.type', backend))
    only(problems_of(opt, check_files=True), f'datasets.train.dataroot_gt: {pattern}')


def test_weights_lists_and_states_that_are_not_there(disk, train_opt, problems_of):
    opt = train_opt(
        ('path.pretrain_network_g', 'no.pth'), ('path.resume_state', '5.state'), ('datasets.train.meta_info', 'no.txt')
    )
    problems = problems_of(opt, check_files=True)
    assert [p.split(': ')[0] for p in problems] == [
        'datasets.train.meta_info', 'path.pretrain_network_g', 'path.resume_state'
    ]  # fmt: skip
    assert 'no.pth is not a file' in problems[1] and '--auto_resume' in problems[2]


def test_home_folder_is_expanded(disk, train_opt, problems_of, monkeypatch):
    monkeypatch.setenv('HOME', str(disk))
    assert problems_of(train_opt(('datasets.train.dataroot_gt', '~/datasets/photos')), check_files=True) == []


REAL = [  # what makes the pixel stage of RealNet of the small training file
    ('model_type', 'RealNetModel'),
    ('network_g.type', 'RealNet'),
    ('gt_size', 64),
    ('datasets.train.type', 'RealWorldDataset'),
    ('datasets.train.gt_size', ...),
    ('datasets.train.crop_pad_size', 96),
]
GAN = [
    ('model_type', 'RealGANModel'),
    ('network_d', {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3}),
    ('train.optim_d', {'type': 'Adam', 'lr': 1e-4}),
    ('train.gan_opt', {'type': 'GANLoss', 'gan_type': 'vanilla'}),
]


def test_both_stages_and_both_streams_pass(train_opt, test_opt, problems_of):
    for changes in ([], GAN, [('network_g.streams', 2)], [('datasets.train.dataroot_gt', ['a', 'b'])]):
        assert problems_of(train_opt(*REAL, *changes)) == []
    changes = [('model_type', 'RealNetModel'), ('network_g.type', 'RealNet'), ('network_g.streams', 2)]
    assert problems_of(test_opt(*changes, ('network_g.deblur', 1.0)), is_train=False) == []


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ([('gt_size', 98)], r'gt_size: must fit into datasets\.train\.crop_pad_size, which is 96, got 98'),
        ([('gt_size', 63)], r'gt_size: must be a multiple of the scale 2, got 63'),
        ([('gt_size', ...)], r'gt_size: missing, expected an integer'),
        ([('datasets.train.crop_pad_size', 97)], r'crop_pad_size: must be a multiple of the scale 2, got 97; 96 is'),
        ([('recipe', 'all')], r"recipe: expected full or blur_jpeg, got 'all'"),
        ([('resize_range2', [1.1, 1.5])], r'resize_range2: must have 1 between its ends, got \[1\.1, 1\.5\]'),
        ([('resize_prob', [0, 0, 0])], r'resize_prob: must be 3 weights of at least 0, not all of them 0'),
        ([('datasets.train.kernel_prob', [1.0])], r'datasets\.train\.kernel_prob: must be'),
        ([('queue_size', -1)], r'queue_size: expected an integer >= 0 and <= 100000, got -1'),
        ([('gt_usm', 1)], r'gt_usm: expected true or false, got 1'),
        ([('l1_gt_usm', True)], r'l1_gt_usm: a key of RealESRGANModel, RealGANModel, RealNetModel ignores it'),
        ([('model_type', 'LabNetModel')], r'type: RealWorldDataset gives kernels .* RealGANModel, RealNetModel take'),
        ([('network_g.deblur', 1.0)], r'network_g\.deblur: only read with streams: 2; remove it, or change streams'),
        ([('network_g.streams', 2), ('network_g.denoise', 1.0)], r'network_g\.denoise: counts when testing only'),
        ([('network_g.streams', 3)], r'network_g\.streams: expected 1 or 2, got 3'),
        ([('network_g.num_in_ch', 1)], r'network_g\.num_in_ch: must be 3, as \w+ gives RGB'),
        ([('datasets.val.type', 'RealWorldDataset')], r'datasets\.val\.type: is for training; use PairedImageDataset'),
        ([*GAN, ('train.ldl_opt', {'type': 'L1Loss'})], r'ldl_opt: a key of RealESRGANModel, RealGANModel ignores it'),
    ],
)
def test_what_does_not_go_together_on_photographs(train_opt, problems_of, changes, expected):
    problems = problems_of(train_opt(*REAL, *changes))
    assert any(re.search(expected, problem) for problem in problems), problems


def test_two_streams_want_two_versions(train_opt, problems_of):
    (problem,) = problems_of(train_opt(('network_g.type', 'RealNet'), ('network_g.streams', 2)))
    assert re.match(r'network_g\.streams: 2 streams are trained on .* which RealGANModel, RealNetModel make', problem)


def test_our_models_validate_on_pairs_and_on_photographs_alone(train_opt, problems_of):
    both = [*REAL, ('datasets.val_2', SINGLE)]
    assert problems_of(train_opt(*both)) == []
    for spoil in ([('datasets.val', SINGLE)], [('model_type', 'SRModel')]):
        problems = problems_of(train_opt(*both, *spoil))
        assert any('has no ground truth, which psnr of val.metrics needs' in problem for problem in problems)


def test_roots_lists_and_vgg_are_looked_for(train_opt, problems_of, tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/photo.png').write_bytes(b'')
    roots = [('datasets.train.dataroot_gt', [str(tmp_path / 'a'), str(tmp_path / 'b')])]
    roots += [('datasets.train.meta_info', [None, str(tmp_path / 'b.txt')]), ('path.vgg19', 'vgg.pth')]
    problems = [p for p in problems_of(train_opt(*REAL, *roots), check_files=True) if 'datasets.val' not in p]
    assert [problem.split(': ')[0] for problem in problems] == [
        'datasets.train.dataroot_gt', 'datasets.train.meta_info', 'path.vgg19'
    ]  # fmt: skip
    assert 'get it from https://download.pytorch.org/models/vgg19-dcbb9e9d.pth' in problems[-1]


def test_a_metric_whose_best_would_be_the_worst(train_opt, problems_of):
    niqe = {'type': 'calculate_niqe', 'crop_border': 0}
    opt = train_opt(('val.metrics', {'niqe': niqe}), ('val.save_best', 'niqe'))
    only(problems_of(opt), 'val.metrics.niqe.better: higher, as written or left out, would keep .* better: lower')
    opt = train_opt(('val.metrics', {'niqe': {**niqe, 'better': 'lower'}}), ('val.save_best', 'niqe'))
    assert problems_of(opt) == []


def test_a_list_of_roots_is_for_training(train_opt, problems_of):
    opt = train_opt(('datasets.val.dataroot_gt', ['datasets/a', 'datasets/b']))
    only(problems_of(opt), 'datasets.val.dataroot_gt: one folder or LMDB, expected in evaluation; write a dataset .*')


@pytest.mark.parametrize(('name', 'reason'), [('x' * 5000, 'cannot be looked at: File name too long'), ('a\0b', '')])
@pytest.mark.parametrize('key', ['datasets.train.dataroot_gt', 'path.pretrain_network_g', 'datasets.train.meta_info'])
def test_a_path_that_the_system_refuses(disk, train_opt, problems_of, key, name, reason):
    only(problems_of(train_opt((key, name)), check_files=True), rf'{key}: .*{reason}.*')
