"""What single keys cannot show: whether the values of an option file go together.

Every function takes what may be a malformed option file: values of a wrong kind have been complained about before,
so they are passed over here.
"""

import warnings

from basicsr.utils.registry import ARCH_REGISTRY, METRIC_REGISTRY

from stea_arch.data.realworld_dataset import CROP_PAD_SIZE
from stea_arch.degradations.checks import BadArgument
from stea_arch.degradations.second_order import SecondOrderSampler
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.inference.upscale import resolve_sizes
from stea_arch.options import schema
from stea_arch.options.kinds import is_integer, is_number
from stea_arch.options.problems import did_you_mean, join, listed, part
from stea_arch.options.sections import NO_DEFAULT, defaults_of, registered

RGB_DATASET = 'ClassicalDegradationDataset'
SECOND_ORDER_DATASET = 'RealWorldDataset'
OF_KERNELS = (SECOND_ORDER_DATASET, 'RealESRGANDataset')  # they give kernels in place of lq images
SECOND_ORDER_MODELS = ('RealNetModel', 'RealGANModel')
BASICSR_MODELS = ('RealESRNetModel', 'RealESRGANModel')  # those that take kernels
OUR_MODELS = ('LabNetModel', *SECOND_ORDER_MODELS)
LOWER_IS_BETTER = ('calculate_niqe', 'calculate_lpips')


def check_relations(problems, opt, is_train):
    """Note every impossible combination in ``opt``.

    Args:
        problems (Problems): Gets the entries.
        opt (dict): The option file's content.
        is_train (bool): Whether it is a training file.
    """
    _network(problems, opt)
    _weights(problems, opt, is_train)
    _datasets(problems, opt)
    _validation(problems, opt, is_train)
    _inference(problems, opt)
    if is_train:
        _patches(problems, opt)
        _schedule(problems, opt)
        _losses(problems, opt)
        _logger(problems, opt)
        _second_order(problems, opt)


def named_model(opt):
    """The model's name without BasicSR's suffix."""
    return str(opt.get('model_type')).removesuffix('_basicsr')


def _arguments(opt):
    """Arguments of network_g with the defaults filled in, and the network's name."""
    network = registered(ARCH_REGISTRY, part(opt, 'network_g').get('type'))
    if network is None:
        return {}, ''
    defaults = {name: default for name, default in defaults_of(network).items() if default is not NO_DEFAULT}
    return {**defaults, **part(opt, 'network_g')}, network.__name__


def _network(problems, opt):
    arguments, name = _arguments(opt)
    scale = opt.get('scale')
    for key in ('upscale', 'scale') if name in ('RRDBNet', 'ECBSR') else ('upscale',):
        value = arguments.get(key)
        if is_integer(value) and is_integer(scale) and value != scale:
            written = '' if key in part(opt, 'network_g') else f' by default; write {key}: {scale}'
            text = f"must equal the top-level scale {scale}, but {name}'s is {value}{written}"
            problems.add(join('network_g', key), text)
    if name == 'RRDBNet' and scale == 3:
        problems.add('scale', 'RRDBNet upscales by 1, 2 or 4, not by 3: choose another network or scale')
    if name == 'SwinIR' and named_model(opt) == 'SRModel':
        text = 'SwinIR needs images that are multiples of its window, and SRModel does not pad them'
        problems.add('model_type', f'{text}: use LabNetModel or SwinIRModel')
    if named_model(opt) == 'SwinIRModel' and 'window_size' not in part(opt, 'network_g'):
        problems.add('network_g.window_size', 'missing, SwinIRModel pads images to a multiple of it')
    _read_together(problems, name, part(opt, 'network_g'), arguments)
    types = [part(opt, 'datasets', name).get('type') for name in part(opt, 'datasets')]
    ours = [name for name in (RGB_DATASET, SECOND_ORDER_DATASET) if name in types]
    channels = {key: arguments.get(key) for key in ('num_in_ch', 'in_chans', 'num_out_ch')}
    for key, value in channels.items() if ours else ():
        if is_integer(value) and value != 3:
            problems.add(join('network_g', key), f'must be 3, as {ours[0]} gives RGB images, got {value}')
    read, made = channels['num_in_ch'], channels['num_out_ch']
    if not ours and name in ('LabNet', 'RealNet') and is_integer(read) and is_integer(made) and made != read:
        text = f'must equal num_in_ch, which is {read}, as {name} adds the enlarged input to its output, got {made}'
        problems.add('network_g.num_out_ch', text)


def _read_together(problems, name, written, arguments):
    for key, (other, values) in schema.READ_WITH.get(name, {}).items():
        if key in written and not schema.is_read(name, key, arguments):
            wanted = ' or '.join(str(value).lower() for value in values)
            problems.add(join('network_g', key), f'only read with {other}: {wanted}; remove it, or change {other}')
    if name != 'LabNet' or arguments['attention'] not in schema.READ_WITH[name]['num_heads'][1]:
        return
    width, heads = arguments.get('num_feat'), arguments.get('num_heads')
    if is_integer(width) and is_integer(heads) and heads > 0 and width % heads:
        problems.add('network_g.num_heads', f'must divide num_feat, which is {width}, got {heads}')


def _weights(problems, opt, is_train):
    network = registered(ARCH_REGISTRY, part(opt, 'network_g').get('type'))
    if network is None:
        return
    if is_train and network.__name__ in schema.WITHOUT_TRAINING:
        problems.add('network_g.type', f'{network.__name__} has no parameters to train: use it in a test file')
    ours = network.__module__.split('.')[0] in ('basicsr', 'stea_arch')
    weightless = network.__name__ in schema.WITHOUT_TRAINING
    if not is_train and ours and not weightless and part(opt, 'path').get('pretrain_network_g') is None:
        problems.add('path.pretrain_network_g', f'missing, {network.__name__} would be tested with random weights')


def _datasets(problems, opt):
    names = {}
    for key in part(opt, 'datasets'):
        path, section = join('datasets', key), part(opt, 'datasets', key)
        evaluated = str(key).split('_')[0] in ('val', 'test')
        if section.get('type') == RGB_DATASET:
            _classical(problems, path, section, opt.get('scale'), evaluated)
        if evaluated and isinstance(section.get('dataroot_gt'), list):
            text = 'one folder or LMDB, expected in evaluation; write a dataset (val_1, val_2, ...) for each'
            problems.add(join(path, 'dataroot_gt'), text)
        if section.get('type') == 'SingleImageDataset':
            _without_truth(problems, path, opt, evaluated)
        if section.get('type') == SECOND_ORDER_DATASET and evaluated:
            text = 'is for training; use PairedImageDataset or, without ground truth, SingleImageDataset'
            problems.add(join(path, 'type'), text)
        if section.get('persistent_workers') is True and (evaluated or section.get('num_worker_per_gpu') == 0):
            problems.add(join(path, 'persistent_workers'), 'there are no workers here that could persist: write false')
        for suffix in ('', '2'):
            kernels, chances = section.get(f'kernel_list{suffix}'), section.get(f'kernel_prob{suffix}')
            if isinstance(kernels, list) and isinstance(chances, list) and len(kernels) != len(chances):
                text = f'{len(chances)} numbers for the {len(kernels)} names of kernel_list{suffix}'
                problems.add(join(path, f'kernel_prob{suffix}'), text)
        name = section.get('name')
        if evaluated and isinstance(name, str):
            if name in names:
                problems.add(join(path, 'name'), f'{name!r} is also that of {names[name]}; results are kept by name')
            if '/' in name:
                problems.add(join(path, 'name'), f'names a folder of results, so no slash: {name!r}')
            names.setdefault(name, path)


def _classical(problems, path, section, scale, evaluated):
    if is_integer(scale) and scale not in (2, 3, 4):
        problems.add('scale', f'{RGB_DATASET} makes scales 2, 3 and 4, not {scale}')
    if not evaluated:
        return
    for key, plain in (('kernel_type', 'isotropic'), ('kernel_noise', 0), ('noise_range', [0, 0])):
        if section.get(key, plain) != plain:
            text = f'val and test are Gaussian8, isotropic without disturbance or noise: remove it, or write {plain}'
            problems.add(join(path, key), text)
    sigmas = section.get('sigma_range')
    one_sigma = isinstance(sigmas, list) and len(sigmas) == 2 and sigmas[0] == sigmas[1]
    if (section.get('num_kernels') == 1) != one_sigma:
        problems.add(join(path, 'num_kernels'), 'is 1 for a sigma_range of twice the same sigma, and only then')


def _without_truth(problems, path, opt, evaluated):
    if not evaluated:
        problems.add(join(path, 'type'), 'SingleImageDataset has no ground truth to train with')
        return
    metrics = part(opt, 'val', 'metrics')
    targets = {name: registered(METRIC_REGISTRY, part(metrics, name).get('type')) for name in metrics}
    needing = [name for name, target in targets.items() if target and 'img2' in defaults_of(target)]
    # our models leave such metrics out there; of no use is a metric that no dataset can be measured with
    pairs = [k for k in part(opt, 'datasets') if part(opt, 'datasets', k).get('type') != 'SingleImageDataset']
    paired = any(str(key).split('_')[0] in ('val', 'test') for key in pairs)
    if needing and not (paired and named_model(opt) in OUR_MODELS):
        text = f'SingleImageDataset has no ground truth, which {listed(needing)} of val.metrics needs'
        problems.add(join(path, 'type'), f'{text}: remove the metric or use a dataset of pairs')


def _validation(problems, opt, is_train):
    val = part(opt, 'val')
    evaluated = [key for key in part(opt, 'datasets') if str(key).split('_')[0] == 'val']
    if not is_train and 'val' not in opt:
        problems.add('val', 'missing: write val: and below it save_img: false, suffix: ~ and metrics:')
    judged = named_model(opt) in schema.MODELS  # StyleGAN2Model reads a val section and needs no images
    if is_train and judged and isinstance(opt.get('val'), dict) and not evaluated:
        problems.add('datasets.val', 'missing, but there is a val section: add a dataset or remove the section')
    if is_train and evaluated and 'val' not in opt:
        problems.add('val', f'missing, so datasets.{evaluated[0]} would never be used: add val_freq, save_img, metrics')
    if not is_train and val.get('save_img') is True and 'suffix' not in val:
        text = 'missing, BasicSR reads it when a test saves images; ~ appends the name of the run to theirs'
        problems.add('val.suffix', text)
    best, metrics = val.get('save_best'), part(val, 'metrics')
    for name in metrics if is_train else ():
        metric = part(metrics, name)
        known = {'calculate_psnr': 'higher', 'calculate_ssim': 'higher', **dict.fromkeys(LOWER_IS_BETTER, 'lower')}
        wanted, written = known.get(str(metric.get('type'))), metric.get('better', 'higher')
        if wanted and written in ('higher', 'lower') and written != wanted:
            text = f'{written}, as written or left out, would keep the worst: write better: {wanted}'
            problems.add(join('val.metrics', name, 'better'), text)
    if isinstance(best, str) and best not in metrics:
        text = f'{best!r} is not one of val.metrics{did_you_mean(best, metrics)}: {listed(metrics)}'
        problems.add('val.save_best', text)


def _inference(problems, opt):
    sizes = dict(part(opt, 'val', 'inference'))
    method = sizes.pop('method', 'whole')
    try:
        resolve_sizes(method, sizes)
    except ValueError as error:
        problems.add('val.inference', str(error))
    name = _arguments(opt)[1]
    if method == 'strips' and name and name not in ('LabNet', 'RealNet'):
        text = f"'strips' follows the parts of a LabNet, not those of {name}: use tiles"
        problems.add('val.inference.method', text)


def _patches(problems, opt):
    scale = opt.get('scale')
    arguments, name = _arguments(opt)
    for path, section in (('datasets.train', part(opt, 'datasets', 'train')), ('', opt)):
        size = section.get('gt_size')
        if not (is_integer(size) and is_integer(scale) and scale > 0):
            continue
        if size % scale:
            nearest = max(scale, round(size / scale) * scale)
            problems.add(join(path, 'gt_size'), f'must be a multiple of the scale {scale}, got {size}; {nearest} is')
        window = arguments.get('window_size')
        if name == 'SwinIR' and is_integer(window) and size % scale == 0 and size // scale % window:
            text = f'makes LR patches of {size // scale} pixels; SwinIR needs multiples of its window_size {window}'
            problems.add(join(path, 'gt_size'), text)


def _schedule(problems, opt):
    scheduler, total = part(opt, 'train', 'scheduler'), part(opt, 'train').get('total_iter')
    path = 'train.scheduler'
    if scheduler.get('type') == 'CosineAnnealingRestartLR':
        periods, weights = scheduler.get('periods'), scheduler.get('restart_weights', [1])
        if not isinstance(periods, list) or not all(is_number(p) for p in periods):
            return
        if isinstance(weights, list) and len(weights) != len(periods):
            text = f'expected one for each of the {len(periods)} periods, got {len(weights)}'
            problems.add(join(path, 'restart_weights'), text)
        if is_number(total) and sum(periods) < total:
            text = f'add up to {sum(periods)} iterations, and BasicSR crashes after them; total_iter is {total}'
            problems.add(join(path, 'periods'), text)
    else:
        restarts, weights = scheduler.get('restarts', [0]), scheduler.get('restart_weights', [1])
        if isinstance(restarts, list) and isinstance(weights, list) and len(restarts) != len(weights):
            text = f'expected one for each of the {len(restarts)} restarts, got {len(weights)}'
            problems.add(join(path, 'restart_weights'), text)


def _losses(problems, opt):
    train = part(opt, 'train')
    refuses_none = named_model(opt) in schema.MODELS and 'gan_opt' not in schema.MODELS[named_model(opt)]['train']
    if train and refuses_none and not train.get('pixel_opt') and not train.get('perceptual_opt'):
        problems.add('train.pixel_opt', 'missing, and so is perceptual_opt: there is no loss to train with')
    name = _arguments(opt)[1]
    if train.get('compile') == 'blocks' and name and name not in ('LabNet', 'RealNet'):
        problems.add('train.compile', f'blocks are those of LabNet and RealNet, got {name}: write ~, or leave it out')
    if train.get('cuda_graph') is True and train.get('amp') == 'fp16':
        problems.add('train.cuda_graph', 'true needs amp: bf16 or ~, as the loss scale of fp16 changes between steps')
    if train.get('ldl_opt') and not train.get('ema_decay'):
        problems.add('train.ldl_opt', 'compares with the EMA network: set train.ema_decay, e.g. 0.999')


def _logger(problems, opt):
    logger = part(opt, 'logger')
    if part(logger, 'wandb').get('project') and logger.get('use_tb_logger') is not True:
        problems.add('logger.use_tb_logger', 'wandb copies from TensorBoard: write true, or project: ~')
    name = opt.get('name')
    if isinstance(name, str) and 'debug' in name and not name.startswith('debug'):
        warnings.warn(
            f"name: {name!r} contains 'debug', so BasicSR validates and saves every 8 iterations and leaves "
            'TensorBoard out; choose another name if that is not meant.',
            stacklevel=2,
        )


def _second_order(problems, opt):
    model, train = named_model(opt), part(opt, 'datasets', 'train')
    dataset = train.get('type')
    takes_kernels = (*SECOND_ORDER_MODELS, *BASICSR_MODELS)
    if dataset in OF_KERNELS and model in schema.MODELS and model not in takes_kernels:
        text = f'{dataset} gives kernels in place of lq images, which only {listed(takes_kernels)} take'
        problems.add('datasets.train.type', text)
    if model in BASICSR_MODELS and opt.get('high_order_degradation', True):
        for key in [*schema.SECOND_ORDER, *(['gt_usm'] if model == 'RealESRNetModel' else [])]:
            if key not in opt:
                problems.add(key, f'missing, {model} degrades images with it')
    if dataset == SECOND_ORDER_DATASET:
        _region(problems, opt, train)
        _sampler(problems, 'datasets.train', lambda: KernelSampler.from_options(train), schema.DATASETS[dataset])
    if model in SECOND_ORDER_MODELS and opt.get('scale') in (2, 3, 4):
        _sampler(problems, '', lambda: SecondOrderSampler.from_options(opt, opt['scale']), schema.OUR_SECOND_ORDER)
    _streams(problems, opt, model, dataset)


def _region(problems, opt, train):
    scale, size, region = opt.get('scale'), opt.get('gt_size'), train.get('crop_pad_size', CROP_PAD_SIZE)
    if is_integer(scale) and scale not in (2, 3, 4):
        problems.add('scale', f'{SECOND_ORDER_DATASET} makes scales 2, 3 and 4, not {scale}')
    elif is_integer(scale) and is_integer(region) and region % scale:
        text = f'must be a multiple of the scale {scale}, got {region}; {region // scale * scale} is'
        problems.add('datasets.train.crop_pad_size', text)
    if is_integer(size) and is_integer(region) and size > region:
        problems.add('gt_size', f'must fit into datasets.train.crop_pad_size, which is {region}, got {size}')


def _sampler(problems, section, make, keys):
    """Let a sampler judge its own options, unless they are of a wrong kind, which has been said already."""
    if {join(section, key) for key in keys} & {path for path, _ in problems.found}:
        return
    try:
        make()
    except BadArgument as error:
        problems.add(join(section, error.name), error.reason.rstrip('.'))


def _streams(problems, opt, model, dataset):
    network = part(opt, 'network_g')
    if network.get('streams') != 2:
        return
    if model not in SECOND_ORDER_MODELS or dataset not in OF_KERNELS:
        text = f'2 streams are trained on a blurred and a noisy version, which {listed(SECOND_ORDER_MODELS)} make'
        problems.add('network_g.streams', f'{text} of the images of {listed(OF_KERNELS)}: use these, or write 1')
    for key in ('deblur', 'denoise'):
        if network.get(key) is not None:
            problems.add(join('network_g', key), 'counts when testing only, in training it is learned: remove it')
