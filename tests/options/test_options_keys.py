"""Keys, types, choices and arguments of single sections."""

import copy
import re

import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from stea_arch.options import OptionError
from stea_arch.options.check import check_options


def only(problems, pattern):
    assert len(problems) == 1 and re.fullmatch(pattern, problems[0]), problems


def test_good_files_pass(train_opt, test_opt, problems_of):
    assert problems_of(train_opt()) == []
    assert problems_of(test_opt(), is_train=False) == []


def test_check_leaves_the_options_alone(train_opt):
    opt = train_opt()
    before = copy.deepcopy(opt)
    check_options(opt, True, check_files=False)
    assert opt == before


def test_all_problems_come_at_once_with_path_and_nearest_key(train_opt):
    opt = train_opt(
        ('datasets.train.gt_sise', 96),
        ('datasets.train.gt_size', ...),
        ('train.total_itr', 5),
        ('network_g.num_fea', 16),
    )
    with pytest.raises(OptionError) as caught:
        check_options(opt, True, check_files=False)
    message = str(caught.value)
    assert message.startswith('4 problems in the options:\n')
    assert "datasets.train.gt_sise: unknown key (did you mean 'gt_size'?)" in message
    assert 'datasets.train.gt_size: missing, expected an integer >= 1' in message
    assert "train.total_itr: unknown key (did you mean 'total_iter'?)" in message
    assert "network_g.num_fea: LabNet has no such argument (did you mean 'num_feat'?)" in message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize('opt', [None, [], 'text', 3])
def test_no_mapping(opt, problems_of):
    only(problems_of(opt), r': expected keys and values .*')


@pytest.mark.parametrize(
    'change, pattern',
    [
        (('train.optim_g.lr', '1e-4'), r'train.optim_g.lr: .* text.*: write 1\.0e-4 or !!float 1e-4'),
        (('train.total_iter', '5e3'), r'train.total_iter: .*: write 5\.0e\+3 or !!float 5e3'),
        (('train.optim_g.betas', ['9e-1', 0.99]), r'train.optim_g.betas: .*: write 9\.0e-1 or !!float 9e-1'),
        (('datasets.train.gt_size', '1e2'), r'datasets.train.gt_size: .*; write 100'),
        (('datasets.train.gt_size', 96.0), r'datasets.train.gt_size: expected an integer >= 1, got 96.0; write 96'),
        (('datasets.train.gt_size', '96'), r"datasets.train.gt_size: .* got '96' \(text\); write 96"),
        (('datasets.train.gt_size', True), r'datasets.train.gt_size: expected an integer >= 1, got True'),
        (('datasets.train.use_rot', 'true'), r'datasets.train.use_rot: .*; quotes make it text: write true'),
        (('train.total_iter', 10.5), r'train.total_iter: expected a whole number >= 1, got 10.5'),
        (('train.ema_decay', 1), r'train.ema_decay: expected a number >= 0 and < 1, got 1'),
        (('train.optim_g', None), r'train.optim_g: expected a section .*, got nothing \(~\)'),
        (('train.amp', 'fp32'), r"train.amp: expected ~ or bf16 or fp16, got 'fp32' \(text\)"),
        (('train.grad_clip_norm', 0), r'train.grad_clip_norm: expected ~ or a number > 0, got 0'),
        (('logger.keep_checkpoints', 0), r'logger.keep_checkpoints: expected ~ or an integer >= 1, got 0'),
        (('num_gpu', 'all'), r"num_gpu: expected auto or an integer >= 0, got 'all' \(text\)"),
        (('name', 'a/b'), r"name: expected one word without slashes .*'a/b' \(text\)"),
        (('name', '..'), r'name: expected one word.*'),
        (('name', ''), r'name: expected one word.*'),
        (('datasets.train.kernel_size', 20), r'datasets.train.kernel_size: expected an odd integer .* got 20'),
        (('datasets.train.sigma_range', [2.0, 0.2]), r'datasets.train.sigma_range: expected \[lo, hi\] .*'),
        (('datasets.train.sigma_range', [0, 2.0]), r'datasets.train.sigma_range: expected \[lo, hi\] .*'),
        (('datasets.train.noise_range', [0, 300]), r'datasets.train.noise_range: .* <= hi <= 255, got \[0, 300\]'),
        (('datasets.train.kernel_noise', 1), r'datasets.train.kernel_noise: expected a number >= 0 and < 1, got 1'),
        (('datasets.train.kernel_type', 'iso'), r'datasets.train.kernel_type: expected isotropic or anisotropic.*'),
        (('datasets.train.prefetch_mode', 'gpu'), r'datasets.train.prefetch_mode: expected ~ or cpu or cuda.*'),
        (('datasets.train.io_backend.type', 'LMDB'), r'datasets.train.io_backend.type: expected disk or lmdb.*'),
        (('network_g.num_feat', 16_000_000), 'network_g.num_feat: expected a multiple of 16 up to 4096, got 16000000'),
        (('datasets.train.num_worker_per_gpu', 100_000), '.*num_worker_per_gpu: .* <= 256, got 100000'),
        (('network_g.num_blocks', [10**7, 1, 1, 1, 1, 1]), r'.*num_blocks: .* <= 200, got \[10000000.*'),
        (('network_g.num_feat', 24), r'network_g.num_feat: expected a multiple of 16 up to 4096, got 24'),
        (('network_g.num_blocks', [1, 1, 1]), r'network_g.num_blocks: expected a list of 6 elements.*'),
        (('network_g.attention', 'steaa'), r"network_g.attention: expected stea or .* or none, got 'steaa' \(text\)"),
        (('network_g.dilations', []), r'network_g.dilations: expected a list of 1 or more elements.*'),
        (('network_g.dilations', [2, 0]), r'network_g.dilations: expected a list .* <= 64, got \[2, 0\]'),
        (('network_g.large_field', 1), r'network_g.large_field: expected true or false, got 1'),
        (('val.metrics.psnr.crop_border', 2.5), r'val.metrics.psnr.crop_border: expected an integer >= 0, got 2.5'),
        (('val.metrics.psnr.better', 'up'), r'val.metrics.psnr.better: expected higher or lower.*'),
        (('val.metrics', ['psnr']), r'val.metrics: expected ~ or a section .*'),
        (('train.scheduler.milestones', 500), r'train.scheduler.milestones: expected a list .*, got 500'),
        (('path.param_key_g', 'params_emma'), r'path\.param_key_g: expected .*params_ema.*params_emma.*'),
        (('train.optim_g.fused', False), r'train.optim_g.fused: LabNetModel chooses the fused kernels .*'),
        (('manual_seed', -1), r'manual_seed: expected ~ or an integer >= 0, got -1'),
        (('train.perceptual_opt', {'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 'x'}}),
         r'train.perceptual_opt.layer_weights: expected numbers >= 0 by name, got .*'),
    ],
)  # fmt: skip
def test_mistyped_value(change, pattern, train_opt, problems_of):
    only(problems_of(train_opt(change)), pattern)


@pytest.mark.parametrize(
    'change',
    [
        ('train.total_iter', 3e5),
        ('train.scheduler.milestones', [1e3, 2e3]),
        ('train.amp', 'bf16'),
        ('train.optim_g.type', 'AdamW'),
        ('train.optim_g.amsgrad', True),
        ('train.perceptual_opt', {'type': 'EfficientNetLoss', 'layer_weights': {'block2': 0.02}}),
        ('val.save_best', 'psnr'),
        ('logger.keep_checkpoints', 2),
        ('logger.pbar', True),
        ('logger.wandb', {'project': None, 'resume_id': None}),
        ('num_gpu', 'auto'),
        ('dist_params', {'backend': 'nccl', 'port': 29500}),
        ('path.ignore_resume_networks', 'network_d'),
        ('path.param_key_g', 'params'),
        ('path.param_key_g', 'params_ema'),
        ('path.param_key_g', None),
        ('datasets.val_2', {'name': 'Set14', 'type': 'ClassicalDegradationDataset', 'dataroot_gt': 'x',
                            'io_backend': {'type': 'disk'}, 'num_kernels': 3}),
    ],
)  # fmt: skip
def test_good_value(change, train_opt, problems_of):
    assert problems_of(train_opt(change)) == []


@pytest.mark.parametrize(
    'path, advice',
    [
        ('name', 'missing, expected one word'),
        ('num_gpu', 'missing, expected auto or an integer >= 0; write auto'),
        ('scale', 'missing, expected an integer'),
        ('path', 'missing, expected a section'),
        ('logger', 'missing, expected a section'),
        ('logger.use_tb_logger', 'write use_tb_logger: false'),
        ('val.val_freq', 'missing, expected a whole number'),
        ('val.save_img', 'write save_img: false'),
        ('datasets.train', 'missing, there is nothing to train on'),
        ('datasets.train.batch_size_per_gpu', 'missing, expected an integer'),
        ('datasets.train.io_backend', 'missing, expected a section'),
        ('network_g', 'missing, expected a section'),
        ('network_g.type', 'missing, expected text'),
        ('train.optim_g.type', 'missing, expected text'),
        ('train.optim_g.lr', 'missing, BasicSR has no default for it'),
        ('train.scheduler', 'missing, expected a section'),
        ('train.scheduler.milestones', 'MultiStepRestartLR needs this argument and it is missing'),
        ('train.pixel_opt.type', 'missing, expected text'),
        ('val.metrics.psnr.type', 'missing, expected text'),
        ('val.metrics.psnr.crop_border', 'calculate_psnr needs this argument and it is missing'),
        ('datasets.val.type', 'missing, expected text'),
    ],
)
def test_missing_key(path, advice, train_opt, problems_of):
    problems = problems_of(train_opt((path, ...)))
    assert any(p.startswith(f'{path}: ') and advice in p for p in problems), problems


@pytest.mark.parametrize(
    'path, near, registry',
    [
        ('model_type', 'LabNetModle', 'LabNetModel'),
        ('network_g.type', 'LabNett', 'LabNet'),
        ('datasets.train.type', 'ClassicalDegradationDatasets', 'ClassicalDegradationDataset'),
        ('train.pixel_opt.type', 'L1Los', 'L1Loss'),
        ('val.metrics.psnr.type', 'calculate_psmr', 'calculate_psnr'),
        ('train.scheduler.type', 'MultistepLR', 'MultiStepLR'),
        ('train.optim_g.type', 'adam', 'Adam'),
    ],
)
def test_unknown_type_gets_the_nearest_name(path, near, registry, train_opt, problems_of):
    only(problems_of(train_opt((path, near))), rf".*{near}.*\(did you mean '{registry}'\?\)")


def test_key_of_another_model_names_its_owner(train_opt, problems_of):
    opt = train_opt(
        ('model_type', 'SRModel'), ('train.amp', 'bf16'), ('train.max_bad_steps', 3), ('val.save_best', 'psnr')
    )
    problems = problems_of(opt)
    assert [p.split(': ')[0] for p in problems] == ['val.save_best', 'train.amp', 'train.max_bad_steps']
    assert all('a key of LabNetModel, RealGANModel, RealNetModel, SRModel ignores it' in p for p in problems)
    only(
        problems_of(train_opt(('train.net_d_iters', 1))),
        '.*a key of ESRGANModel, RealESRGANModel, RealGANModel, SRGANModel, .*',
    )
    only(problems_of(train_opt(('model_type', 'SRModel'), ('train.optim_g.type', 'AdamW'))), ".*'AdamW'.*'Adam'.*")


def test_misplaced_key_names_its_section(train_opt, test_opt, problems_of):
    only(problems_of(train_opt(('save_img', True))), 'save_img: unknown key here, it belongs in val')
    only(problems_of(train_opt(('val.scale', 2))), 'val.scale: unknown key here, it belongs at the top level')
    only(problems_of(train_opt(('datasets.train.scale', 2))), r'datasets.train.scale: BasicSR fills it in.*remove it')
    only(problems_of(train_opt(('datasets.train.filename_tmpl', '{}'))), '.*: a key of PairedImageDataset.*')


def test_keys_that_a_phase_does_not_read(train_opt, test_opt, problems_of):
    validated, trained = ('datasets.val.batch_size_per_gpu', 1), ('datasets.train.num_kernels', 8)
    only(problems_of(train_opt(validated)), f'{validated[0]}: nothing reads this key in the val phase.*')
    only(problems_of(train_opt(trained)), f'{trained[0]}: nothing reads this key in the train phase.*')
    only(problems_of(test_opt(('val.val_freq', 8)), False), 'val.val_freq: nothing reads this key in the test .*')
    opt = train_opt(('path.pretrain_network_g', 'x.pth'))
    del opt['train']
    problems = problems_of(opt, is_train=False)
    assert any(p.startswith('datasets.train: in a test file datasets are named test, test_1') for p in problems)


def test_dataset_names(train_opt, problems_of):
    only(problems_of(train_opt(('datasets.test', {}))), 'datasets.test: in a train file datasets are named train, .*')
    only(problems_of(train_opt(('datasets.train_2', {}))), 'datasets.train_2: in a train file .*')


def test_kwargs_of_basicsr_swallow_nothing(train_opt, problems_of):
    swinir = {'type': 'SwinIR', 'window_size': 8, 'upscale': 2, 'embed_dims': 60}
    only(problems_of(train_opt(('network_g', swinir))), r"network_g.embed_dims: .*\(did you mean 'embed_dim'\?\)")
    only(problems_of(train_opt(('val.metrics.psnr.test_y_chanel', True))), r'.*did you mean .test_y_channel.*')


@pytest.fixture
def other_plugin(monkeypatch):
    class ForeignModel:
        pass

    class ForeignDataset:
        pass

    class ForeignNet(torch.nn.Module):
        def __init__(self, upscale=4, **kwargs):
            super().__init__()

    def foreign_metric(img, img2, **kwargs):
        return 0

    for registry, thing in (
        (MODEL_REGISTRY, ForeignModel), (DATASET_REGISTRY, ForeignDataset), (ARCH_REGISTRY, ForeignNet),
        (METRIC_REGISTRY, foreign_metric),
    ):  # fmt: skip
        monkeypatch.setitem(registry._obj_map, thing.__name__, thing)


def test_other_plugins_may_have_keys_of_their_own(other_plugin, train_opt, problems_of):
    opt = train_opt(
        ('datasets.train.type', 'ForeignDataset'),
        ('datasets.train.colours', 3),
        ('network_g', {'type': 'ForeignNet', 'upscale': 2, 'magic': 1}),
        ('val.metrics.magic', {'type': 'foreign_metric', 'm': 1}),
    )
    assert problems_of(opt) == []
    foreign = ('model_type', 'ForeignModel')
    assert problems_of(train_opt(foreign, ('train.magic', 1), ('magic', 2), ('logger.magic', 3))) == []
    only(problems_of(train_opt(foreign, ('logger.use_tb_logger', ...))), 'logger.use_tb_logger: missing.*')
    only(problems_of(train_opt(('datasets.train.type', 'ForeignDataset'), ('path.magic', 1))), 'path.magic: unknown .*')


def paths_of(opt, prefix=''):
    for key, value in opt.items():
        yield f'{prefix}{key}'
        if isinstance(value, dict):
            yield from paths_of(value, f'{prefix}{key}.')


@pytest.mark.parametrize('junk', [None, 'junk', '1e-4', -7, 2.5, True, [], [None, 'x'], {}, {'type': []}, {1: {2: 3}}])
def test_junk_anywhere_is_reported_and_never_crashes(junk, train_opt, test_opt, problems_of):
    for make, is_train in ((train_opt, True), (test_opt, False)):
        assert sum(bool(problems_of(make((path, junk)), is_train)) for path in paths_of(make())) > len(make())
        for path in paths_of(make()):
            assert problems_of(make(('network_g.type', 'EDSR'), (path, junk)), is_train) != []
