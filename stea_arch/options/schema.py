"""Which keys there are and what they mean: BasicSR 1.4.2's, read from its source, and ours.

A table is ``{key: Key}``. Sections that are handed to a registered class or function (networks, losses, optimisers,
schedulers, metrics) are compared with its signature; ``ARGUMENTS`` says what a default value does not tell. The keys of
a comparison are in ``comparison``.
"""

from stea_arch.options.kinds import (
    IMPORTS,
    MODEL,
    PIPELINE,
    TRAIN_ONLY,
    VAL_ONLY,
    Key,
    boolean,
    choice,
    count,
    either,
    fraction,
    integer,
    mapping,
    multiple,
    number,
    numbers_by_name,
    odd,
    optional,
    positive,
    sequence,
    span,
    text,
    word,
)


def training(kind, doc='', required=''):
    """A key that is read in training alone."""
    return Key(kind, required, TRAIN_ONLY, doc=doc)


def twice(table):
    """A table with its keys again, ending in 2, for the second pass."""
    second = {f'{name}2': Key(k.kind, k.required, k.only, k.why, f'{k.doc} (second pass)') for name, k in table.items()}
    return {name: key for pair in zip(table.items(), second.items()) for name, key in pair}


def without_default(table):
    """A table as BasicSR's classes read it: none of its keys may be left out, in any phase."""
    return {name: Key(key.kind, MODEL, doc=key.doc) for name, key in table.items()}


TOP = {
    'name': Key(word(), PIPELINE),
    'model_type': Key(text(), PIPELINE),
    'imports': IMPORTS,
    'scale': Key(integer(1, 16), MODEL),
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
    'param_key_g': Key(optional(choice('params', 'params_ema'))),
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
    'path': {
        'vgg19': training(
            optional(text()),
            'File with the weights of VGG19, for `train.perceptual_opt`; ~: where BasicSR or PyTorch keep it',
        )
    },
    'train': {
        'amp': Key(
            optional(choice('bf16', 'fp16')),
            doc='Networks run in mixed precision; losses are always taken in fp32, and scaled dynamically with `fp16`',
        ),
        'compile': Key(
            optional(choice('blocks')),
            doc='`blocks`: compile the blocks of a LabNet or RealNet',
        ),
        'grad_clip_norm': Key(optional(positive()), doc='Largest norm of the gradient of all parameters of a network'),
        'max_bad_steps': Key(
            integer(1),
            doc='A step whose loss or gradient is not finite changes no network; after this many of them in a row the '
            'run stops. On a GPU this is noticed every `logger.print_freq` steps. Default: 20',
        ),
    },
    'val': {
        'self_ensemble': Key(boolean(), doc='Test with the mean over eight flips and rotations'),
        'inference': Key(optional(mapping()), doc='How an image is computed, with sizes, see below'),
        'save_best': training(
            optional(text()), 'Name of a metric: keep the weights that score best on the first validation dataset'
        ),
    },
    'logger': {
        'keep_checkpoints': Key(optional(integer(1)), doc='How many of the newest checkpoints stay on the disk'),
        'pbar': Key(boolean(), doc='A progress bar of the training'),
    },
    'optimizers': ('Adam', 'AdamW'),
}
KERNELS = {'fused', 'foreach', 'capturable', 'differentiable'}  # what our models say to the optimiser themselves
CUDA_GRAPH = Key(boolean(), doc='On a GPU, run the step as one CUDA graph; a CPU has none and runs it as usual')
LABNET_MODEL = extended(extended(SR_MODEL, **OURS), train={'cuda_graph': CUDA_GRAPH})
GAN_MODEL = extended(
    SR_MODEL,
    top={'network_d': training(mapping(), required=MODEL)},
    path={
        'pretrain_network_d': Key(optional(text())),
        'strict_load_d': Key(boolean()),
        'param_key_d': Key(optional(choice('params', 'params_ema'))),
    },
    train={
        'optim_d': Key(mapping(), MODEL),
        'gan_opt': Key(mapping(), MODEL),
        'net_d_iters': Key(integer(1)),
        'net_d_init_iters': Key(count(0)),
    },
)
# Second-order degradation, with the names and meanings of BasicSR's RealESRGANModel; ours read it in training alone.
PASS = {
    'resize_prob': training(sequence(number(0), length=3), 'Weights of enlarging, shrinking, keeping the size'),
    'resize_range': training(span(0), 'Smallest and largest factor; 1 lies between'),
    'gaussian_noise_prob': training(number(0, 1), 'Probability that noise is Gaussian; else it is Poisson noise'),
    'noise_range': training(span(0, 255), 'Lowest and highest sigma of Gaussian noise, in 8-bit steps'),
    'poisson_scale_range': training(span(0), 'Lowest and highest scale of Poisson noise; 1 is shot noise'),
    'gray_noise_prob': training(number(0, 1), "Probability that a sample's noise is gray"),
    'jpeg_range': training(span(0, 100), 'Lowest and highest quality, above 0, to 100'),
}
SECOND_ORDER = {
    **twice(PASS),
    'second_blur_prob': training(number(0, 1), 'Probability of the second blur'),
    'gt_size': training(integer(1), 'Side of a ground-truth patch in pixels, a multiple of the scale', MODEL),
}
OUR_SECOND_ORDER = {
    **SECOND_ORDER,
    'recipe': training(choice('full', 'blur_jpeg'), "'full', or 'blur_jpeg': without noise and random resizes"),
    'blur_prob': training(number(0, 1), 'Probability of the first blur'),
    **twice({'noise_prob': training(number(0, 1), 'Probability of noise')}),
    **twice({'jpeg_prob': training(number(0, 1), 'Probability of JPEG')}),
    'queue_size': training(integer(0, 10**5), 'Pairs in the pool of each process; 0: no pool'),
}
GT_USM = {'gt_usm': training(boolean(), 'Sharpen the ground truth by unsharp masking before it is degraded')}
USM = {
    'l1_gt_usm': 'Sharpen the target of the pixel loss by unsharp masking. What is degraded always is sharpened',
    'percep_gt_usm': 'Sharpen the target of the perceptual loss',
    'gan_gt_usm': 'Sharpen what the discriminator is shown as real',
}
USM = {name: training(boolean(), doc) for name, doc in USM.items()}
REALNET_MODEL = extended(LABNET_MODEL, top={**OUR_SECOND_ORDER, **GT_USM})
REALGAN_MODEL = extended(extended(GAN_MODEL, **OURS), top={**OUR_SECOND_ORDER, **USM})
THEIRS = {
    **{name: Key(key.kind) for name, key in SECOND_ORDER.items()},
    'queue_size': Key(integer(1, 10**5)),
    'high_order_degradation': Key(boolean()),
}
REAL_ESRNET = extended(SR_MODEL, top={**THEIRS, 'gt_usm': Key(boolean())})
REAL_ESRGAN = extended(
    GAN_MODEL, top={**THEIRS, **{name: Key(boolean()) for name in USM}}, train={'ldl_opt': Key(optional(mapping()))}
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

LOADER = {
    'name': Key(text(), PIPELINE),
    'type': Key(text(), PIPELINE),
    'num_worker_per_gpu': Key(integer(0, 256), PIPELINE, TRAIN_ONLY, 'BasicSR validates with no workers'),
    'batch_size_per_gpu': Key(integer(1, 2**16), PIPELINE, TRAIN_ONLY, 'BasicSR validates image by image'),
    'dataset_enlarge_ratio': training(positive()),
    'prefetch_mode': Key(optional(choice('cpu', 'cuda'))),
    'num_prefetch_queue': Key(integer(1, 1000)),
    'pin_memory': Key(boolean()),
    'persistent_workers': Key(boolean()),
}
IO_BACKEND = {'type': Key(choice('disk', 'lmdb'), PIPELINE)}
IO_BACKEND_BASICSR = {  # FileClient hands the rest to its back end
    'type': Key(choice('disk', 'lmdb', 'memcached'), PIPELINE),
    **{name: Key(text()) for name in ('server_list_cfg', 'client_cfg', 'sys_path')},
}
FLIPS = {'use_hflip': training(boolean(), required=MODEL), 'use_rot': training(boolean(), required=MODEL)}
GT = {**LOADER, 'dataroot_gt': Key(text(), MODEL), 'io_backend': Key(mapping(), MODEL)}
NORMALISED = {'mean': Key(optional(sequence(number()))), 'std': Key(optional(sequence(positive())))}
PAIRED = {
    **GT,
    'gt_size': training(integer(1), required=MODEL),
    **FLIPS,
    'dataroot_lq': Key(text(), MODEL),
    'filename_tmpl': Key(text()),
    **NORMALISED,
}
KERNEL_NAMES = ('iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso')
BLURS = {
    'blur_kernel_size': Key(
        odd(3, 51), doc='Largest size, odd, at least 7; kernels are padded to it. Also of the final sinc'
    ),
    'kernel_list': Key(sequence(choice(*KERNEL_NAMES)), doc='Families of kernels'),
    'kernel_prob': Key(sequence(number(0, 1)), doc='How likely each of kernel_list is, as weights'),
    'blur_sigma': Key(span(0), doc='Lowest and highest sigma in pixels'),
    'betag_range': Key(span(0), doc='Lowest and highest beta of the generalized families; 1 lies between'),
    'betap_range': Key(span(0), doc='Lowest and highest beta of the plateau families; 1 lies between'),
    'sinc_prob': Key(number(0, 1), doc='Probability of a sinc in place of these'),
}
FINAL_SINC = {'final_sinc_prob': Key(number(0, 1), doc='Probability of a final sinc')}
OURS_FROM_GT = {
    **LOADER,
    'dataroot_gt': Key(
        either(text(), sequence(text())), MODEL, doc='Folder of images or LMDB; in training also a list of several'
    ),
    'io_backend': Key(mapping(), MODEL, doc='`type: disk` or `type: lmdb`, for all of dataroot_gt'),
    'meta_info': Key(
        optional(either(text(), sequence(optional(text())))),
        doc='Text file that lists the images to use, first word a line; for several dataroot_gt a list with one for '
        'each, ~ for all images. Default: all',
    ),
    'max_bad_images': training(
        integer(0), 'How many unreadable images are replaced by the next one; training only. Default: 3'
    ),
    'device_images': training(
        boolean(),
        'Decode all images once and keep them on the training device, where patches are cut and degraded. For a GPU '
        'whose memory holds them all: a batch costs it a few launches and the processor nothing. Default: false',
    ),
    'use_hflip': training(boolean(), 'Flip crops horizontally at random; training only. Default: true'),
    'use_rot': training(boolean(), 'Flip vertically and transpose at random; training only. Default: true'),
}
DATASETS_OF_OURS = {
    'ClassicalDegradationDataset': {
        **OURS_FROM_GT,
        'gt_size': training(integer(1), 'Side of the crops, a multiple of scale; training only', MODEL),
        'kernel_type': Key(
            choice('isotropic', 'anisotropic'),
            doc='Gaussian blur with one sigma, or with two and a rotation; training only. Default: isotropic',
        ),
        'kernel_size': Key(odd(3, 99), doc='Side of the kernels in pixels, odd. Default: 21'),
        'sigma_range': Key(
            span(0.01), doc='Lowest and highest sigma in pixels. Default: as published for phase and scale'
        ),
        'kernel_noise': Key(
            fraction(), doc='Upper end of the multiplicative kernel disturbance; training only. Default: 0'
        ),
        'noise_range': Key(
            span(0, 255),
            doc='Lowest and highest sigma of the image noise, in 8-bit steps; training only. Default: [0, 0]',
        ),
        'num_kernels': Key(
            integer(1, 1000), '', VAL_ONLY, doc='Kernels in evaluation, their sigmas evenly spaced. Default: 8'
        ),
    },
    'RealWorldDataset': {
        **OURS_FROM_GT,
        'crop_pad_size': Key(
            integer(1),
            doc='Side of the region, a multiple of scale. It is degraded whole, then a patch of gt_size is cut out of '
            'it; the nearer both are, the less is computed for nothing, and the more often a patch shows the mirrored '
            'border. Default: 400, as BasicSR, where gt_size is 256',
        ),
        **twice(BLURS),
        **FINAL_SINC,
    },
}
DATASETS = {
    **DATASETS_OF_OURS,
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
        **NORMALISED,
        'color': Key(optional(choice('y'))),
    },
    'RealESRGANPairedDataset': {**PAIRED, 'meta_info': Key(optional(text()))},
    'RealESRGANDataset': {
        **GT,
        **FLIPS,
        'gt_size': Key(integer(1)),
        'meta_info': Key(optional(text())),
        **without_default({**twice(BLURS), **FINAL_SINC}),
    },
}

DEAD = {  # keys of other projects' files that nothing reads
    'use_shuffle': 'nothing reads this key, training data are always shuffled: remove it',
    'print_network': 'nothing reads this key, networks are always printed: remove it',
    **{
        key: 'nothing reads this key: an LMDB is opened once in a process, to be read, without lock and readahead'
        for key in ('readonly', 'lock', 'readahead')
    },
}

# Arguments of registered classes and functions, as far as a signature's default value does not tell their kind
LABNET = {
    'num_feat': Key(multiple(16, 4096), doc='Width C, a multiple of 16 (the gates squeeze C channels into C/16)'),
    'num_blocks': Key(
        sequence(integer(1, 200), length=6), doc='Blocks in enc1, enc2, latent, dec1, dec2, refine; each at least 1'
    ),
    'upscale': Key(choice(2, 3, 4), doc='2, 3 or 4'),
    'attention': Key(
        choice('stea', 'ttea', 'taylor', 'softmax', 'none'),
        doc="'stea' (learned gates, second order: published) or 'ttea' (third order, the paper's ablation), 'taylor' "
        "(softmax attention expanded to `taylor_order`), 'softmax' (its O(N^2) reference) or 'none', as which "
        '`--force_yml` gives None',
    ),
    'large_field': Key(boolean(), doc='False leaves the MLFR out of every block, for ablations'),
    'dilations': Key(sequence(integer(1, 64)), doc="Of the MLFR's branches, each at least 1"),
    'padding': Key(
        choice('zeros', 'partial'),
        doc="Of the wide fields at the image's border: 'zeros', as published, or 'partial', by which their sums do "
        'not shrink towards it, so that a small training patch looks like a part of a large image',
    ),
    'init_scale': Key(
        positive(),
        doc='Factor, above 0, on the initial weights of the last convolution: a small one starts close to the bicubic '
        'skip, which short trainings gain by',
    ),
}
ARGUMENTS = {
    'LabNet': {
        **LABNET,
        'taylor_order': Key(choice(1, 2, 3), doc="1, 2 or 3; only 'taylor' reads it"),
        'num_heads': Key(integer(1, 4096), doc="Heads, a divisor of `num_feat`; only 'taylor' and 'softmax' read it"),
        'key_dim': Key(
            integer(1, 4096), doc="Dimension of queries and keys in one head; only 'taylor' and 'softmax' read it"
        ),
    },
    'RealNet': {
        **LABNET,
        'streams': Key(choice(1, 2), doc='1, the published generator, or 2, a deblur and a denoise stream'),
        'deblur': Key(
            optional(number(0, 1.5)),
            doc='Strength of the deblur stream after training, 0 to 1.5; only with two streams. ~: as learned',
        ),
        'denoise': Key(optional(number(0, 1.5)), doc='The same of the denoise stream'),
    },
    'Bicubic': {'upscale': Key(integer(1, 16), doc='The factor, at least 1')},
    'EDSR': {'upscale': Key(choice(2, 3, 4, 8))},
    'RCAN': {'upscale': Key(choice(2, 3, 4, 8))},
    'RRDBNet': {'scale': Key(choice(1, 2, 4))},
    'MultiStepRestartLR': {
        'milestones': Key(sequence(count(1))),
        'gamma': Key(positive()),
        'restarts': Key(sequence(count(0))),
        'restart_weights': Key(sequence(number(0))),
    },
    'CosineAnnealingRestartLR': {
        'periods': Key(sequence(count(1))),
        'restart_weights': Key(sequence(number(0))),
        'eta_min': Key(number(0)),
    },
    'Adam': {
        'lr': Key(positive()),
        'betas': Key(sequence(fraction(), length=2)),
        'weight_decay': Key(number(0)),
    },
    'PerceptualLoss': {'layer_weights': Key(numbers_by_name()), 'criterion': Key(choice('l1', 'fro'))},
    'EfficientNetLoss': {'layer_weights': Key(numbers_by_name(), doc='By `block0` to `block15`, see docs/training.md')},
    'GANLoss': {'gan_type': Key(choice('vanilla', 'lsgan', 'wgan', 'wgan_softplus', 'hinge'))},
}
ARGUMENTS['AdamW'] = ARGUMENTS['Adam']
COMMON_ARGUMENTS = {
    'num_in_ch': Key(integer(1, 256), doc='Channels of the input'),
    'num_out_ch': Key(integer(1, 256), doc='Channels of the output; with a skip equal to `num_in_ch`'),
    'num_feat': Key(integer(1, 4096)),
    'num_block': Key(integer(0, 1000)),
    'crop_border': Key(integer(0)),
    'loss_weight': Key(number(0)),
    'rgb_mean': Key(sequence(number(), length=3)),
    'input_order': Key(choice('HWC', 'CHW')),
    'better': Key(choice('higher', 'lower')),
    'convert_to': Key(choice('y', 'gray')),
}
WITHOUT_TRAINING = ('Bicubic',)  # networks without a parameter
WITH_FIELD = {'dilations': ('large_field', (True,)), 'padding': ('large_field', (True,))}
# Arguments that only some values of another one read: {network: {argument: (the other, the values)}}
READ_WITH = {
    'LabNet': {
        'taylor_order': ('attention', ('taylor',)),
        'num_heads': ('attention', ('taylor', 'softmax')),
        'key_dim': ('attention', ('taylor', 'softmax')),
        **WITH_FIELD,
    },
    'RealNet': {'deblur': ('streams', (2,)), 'denoise': ('streams', (2,)), **WITH_FIELD},
}


def is_read(network, key, arguments):
    """Whether a network reads one of its arguments, as far as the others say."""
    other, values = READ_WITH.get(network, {}).get(key, (None, ()))
    return other not in arguments or arguments[other] in values
