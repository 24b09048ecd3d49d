"""The keys of an option file of ``stea-compare`` and what they mean."""

from stea_arch.options.kinds import (
    IMPORTS,
    PIPELINE,
    Key,
    boolean,
    choice,
    either,
    integer,
    mapping,
    optional,
    sequence,
    text,
    word,
)

NO_REFERENCE = 'no_reference'
PROTOCOLS = ('gaussian8', 'setting2', 'bicubic', NO_REFERENCE)
WITH_REFERENCE = ('psnr', 'ssim', 'lpips')
WITHOUT_REFERENCE = ('niqe',)
SCALE = choice(2, 3, 4)

TOP = {
    'name': Key(word(), PIPELINE, doc='Of the comparison; its folder is results/compare/<name>'),
    'imports': IMPORTS,
    'scales': Key(sequence(SCALE), PIPELINE, why='write scales: [4]', doc='At which the networks are compared'),
    'num_gpu': Key(
        either(choice('auto'), integer(0, 1)),
        doc='0 computes on the CPU, 1 on a GPU. Default: auto, a GPU where there is one',
    ),
    'metrics': Key(
        sequence(choice(*WITH_REFERENCE, *WITHOUT_REFERENCE)),
        doc='Which are measured; niqe where there is no truth, the others where there is one. Default: psnr, ssim and '
        'niqe',
    ),
    'networks': Key(
        mapping(),
        PIPELINE,
        doc='What is compared, each by the name that tables show: `bicubic`, a shipped name, a checkpoint of ours or '
        "the authors', or a section",
    ),
    'datasets': Key(mapping(), PIPELINE, doc='The test sets, each by its name'),
    'cost': Key(
        optional(mapping()),
        doc='On what time, memory and multiply-adds of each network are measured. Default: not at all',
    ),
    'crops': Key(mapping(), doc='What the page shows side by side'),
    'published': Key(
        boolean(), doc='Add published results, marked as such, where protocol and set agree. Default: true'
    ),
}
NETWORK = {
    'from': Key(
        text(),
        doc='Training option file: its network, and the weights that it trains; left out where there are none yet',
    ),
    'network_g': Key(
        mapping(),
        doc="As in BasicSR's option files, with `type`; beside `from` what differs. Default: found from the weights, "
        "if they are ours or the authors'",
    ),
    'weights': Key(optional(text()), doc="Checkpoint, in our naming or the authors', or a shipped name"),
    'param_key': Key(
        choice('params', 'params_ema'),
        doc='Which weights of the checkpoint. Default: params; params_ema where `from` trains them or the network is '
        'found from weights that have them',
    ),
    'scale': Key(SCALE, doc="The network's, where the file has several scales. Default: found with the network"),
    'self_ensemble': Key(boolean(), doc='Mean over eight flips and rotations. Default: false'),
}
DATASET = {
    'protocol': Key(
        choice(*PROTOCOLS),
        PIPELINE,
        doc='Where low-quality images come from: blurred by eight kernels and reduced (gaussian8), by random '
        'anisotropic kernels (setting2), reduced alone (bicubic), or taken as they are, without truth (no_reference)',
    ),
    'gt': Key(
        text(),
        doc='Folder or LMDB of sharp images; `{scale}` stands for the scale. `scikit-image`: two photographs that this '
        'package comes with',
    ),
    'lq': Key(
        text(),
        doc='Folder or LMDB of low-quality images that are there already; `{scale}` stands for the scale. '
        '`scikit-image`: three of that package, for no_reference',
    ),
    'meta_info': Key(text(), doc='Text file that lists the images to use. Default: all'),
    'leave_out': Key(sequence(text()), doc='Names of images to leave out; the report says so'),
    'scales': Key(sequence(SCALE), doc='Those of the file at which this set is used. Default: all'),
    'crop_to': Key(
        optional(choice(4, 12)),
        doc='Crop the truth to a multiple of this first, as some publish. Default: ~, of the scale alone',
    ),
    'num_kernels': Key(integer(2), doc='Kernels of gaussian8. Default: 8'),
    'seed': Key(integer(0), doc='Of the kernels of setting2. Default: 0'),
    'crop': Key(mapping(), doc='A place that is always shown'),
}
CROP = {
    'image': Key(text(), PIPELINE, doc='Name of the image, without extension'),
    'kernel': Key(text(), doc='Name of the kernel, such as `sigma2.60`. Default: the first'),
    'region': Key(
        sequence(integer(0), length=3),
        PIPELINE,
        why='write region: [top, left, side] in pixels of gt',
        doc='Top, left and side of the square, in pixels of gt',
    ),
}
COST = {
    'size': Key(sequence(integer(1), length=2), PIPELINE, doc='Height and width of the input'),
    'rounds': Key(integer(1), doc='How often the networks are timed, in turn. Default: 5'),
}
CROPS = {
    'rows': Key(integer(0), doc='Cases shown of each set, those where the networks differ most. Default: 3'),
    'size': Key(integer(16, 512), doc='Side of a square of the result, in pixels. Default: 64'),
}
