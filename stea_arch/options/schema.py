"""Which keys there are: BasicSR 1.4.2's, read from its source, and ours.

A table is ``{key: Key}``. Sections that are handed to a registered class or function as arguments (networks, losses,
optimisers, schedulers, metrics) have no table: ``signatures`` compares them with the signature.
"""

from dataclasses import dataclass

from stea_arch.options.kinds import (
    Kind,
    boolean,
    choice,
    count,
    either,
    fraction,
    integer,
    mapping,
    number,
    odd,
    optional,
    positive,
    sequence,
    span,
    text,
    word,
)

PIPELINE = 'pipeline'  # BasicSR's train.py, test.py and parse_options read it without a default
MODEL = 'model'  # the model or dataset reads it without a default


@dataclass(frozen=True)
class Key:
    """A known key.

    Args:
        kind (Kind): What its value may be.
        required (str): ``PIPELINE`` or ``MODEL``, whoever needs it; empty: may be left out.
        only (tuple[str]): Phases (train, val, test) that read it. Elsewhere it is refused, as it would do nothing.
        why (str): Said when a required key is missing, or when a key stands where nothing reads it.
    """

    kind: Kind
    required: str = ''
    only: tuple = ('train', 'val', 'test')
    why: str = ''


TRAIN_ONLY = ('train',)
VAL_ONLY = ('val', 'test')

TOP = {
    'name': Key(word(), PIPELINE),
    'model_type': Key(text(), PIPELINE),
    'scale': Key(integer(1), MODEL),
    'num_gpu': Key(either(choice('auto'), integer(0)), PIPELINE, why='write auto: all GPUs, or the CPU where none is'),
    'manual_seed': Key(optional(integer(0))),
    'datasets': Key(mapping(), PIPELINE),
    'network_g': Key(mapping(), MODEL),
    'path': Key(mapping(), PIPELINE, why='write path: and below it pretrain_network_g: ~'),
    'train': Key(mapping(), PIPELINE, TRAIN_ONLY),
    'val': Key(mapping()),
    'logger': Key(mapping(), PIPELINE, TRAIN_ONLY),
    'dist_params': Key(mapping()),
    'find_unused_parameters': Key(boolean()),
}
DIST_PARAMS = {'backend': Key(text()), 'port': Key(integer(1, 65535))}
PATH = {
    'pretrain_network_g': Key(optional(text())),
    'strict_load_g': Key(boolean()),
    'param_key_g': Key(optional(text())),
    'resume_state': Key(optional(text())),
    'ignore_resume_networks': Key(optional(either(text(), sequence(text())))),
}
TRAIN = {
    'ema_decay': Key(fraction()),
    'optim_g': Key(mapping(), MODEL),
    'scheduler': Key(mapping(), MODEL),
    'total_iter': Key(count(1), PIPELINE),
    'warmup_iter': Key(count(-1)),
    'pixel_opt': Key(optional(mapping())),
    'perceptual_opt': Key(optional(mapping())),
}
VAL = {
    'val_freq': Key(count(1), PIPELINE, TRAIN_ONLY),
    'save_img': Key(boolean(), PIPELINE, why='write save_img: false'),
    'suffix': Key(optional(word())),
    'pbar': Key(boolean()),
    'metrics': Key(optional(mapping())),
}
LOGGER = {
    'print_freq': Key(count(1), PIPELINE),
    'save_checkpoint_freq': Key(count(1), PIPELINE),
    'use_tb_logger': Key(boolean(), PIPELINE, why='write use_tb_logger: false'),
    'wandb': Key(optional(mapping())),
}
WANDB = {'project': Key(optional(text())), 'resume_id': Key(optional(text()))}

SR_MODEL = {'top': TOP, 'path': PATH, 'train': TRAIN, 'val': VAL, 'logger': LOGGER, 'optimizers': ('Adam',)}


def extended(base, **more):
    """A model's tables with further keys in some sections."""
    return {**base, **{s: {**base[s], **keys} if isinstance(keys, dict) else keys for s, keys in more.items()}}


LABNET_MODEL = extended(
    SR_MODEL,
    train={
        'amp': Key(optional(choice('bf16', 'fp16'))),
        'grad_clip_norm': Key(optional(positive())),
        'max_bad_steps': Key(integer(1)),
    },
    val={
        'self_ensemble': Key(boolean()),
        'inference': Key(optional(mapping())),
        'save_best': Key(optional(text()), only=TRAIN_ONLY),
    },
    logger={'keep_checkpoints': Key(optional(integer(1))), 'pbar': Key(boolean())},
    optimizers=('Adam', 'AdamW'),
)
GAN_MODEL = extended(
    SR_MODEL,
    top={'network_d': Key(mapping(), MODEL, TRAIN_ONLY)},
    path={
        'pretrain_network_d': Key(optional(text())),
        'strict_load_d': Key(boolean()),
        'param_key_d': Key(optional(text())),
    },
    train={
        'optim_d': Key(mapping(), MODEL),
        'gan_opt': Key(mapping(), MODEL),
        'net_d_iters': Key(integer(1)),
        'net_d_init_iters': Key(count(0)),
    },
)
PROBABILITIES = sequence(number(0), length=3)
SECOND_ORDER = {
    'resize_prob': Key(PROBABILITIES),
    'resize_range': Key(span(0)),
    'gaussian_noise_prob': Key(number(0, 1)),
    'noise_range': Key(span(0, 255)),
    'poisson_scale_range': Key(span(0)),
    'gray_noise_prob': Key(number(0, 1)),
    'jpeg_range': Key(span(0, 100)),
    'second_blur_prob': Key(number(0, 1)),
    'resize_prob2': Key(PROBABILITIES),
    'resize_range2': Key(span(0)),
    'gaussian_noise_prob2': Key(number(0, 1)),
    'noise_range2': Key(span(0, 255)),
    'poisson_scale_range2': Key(span(0)),
    'gray_noise_prob2': Key(number(0, 1)),
    'jpeg_range2': Key(span(0, 100)),
    'gt_size': Key(integer(1)),
}
POOL = {'queue_size': Key(integer(1)), 'high_order_degradation': Key(boolean())}
REAL_ESRNET = extended(SR_MODEL, top={**SECOND_ORDER, **POOL, 'gt_usm': Key(boolean())})
REAL_ESRGAN = extended(
    GAN_MODEL,
    top={**SECOND_ORDER, **POOL, **{f'{loss}_gt_usm': Key(boolean()) for loss in ('l1', 'percep', 'gan')}},
    train={'ldl_opt': Key(optional(mapping()))},
)
MODELS = {
    'LabNetModel': LABNET_MODEL,
    'SRModel': SR_MODEL,
    'SwinIRModel': SR_MODEL,
    'SRGANModel': GAN_MODEL,
    'ESRGANModel': GAN_MODEL,
    'RealESRNetModel': REAL_ESRNET,
    'RealESRGANModel': REAL_ESRGAN,
}

LOADER = {
    'name': Key(text(), PIPELINE),
    'type': Key(text(), PIPELINE),
    'num_worker_per_gpu': Key(integer(0), PIPELINE, TRAIN_ONLY, 'BasicSR validates with no workers'),
    'batch_size_per_gpu': Key(integer(1), PIPELINE, TRAIN_ONLY, 'BasicSR validates image by image'),
    'dataset_enlarge_ratio': Key(positive(), '', TRAIN_ONLY),
    'prefetch_mode': Key(optional(choice('cpu', 'cuda'))),
    'num_prefetch_queue': Key(integer(1)),
    'pin_memory': Key(boolean()),
    'persistent_workers': Key(boolean()),
}
IO_BACKEND = {'type': Key(choice('disk', 'lmdb'), PIPELINE)}
IO_BACKEND_BASICSR = {  # FileClient hands the rest to its back end
    'type': Key(choice('disk', 'lmdb', 'memcached'), PIPELINE),
    **{name: Key(boolean()) for name in ('readonly', 'lock', 'readahead')},
    **{name: Key(text()) for name in ('server_list_cfg', 'client_cfg', 'sys_path')},
}
FLIPS = {'use_hflip': Key(boolean(), MODEL, TRAIN_ONLY), 'use_rot': Key(boolean(), MODEL, TRAIN_ONLY)}
CROP = {'gt_size': Key(integer(1), MODEL, TRAIN_ONLY), **FLIPS}
GT = {**LOADER, 'dataroot_gt': Key(text(), MODEL), 'io_backend': Key(mapping(), MODEL)}
PAIRED = {
    **GT,
    **CROP,
    'dataroot_lq': Key(text(), MODEL),
    'filename_tmpl': Key(text()),
    'mean': Key(optional(sequence(number()))),
    'std': Key(optional(sequence(positive()))),
}
KERNEL_NAMES = ('iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso')
BLURS = {
    'blur_kernel_size': Key(odd(3, 51), MODEL),
    'kernel_list': Key(sequence(choice(*KERNEL_NAMES)), MODEL),
    'kernel_prob': Key(sequence(number(0, 1)), MODEL),
    'blur_sigma': Key(span(0), MODEL),
    'betag_range': Key(span(0), MODEL),
    'betap_range': Key(span(0), MODEL),
    'sinc_prob': Key(number(0, 1), MODEL),
}
DATASETS = {
    'ClassicalDegradationDataset': {
        **GT,
        'gt_size': Key(integer(1), MODEL, TRAIN_ONLY),
        'use_hflip': Key(boolean(), '', TRAIN_ONLY),
        'use_rot': Key(boolean(), '', TRAIN_ONLY),
        'meta_info': Key(optional(text())),
        'kernel_type': Key(choice('isotropic', 'anisotropic')),
        'kernel_size': Key(odd(3, 99)),
        'sigma_range': Key(span(0.01)),
        'kernel_noise': Key(fraction()),
        'noise_range': Key(span(0, 255)),
        'num_kernels': Key(integer(1), '', VAL_ONLY),
    },
    'PairedImageDataset': {
        **PAIRED,
        'meta_info_file': Key(optional(text())),
        'color': Key(optional(choice('y'))),
    },
    'SingleImageDataset': {
        **LOADER,
        'dataroot_lq': Key(text(), MODEL),
        'io_backend': Key(mapping(), MODEL),
        'meta_info_file': Key(text()),
        'mean': Key(optional(sequence(number()))),
        'std': Key(optional(sequence(positive()))),
        'color': Key(optional(choice('y'))),
    },
    'RealESRGANPairedDataset': {**PAIRED, 'meta_info': Key(optional(text()))},
    'RealESRGANDataset': {
        **GT,
        **FLIPS,
        'gt_size': Key(integer(1)),
        'meta_info': Key(optional(text())),
        **BLURS,
        **{f'{name}2': key for name, key in BLURS.items()},
        'final_sinc_prob': Key(number(0, 1), MODEL),
    },
}

# Kinds of arguments that a signature's default value does not tell.
ARGUMENTS = {
    'LabNet': {
        'num_feat': Kind('a multiple of 16', lambda v: integer(16).accepts(v) and v % 16 == 0),
        'num_blocks': sequence(integer(1), length=6),
        'upscale': choice(2, 3, 4),
        'attention': choice('stea', 'ttea', 'taylor', 'softmax', 'none'),
        'dilations': sequence(integer(1)),
        'taylor_order': choice(1, 2, 3),
        'num_heads': integer(1),
        'key_dim': integer(1),
    },
    'Bicubic': {'upscale': integer(1)},
    'EDSR': {'upscale': choice(2, 3, 4, 8)},
    'RCAN': {'upscale': choice(2, 3, 4, 8)},
    'RRDBNet': {'scale': choice(1, 2, 4)},
    'MultiStepRestartLR': {
        'milestones': sequence(count(1)),
        'gamma': positive(),
        'restarts': sequence(count(0)),
        'restart_weights': sequence(number(0)),
    },
    'CosineAnnealingRestartLR': {
        'periods': sequence(count(1)),
        'restart_weights': sequence(number(0)),
        'eta_min': number(0),
    },
    'Adam': {'lr': positive(), 'betas': sequence(fraction(), length=2), 'weight_decay': number(0)},
    'PerceptualLoss': {'layer_weights': mapping(), 'criterion': choice('l1', 'fro')},
    'GANLoss': {'gan_type': choice('vanilla', 'lsgan', 'wgan', 'wgan_softplus', 'hinge')},
}
ARGUMENTS['AdamW'] = ARGUMENTS['Adam']
COMMON_ARGUMENTS = {
    'num_in_ch': integer(1),
    'num_out_ch': integer(1),
    'num_feat': integer(1),
    'num_block': integer(0),
    'crop_border': integer(0),
    'loss_weight': number(0),
    'rgb_mean': sequence(number(), length=3),
    'input_order': choice('HWC', 'CHW'),
    'better': choice('higher', 'lower'),
    'convert_to': choice('y', 'gray'),
}
# LabNet's arguments that only some values of another one read: {argument: (the other, the values)}
READ_WITH = {
    'taylor_order': ('attention', ('taylor',)),
    'num_heads': ('attention', ('taylor', 'softmax')),
    'key_dim': ('attention', ('taylor', 'softmax')),
    'dilations': ('large_field', (True,)),
}
WITHOUT_TRAINING = ('Bicubic',)  # networks without a parameter
