"""Which keys the sections of datasets have: BasicSR's datasets and ours."""

from stea_arch.options.keys import MODEL, PIPELINE, TRAIN_ONLY, VAL_ONLY, Key
from stea_arch.options.kinds import (
    boolean,
    choice,
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
)

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
ROOTS = {
    'dataroot_gt': Key(either(text(), sequence(text())), MODEL),
    'max_bad_images': Key(integer(0), '', TRAIN_ONLY),
    'device_images': Key(boolean(), '', TRAIN_ONLY),
}
SUBSETS = {'meta_info': Key(optional(either(text(), sequence(optional(text())))))}
OUR_FLIPS = {'use_hflip': Key(boolean(), '', TRAIN_ONLY), 'use_rot': Key(boolean(), '', TRAIN_ONLY)}
OURS = ('ClassicalDegradationDataset', 'RealWorldDataset')
DATASETS = {
    'ClassicalDegradationDataset': {
        **GT,
        **ROOTS,
        **SUBSETS,
        **OUR_FLIPS,
        'gt_size': Key(integer(1), MODEL, TRAIN_ONLY),
        'kernel_type': Key(choice('isotropic', 'anisotropic')),
        'kernel_size': Key(odd(3, 99)),
        'sigma_range': Key(span(0.01)),
        'kernel_noise': Key(fraction()),
        'noise_range': Key(span(0, 255)),
        'num_kernels': Key(integer(1), '', VAL_ONLY),
    },
    'RealWorldDataset': {
        **GT,
        **ROOTS,
        **SUBSETS,
        **OUR_FLIPS,
        'crop_pad_size': Key(integer(1)),
        **{f'{name}{suffix}': Key(key.kind) for name, key in BLURS.items() for suffix in ('', '2')},
        'final_sinc_prob': Key(number(0, 1)),
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
