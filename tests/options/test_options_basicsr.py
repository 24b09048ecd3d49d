"""What BasicSR itself reads must pass: its models, datasets and the keys of its own option files."""

import warnings

import pytest
import torch
from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY

from stea_arch.options import schema
from stea_arch.system.console import set_up_console

ADAM = {'type': 'Adam', 'lr': 1e-4, 'weight_decay': 0, 'betas': [0.9, 0.99]}
L1 = {'type': 'L1Loss', 'loss_weight': 1e-2, 'reduction': 'mean'}
GAN = {'type': 'GANLoss', 'gan_type': 'vanilla', 'real_label_val': 1.0, 'fake_label_val': 0.0, 'loss_weight': 5e-3}
PERCEPTUAL = {
    'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 1}, 'vgg_type': 'vgg19', 'use_input_norm': True,
    'range_norm': False, 'perceptual_weight': 1.0, 'style_weight': 0, 'criterion': 'l1',
}  # fmt: skip
METRIC = {'crop_border': 4, 'test_y_channel': False}
DISK = {'type': 'disk'}
LOADER = {'num_worker_per_gpu': 6, 'batch_size_per_gpu': 16, 'dataset_enlarge_ratio': 100, 'prefetch_mode': None}
PAIRED = {'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': DISK}
MEAN = {'img_range': 255.0, 'rgb_mean': [0.4488, 0.4371, 0.404]}
CHANNELS = {'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 64}
NETWORKS = {
    'EDSR': {**CHANNELS, 'num_block': 16, 'upscale': 4, 'res_scale': 1, **MEAN},
    'RCAN': {**CHANNELS, 'num_group': 10, 'num_block': 20, 'squeeze_factor': 16, 'upscale': 4, 'res_scale': 1, **MEAN},
    'MSRResNet': {**CHANNELS, 'num_block': 16, 'upscale': 4},
    'RRDBNet': {**CHANNELS, 'num_block': 23},
    'SRVGGNetCompact': {**CHANNELS, 'num_conv': 16, 'upscale': 4, 'act_type': 'prelu'},
    'ECBSR': {'num_in_ch': 3, 'num_out_ch': 3, 'num_block': 4, 'num_channel': 16, 'with_idt': False,
              'act_type': 'prelu', 'scale': 4},
    'SwinIR': {'upscale': 4, 'in_chans': 3, 'img_size': 48, 'window_size': 8, 'img_range': 1.0, 'depths': [6] * 6,
               'embed_dim': 180, 'num_heads': [6] * 6, 'mlp_ratio': 2, 'upsampler': 'pixelshuffle',
               'resi_connection': '1conv'},
}  # fmt: skip


def training(model_type, network):
    return {
        'name': '201_EDSR_Mx2_f64b16', 'model_type': model_type, 'scale': 4, 'num_gpu': 'auto', 'manual_seed': 10,
        'datasets': {
            'train': {'name': 'DIV2K', **PAIRED, 'meta_info_file': 'a.txt', 'filename_tmpl': '{}', 'gt_size': 128,
                      'use_hflip': True, 'use_rot': True, 'color': 'y', 'mean': [0.5, 0.5, 0.5], 'std': [1, 1, 1],
                      **LOADER},
            'val': {'name': 'Set5', **PAIRED}, 'val_2': {'name': 'Set14', **PAIRED, 'filename_tmpl': '{}x4'},
        },
        'network_g': {'type': network, **NETWORKS[network]},
        'path': {'pretrain_network_g': None, 'param_key_g': 'params_ema', 'strict_load_g': True, 'resume_state': None},
        'train': {
            'ema_decay': 0.999, 'optim_g': dict(ADAM), 'total_iter': 1e6, 'warmup_iter': -1, 'pixel_opt': dict(L1),
            'scheduler': {'type': 'MultiStepLR', 'milestones': [200000, 300000], 'gamma': 0.5},
        },
        'val': {'val_freq': 5e3, 'save_img': False, 'pbar': False,
                'metrics': {'psnr': {'type': 'calculate_psnr', **METRIC}, 'ssim': {'type': 'calculate_ssim', **METRIC},
                            'niqe': {'type': 'calculate_niqe', 'crop_border': 4, 'better': 'lower'}}},
        'logger': {'print_freq': 100, 'save_checkpoint_freq': 5e3, 'use_tb_logger': True,
                   'wandb': {'project': None, 'resume_id': None}},
        'dist_params': {'backend': 'nccl', 'port': 29500},
        'find_unused_parameters': False,
    }  # fmt: skip


def adversarial(model_type, network='RRDBNet'):
    opt = training(model_type, network)
    opt['network_d'] = {'type': 'VGGStyleDiscriminator', 'num_in_ch': 3, 'num_feat': 64}
    opt['path'].update(pretrain_network_d=None, strict_load_d=True, param_key_d='params', ignore_resume_networks='x')
    opt['train'].update(optim_d=dict(ADAM), gan_opt=dict(GAN), perceptual_opt=dict(PERCEPTUAL))
    opt['train'].update(net_d_iters=1, net_d_init_iters=0)
    return opt


BLURS = {
    'blur_kernel_size': 21, 'kernel_list': ['iso', 'aniso'], 'kernel_prob': [0.5, 0.5], 'sinc_prob': 0.1,
    'blur_sigma': [0.2, 3], 'betag_range': [0.5, 4], 'betap_range': [1, 2],
}  # fmt: skip


def second_order(opt):
    steps = {
        'resize_prob': [0.2, 0.7, 0.1], 'resize_range': [0.15, 1.5], 'gaussian_noise_prob': 0.5, 'noise_range': [1, 30],
        'poisson_scale_range': [0.05, 3], 'gray_noise_prob': 0.4, 'jpeg_range': [30, 95],
    }  # fmt: skip
    opt.update(steps, second_blur_prob=0.8, gt_size=256, queue_size=180)
    opt.update({f'{key}2': value for key, value in steps.items()})
    opt['datasets']['train'] = {
        'name': 'DF2K', 'type': 'RealESRGANDataset', 'dataroot_gt': 'gt', 'meta_info': 'list.txt', 'io_backend': DISK,
        **BLURS, **{f'{key}2': value for key, value in BLURS.items()}, 'final_sinc_prob': 0.8, 'gt_size': 256,
        'use_hflip': True, 'use_rot': False, **LOADER,
    }  # fmt: skip
    return opt


@pytest.mark.parametrize('network', NETWORKS)
def test_training_of_its_networks(network, problems_of):
    assert problems_of(training('SwinIRModel' if network == 'SwinIR' else 'SRModel', network)) == []


@pytest.mark.parametrize('model_type', ['SRGANModel', 'ESRGANModel'])
def test_adversarial_models(model_type, problems_of):
    assert problems_of(adversarial(model_type)) == []


def test_second_order_models(problems_of, monkeypatch):
    opt = second_order(adversarial('RealESRGANModel'))
    opt.update(l1_gt_usm=True, percep_gt_usm=True, gan_gt_usm=False)
    opt['train']['ldl_opt'] = dict(L1)
    pixel_only = {**second_order(training('RealESRNetModel', 'RRDBNet')), 'gt_usm': True}
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert problems_of(opt) == []
    assert problems_of(pixel_only) == []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert [p.split(': ')[0] for p in problems_of(pixel_only)] == ['model_type']


@pytest.mark.parametrize('spoil', ['gt_usm', 'jpeg_range2'])
def test_second_order_needs_all_its_keys(spoil, problems_of):
    opt = {**second_order(training('RealESRNetModel', 'RRDBNet')), 'gt_usm': True}
    del opt[spoil]
    assert f'{spoil}: missing, RealESRNetModel degrades images with it' in problems_of(opt)


def test_second_order_data_is_for_second_order_models(problems_of):
    opt = training('SRModel', 'RRDBNet')
    opt['datasets']['train'] = second_order(training('SRModel', 'RRDBNet'))['datasets']['train']
    (problem,) = problems_of(opt)
    assert problem.startswith('datasets.train.type: RealESRGANDataset gives kernels in place of lq images')


@pytest.mark.parametrize('missing', ['gan_opt', 'optim_d'])
def test_adversarial_models_need_their_parts(missing, problems_of):
    opt = adversarial('ESRGANModel')
    del opt['train'][missing]
    assert problems_of(opt)[0].startswith(f'train.{missing}: missing')


def test_ldl_is_read_by_one_model_only(problems_of):
    opt = adversarial('ESRGANModel')
    opt['train']['ldl_opt'] = dict(L1)
    (problem,) = problems_of(opt)
    assert problem.startswith('train.ldl_opt: a key of RealESRGANModel, ESRGANModel ignores it')


def test_keys_that_are_dead_in_its_successors_warn(problems_of):
    opt = training('SRModel', 'EDSR')
    opt['print_network'] = opt['datasets']['train']['use_shuffle'] = True
    opt['datasets']['train']['io_backend'] = {'type': 'lmdb', 'readahead': True}
    with pytest.warns(UserWarning) as warned:
        assert problems_of(opt) == []
    keys = ['print_network', 'datasets.train.use_shuffle', 'datasets.train.io_backend.readahead']
    assert [str(warning.message).split(': nothing reads this key')[0] for warning in warned] == keys


def test_a_warning_of_ours_is_a_line_and_others_keep_their_place(monkeypatch):
    monkeypatch.setattr(warnings, 'formatwarning', warnings.formatwarning)
    set_up_console()
    shown = [warnings.formatwarning('odd', UserWarning, file, 7) for file in (schema.__file__, __file__)]
    assert shown[0] == 'Warning: odd\n' and shown[1].startswith(f'{__file__}:7: UserWarning: odd\n')


def test_loose_warns_of_what_nothing_reads_and_of_nothing_else(problems_of):
    opt = training('SRModel', 'EDSR')
    opt.update(crop_border=4, suffix='x')
    opt['datasets']['val']['batch_size_per_gpu'] = 1
    opt['val']['metrics']['psnr']['colour'] = 'y'  # calculate_psnr takes **kwargs
    opt['network_g']['ema_decay'] = 0.999  # EDSR does not: BasicSR would fail
    assert len(problems_of(opt)) == 5
    with pytest.warns(UserWarning) as warned:
        assert [p.split(':')[0] for p in problems_of(opt, loose=True)] == ['network_g.ema_decay']
    expected = ['crop_border', 'suffix', 'datasets.val.batch_size_per_gpu', 'val.metrics.psnr.colour']
    assert [str(warning.message).split(':')[0] for warning in warned] == expected


def test_other_people_s_class_of_the_same_name_has_keys_of_its_own(problems_of, monkeypatch):
    """HAT's and Real-ESRGAN's RealESRGANDataset stand in the registry beside BasicSR's."""
    theirs = type('RealESRGANDataset', (), {'__module__': 'hat.data.realesrgan_dataset'})
    opt = second_order(adversarial('RealESRGANModel'))
    opt['datasets']['train']['meta_info_file'] = 'list.txt'
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert [p.split(': ')[0] for p in problems_of(opt)] == ['datasets.train.meta_info_file']
    monkeypatch.setitem(DATASET_REGISTRY._obj_map, 'RealESRGANDataset', theirs)
    assert problems_of(opt) == []


def test_testing_with_and_without_ground_truth(problems_of):
    opt = {
        'name': 'ESRGAN', 'model_type': 'ESRGANModel', 'scale': 4, 'num_gpu': 'auto', 'manual_seed': 0,
        'datasets': {'test_1': {'name': 'Set5', **PAIRED}, 'test_2': {'name': 'Set14', **PAIRED}},
        'network_g': {'type': 'RRDBNet', **NETWORKS['RRDBNet'], 'num_grow_ch': 32},
        'path': {'pretrain_network_g': 'ESRGAN.pth', 'strict_load_g': True},
        'val': {'save_img': True, 'suffix': None, 'metrics': {'psnr': {'type': 'calculate_psnr', **METRIC}}},
    }  # fmt: skip
    assert problems_of(opt, is_train=False) == []
    opt['datasets'] = {'test': {'name': 'lq', 'type': 'SingleImageDataset', 'dataroot_lq': 'lq', 'io_backend': DISK}}
    opt['val'] = {'save_img': True, 'suffix': 'x4', 'metrics': {'niqe': {'type': 'calculate_niqe', 'crop_border': 0}}}
    assert problems_of(opt, is_train=False) == []


def test_everything_in_the_schema_is_registered():
    for names, registry in ((schema.DATASETS, DATASET_REGISTRY), (schema.MODELS, MODEL_REGISTRY)):
        assert [name for name in names if name not in registry and f'{name}_basicsr' not in registry] == []
