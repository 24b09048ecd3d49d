"""Whether values go together where images are degraded in second order, and where a network has two streams."""

from stea_arch.data.realworld_dataset import CROP_PAD_SIZE
from stea_arch.degradations.second_order import SecondOrderSampler
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.options import schema, schema_data
from stea_arch.options.kinds import is_integer
from stea_arch.options.problems import join, listed, part

BASICSR_MODELS = ('RealESRNetModel', 'RealESRGANModel')
OUR_MODELS = ('RealNetModel', 'RealGANModel')
DATASETS = ('RealWorldDataset', 'RealESRGANDataset')  # they give kernels in place of lq images
OUR_DATASET = 'RealWorldDataset'


def check_second_order(problems, opt, model):
    """Note what does not go together in a training file.

    Args:
        problems (Problems): Gets the entries.
        opt (dict): The option file's content.
        model (str): Its model_type, without BasicSR's suffix.
    """
    train = part(opt, 'datasets', 'train')
    dataset = train.get('type')
    takes_kernels = model in (*BASICSR_MODELS, *OUR_MODELS)
    if dataset in DATASETS and model in schema.MODELS and not takes_kernels:
        text = (
            f'{dataset} gives kernels in place of lq images, which only {listed((*OUR_MODELS, *BASICSR_MODELS))} take'
        )
        problems.add('datasets.train.type', text)
    if model in BASICSR_MODELS and opt.get('high_order_degradation', True):
        for key in [*schema.SECOND_ORDER, *(['gt_usm'] if model == 'RealESRNetModel' else [])]:
            if key not in opt:
                problems.add(key, f'missing, {model} degrades images with it')
    if dataset == OUR_DATASET:
        _region(problems, opt, train)
        _sampler(problems, 'datasets.train', lambda: KernelSampler.from_options(train), schema_data.BLURS)
    if model in OUR_MODELS and opt.get('scale') in (2, 3, 4):
        _sampler(problems, '', lambda: SecondOrderSampler.from_options(opt, opt['scale']), schema.OUR_SECOND_ORDER)
    _streams(problems, opt, model, dataset)


def _region(problems, opt, train):
    scale, size, region = opt.get('scale'), opt.get('gt_size'), train.get('crop_pad_size', CROP_PAD_SIZE)
    if is_integer(scale) and scale not in (2, 3, 4):
        problems.add('scale', f'{OUR_DATASET} makes scales 2, 3 and 4, not {scale}')
    elif is_integer(scale) and is_integer(region) and region % scale:
        text = f'must be a multiple of the scale {scale}, got {region}; {region // scale * scale} is'
        problems.add('datasets.train.crop_pad_size', text)
    if is_integer(size) and is_integer(region) and size > region:
        problems.add('gt_size', f'must fit into datasets.train.crop_pad_size, which is {region}, but {size} came')


def _sampler(problems, section, make, keys):
    """Let a sampler judge its own options, unless they are of a wrong kind, which has been said already."""
    if any(path.rpartition('.')[2].removesuffix('2') in keys for path, _ in problems.found):
        return
    try:
        make()
    except ValueError as error:
        name, _, text = str(error).partition(' ')
        problems.add(join(section, name), text.rstrip('.'))


def _streams(problems, opt, model, dataset):
    network = part(opt, 'network_g')
    if network.get('streams') != 2:
        return
    if model not in OUR_MODELS or dataset not in DATASETS:
        text = f'2 streams are trained on a blurred and a noisy version, which {listed(OUR_MODELS)} make'
        problems.add('network_g.streams', f'{text} of the images of {listed(DATASETS)}: use these, or write 1')
    for key in ('deblur', 'denoise'):
        if network.get(key) is not None:
            problems.add(join('network_g', key), 'counts when testing only, in training it is learned: remove it')
