"""Which keys there are outside of datasets: BasicSR 1.4.2's, read from its source, and ours.

A table is ``{key: Key}``. Sections that are handed to a registered class or function as arguments (networks, losses,
optimisers, schedulers, metrics) have no table: ``signatures`` compares them with the signature, helped by
``schema_arguments``. Datasets are in ``schema_data``.
"""

from stea_arch.options.keys import MODEL, PIPELINE, TRAIN_ONLY, Key
from stea_arch.options.kinds import (
    boolean,
    choice,
    count,
    either,
    fraction,
    integer,
    mapping,
    number,
    optional,
    positive,
    sequence,
    span,
    text,
    word,
)

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


OURS = {  # read by every model of ours, see models/training.py
    'path': {'vgg19': Key(optional(text()), only=TRAIN_ONLY)},
    'train': {
        'amp': Key(optional(choice('bf16', 'fp16'))),
        'compile': Key(optional(choice('blocks'))),
        'grad_clip_norm': Key(optional(positive())),
        'max_bad_steps': Key(integer(1)),
    },
    'val': {
        'self_ensemble': Key(boolean()),
        'inference': Key(optional(mapping())),
        'save_best': Key(optional(text()), only=TRAIN_ONLY),
    },
    'logger': {'keep_checkpoints': Key(optional(integer(1))), 'pbar': Key(boolean())},
    'optimizers': ('Adam', 'AdamW'),
}
LABNET_MODEL = extended(extended(SR_MODEL, **OURS), train={'cuda_graph': Key(boolean())})
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
USM = {f'{loss}_gt_usm': Key(boolean()) for loss in ('l1', 'percep', 'gan')}
REAL_ESRNET = extended(SR_MODEL, top={**SECOND_ORDER, **POOL, 'gt_usm': Key(boolean())})
REAL_ESRGAN = extended(GAN_MODEL, top={**SECOND_ORDER, **POOL, **USM}, train={'ldl_opt': Key(optional(mapping()))})
OUR_SECOND_ORDER = {  # in training alone; see degradations/second_order_sampling.py and models/second_order.py
    **{name: Key(key.kind, only=TRAIN_ONLY) for name, key in SECOND_ORDER.items()},
    'gt_size': Key(integer(1), MODEL, TRAIN_ONLY),
    'recipe': Key(choice('full', 'blur_jpeg'), only=TRAIN_ONLY),
    **{name: Key(number(0, 1), only=TRAIN_ONLY) for name in ('blur_prob', 'noise_prob', 'noise_prob2')},
    **{name: Key(number(0, 1), only=TRAIN_ONLY) for name in ('jpeg_prob', 'jpeg_prob2')},
    'queue_size': Key(integer(0), only=TRAIN_ONLY),
}
REALNET_MODEL = extended(LABNET_MODEL, top={**OUR_SECOND_ORDER, 'gt_usm': Key(boolean(), only=TRAIN_ONLY)})
REALGAN_MODEL = extended(
    extended(GAN_MODEL, **OURS),
    top={**OUR_SECOND_ORDER, **{name: Key(key.kind, only=TRAIN_ONLY) for name, key in USM.items()}},
)
MODELS = {
    'LabNetModel': LABNET_MODEL,
    'RealNetModel': REALNET_MODEL,
    'RealGANModel': REALGAN_MODEL,
    'SRModel': SR_MODEL,
    'SwinIRModel': SR_MODEL,
    'SRGANModel': GAN_MODEL,
    'ESRGANModel': GAN_MODEL,
    'RealESRNetModel': REAL_ESRNET,
    'RealESRGANModel': REAL_ESRGAN,
}
