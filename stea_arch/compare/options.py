"""The strict check of a comparison's option file: everything that is wrong with it, at once, before anything runs.

At the top level:
    name (str): Of the comparison; its folder is results/compare/<name>.
    scales (list[int]): At which the networks are compared.
    num_gpu (int): 0 computes on the CPU, 1 on a GPU. Default: auto, a GPU where there is one.
    metrics (list[str]): Which are measured; niqe where there is no truth, the others where there is one. Default:
        psnr, ssim and niqe.
    networks (dict): What is compared, each by the name that tables show: ``bicubic``, a shipped name, a checkpoint of
        ours or the authors', or a section.
    datasets (dict): The test sets, each by its name.
    cost (dict): On what time, memory and multiply-adds of each network are measured. Default: not at all.
    crops (dict): What the page shows side by side.
    published (bool): Add published results, marked as such, where protocol and set agree. Default: true.

A network:
    from (str): Training option file: its network, and the weights that it trains; left out where there are none yet.
    network_g (dict): As in BasicSR's option files, with ``type``; beside ``from`` what differs. Default: found from
        the weights, if they are ours or the authors'.
    weights (str): Checkpoint, in our naming or the authors', or a shipped name.
    param_key (str): Which weights of the checkpoint. Default: params; params_ema where ``from`` trains them or the
        network is found from weights that have them.
    scale (int): The network's, where the file has several scales. Default: found with the network.
    self_ensemble (bool): Mean over eight flips and rotations. Default: false.

A test set:
    protocol (str): Where low-quality images come from: blurred by eight kernels and reduced (gaussian8), by random
        anisotropic kernels (setting2), reduced alone (bicubic), or taken as they are, without truth (no_reference).
    gt (str): Folder or LMDB of sharp images; ``{scale}`` stands for the scale. scikit-image: two photographs that this
        package comes with.
    lq (str): Folder or LMDB of low-quality images that are there already; ``{scale}`` stands for the scale.
        scikit-image: three of that package, for no_reference.
    meta_info (str): Text file that lists the images to use. Default: all.
    leave_out (list[str]): Names of images to leave out; the report says so.
    scales (list[int]): Those of the file at which this set is used. Default: all.
    crop_to (int): Crop the truth to a multiple of this first, as some publish. Default: ~, of the scale alone.
    num_kernels (int): Kernels of gaussian8. Default: 8.
    seed (int): Of the kernels of setting2. Default: 0.
    crop (dict): A place that is always shown.

A place:
    image (str): Name of the image, without extension.
    kernel (str): Name of the kernel, such as ``sigma2.60``. Default: the first.
    region (list[int]): Top, left and side of the square, in pixels of gt.

Under cost:
    size (list[int]): Height and width of the input.
    rounds (int): How often the networks are timed, in turn. Default: 5.

Under crops:
    rows (int): Cases shown of each set, those where the networks differ most. Default: 3.
    size (int): Side of a square of the result, in pixels. Default: 64.
"""

from pathlib import Path

from stea_arch.compare.networks import BICUBIC, as_section, as_test_options, scale_of
from stea_arch.compare.testsets import NO_REFERENCE, TestSet
from stea_arch.options import OptionError, check_options
from stea_arch.options.kinds import (
    boolean,
    choice,
    either,
    integer,
    mapping,
    mismatch,
    optional,
    sequence,
    text,
    word,
)
from stea_arch.options.machine import check_devices
from stea_arch.options.problems import Problems, did_you_mean, join, listed, part
from stea_arch.options.reading import load
from stea_arch.options.schema import PIPELINE, Key

PROTOCOLS = ('gaussian8', 'setting2', 'bicubic', NO_REFERENCE)
WITH_REFERENCE = ('psnr', 'ssim', 'lpips', 'dists')
WITHOUT_REFERENCE = ('niqe',)
DEFAULT_METRICS = ('psnr', 'ssim', 'niqe')
DEFAULT_CROPS = {'rows': 3, 'size': 64}

TOP = {
    'name': Key(word(), PIPELINE),
    'scales': Key(sequence(choice(2, 3, 4)), PIPELINE, why='write scales: [4]'),
    'num_gpu': Key(either(choice('auto'), integer(0, 1))),
    'metrics': Key(sequence(choice(*WITH_REFERENCE, *WITHOUT_REFERENCE))),
    'networks': Key(mapping(), PIPELINE),
    'datasets': Key(mapping(), PIPELINE),
    'cost': Key(optional(mapping())),
    'crops': Key(mapping()),
    'published': Key(boolean()),
}
NETWORK = {
    'from': Key(text()),
    'network_g': Key(mapping()),
    'weights': Key(optional(text())),
    'param_key': Key(choice('params', 'params_ema')),
    'scale': Key(choice(2, 3, 4)),
    'self_ensemble': Key(boolean()),
}
DATASET = {
    'protocol': Key(choice(*PROTOCOLS), PIPELINE),
    'gt': Key(text()),
    'lq': Key(text()),
    'meta_info': Key(text()),
    'leave_out': Key(sequence(text())),
    'scales': Key(sequence(choice(2, 3, 4))),
    'crop_to': Key(optional(choice(4, 12))),
    'num_kernels': Key(integer(2)),
    'seed': Key(integer(0)),
    'crop': Key(mapping()),
}
CROP = {
    'image': Key(text(), PIPELINE),
    'kernel': Key(text()),
    'region': Key(sequence(integer(0), length=3), PIPELINE, why='write region: [top, left, side] in pixels of gt'),
}
COST = {'size': Key(sequence(integer(1), length=2), PIPELINE), 'rounds': Key(integer(1))}
CROPS = {'rows': Key(integer(0)), 'size': Key(integer(16, 512))}
# where the check of stea-test's options finds what is a network's here
AT_HOME = {
    'path.pretrain_network_g': 'weights',
    'path.param_key_g': 'param_key',
    'scale': 'scale',
    'network_g': 'network_g',
}


def read_compare_options(path, check_files=True):
    """Read and check a comparison's option file.

    Args:
        path (str | Path): The YAML file.
        check_files (bool): Also open the test sets and look for the weights.

    Returns:
        dict: Its content. Networks are written out, see :func:`stea_arch.compare.networks.as_section`; those ``from``
        a training file that has not been trained yet are under ``untrained``: {label: the training file}.

    Raises:
        FileNotFoundError: No such file.
        OptionError: All problems, each with its line in the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no option file {path} (seen from {Path.cwd()})')
    opt, origins = load(path.read_bytes())
    problems = Problems()
    _check(problems, opt, check_files)
    if problems.found:
        raise OptionError(problems.found, origins)
    return opt


def _check(problems, opt, check_files):
    if not isinstance(opt, dict):
        problems.add('', f'expected keys and values (name: ..., networks: ...), got {type(opt).__name__}')
        return
    _table(problems, '', opt, TOP)
    _table(problems, 'cost', opt.get('cost'), COST)
    _table(problems, 'crops', opt.get('crops'), CROPS)
    if check_files:
        check_devices(problems, opt)
    scales = opt.get('scales')
    scales = [scale for scale in scales if scale in (2, 3, 4)] if isinstance(scales, list) else []
    for label in list(part(opt, 'networks')):
        _network(problems, opt, label, scales, check_files)
    if 'untrained' in opt and all(entry == BICUBIC for entry in opt['networks'].values()):
        first = next(iter(opt['untrained'].values()))
        problems.add('networks', f'none of them has been trained yet: begin with stea-train -opt {first}')
    for name in part(opt, 'datasets'):
        _dataset(problems, opt, name, scales, check_files)
    for key in ('networks', 'datasets'):
        if opt.get(key) == {}:
            problems.add(key, 'empty, there is nothing to compare')


def _table(problems, path, section, table):
    """Compare a section with its table; False where its values had better not be used."""
    before = len(problems.found)
    if not isinstance(section, dict):
        return False  # whoever holds the section has complained about its kind
    for key, value in section.items():
        if key not in table:
            hint = did_you_mean(key, table) or f'. Known here are: {listed(table)}'
            problems.add(join(path, key), f'unknown key{hint}')
        elif problem := mismatch(table[key].kind, value):
            problems.add(join(path, key), problem)
    for key, known in table.items():
        if known.required and key not in section:
            advice = f'; {known.why}' if known.why else ''
            problems.add(join(path, key), f'missing, expected {known.kind.expected}{advice}')
    return len(problems.found) == before


def _network(problems, opt, label, scales, check_files):
    path, section = join('networks', label), opt['networks'][label]
    if not isinstance(label, str) or '/' in label or not label.strip():
        problems.add(path, f'a network is called by a text without slashes (it names a file), got {label!r}')
        return
    if not isinstance(section, (str, dict)):
        problems.add(path, f'expected bicubic, a shipped name, a checkpoint or a section, got {section!r}')
        return
    if isinstance(section, dict) and not _table(problems, path, section, NETWORK):
        return
    trains = section.get('from') if isinstance(section, dict) and 'weights' not in section else None
    try:
        section = opt['networks'][label] = as_section(section)
    except OptionError as error:
        problems.add(join(path, 'from'), f'{section["from"]}: {error}')
        return
    except (FileNotFoundError, ValueError) as error:
        _unknown(problems, path, section, error, check_files)
        return
    if trains and check_files and not Path(section['weights']).is_file():
        opt.setdefault('untrained', {})[label] = trains
        del opt['networks'][label]
        return
    if section == BICUBIC or not scales:
        return
    if 'scale' not in section and len(scales) > 1:
        problems.add(join(path, 'scale'), f'missing, expected one of the scales {scales} of this file')
        return
    if section.get('scale', scales[0]) not in scales:
        problems.add(join(path, 'scale'), f'expected one of the scales {scales} of this file, got {section["scale"]}')
        return
    test_opt = as_test_options(opt, label, scale_of(opt, label))
    test_opt['datasets'] = {'test': {'name': 'any', 'type': 'ClassicalDegradationDataset'}}  # it gives RGB
    try:
        check_options(test_opt, is_train=False, check_files=check_files)
    except OptionError as error:
        for where, what in error.problems:
            home = next((key for key in AT_HOME if where == key or where.startswith(f'{key}.')), None)
            if home:
                problems.add(join(path, AT_HOME[home] + where.removeprefix(home)), what)


def _unknown(problems, path, section, error, check_files):
    """What is wrong with an entry whose network could not be found."""
    if isinstance(section, dict) and 'from' in section:
        problems.add(join(path, 'from'), str(error))
    elif isinstance(section, dict) and 'weights' not in section:
        problems.add(join(path, 'network_g'), "missing, or give from, or weights that are ours or the authors'")
    elif check_files or not isinstance(error, FileNotFoundError):
        where = join(path, 'weights') if isinstance(section, dict) else path
        problems.add(where, f'expected {BICUBIC}, a shipped name or a checkpoint: {error}')


def _dataset(problems, opt, name, scales, check_files):
    path, section = join('datasets', name), opt['datasets'][name]
    if not isinstance(name, str) or '/' in name or not name.strip():
        problems.add(path, f'a test set is called by a text without slashes (it names a folder), got {name!r}')
        return
    if not isinstance(section, dict):
        problems.add(path, mismatch(mapping(), section))
        return
    sound = _table(problems, path, section, DATASET)
    if 'crop' in section:
        sound &= _table(problems, join(path, 'crop'), section['crop'], CROP)
    if not sound:
        return
    before = len(problems.found)
    own = section.get('scales', scales)
    for scale in own:
        if scale not in scales:
            problems.add(join(path, 'scales'), f'{scale} is none of the scales {scales} of this file')
    for key, reason in _useless(section):
        problems.add(join(path, key), f'nothing reads this key {reason}: remove it')
    if section['protocol'] == NO_REFERENCE and 'lq' not in section:
        problems.add(join(path, 'lq'), f'missing, {NO_REFERENCE} enlarges images as they are: name their folder')
    if section['protocol'] != NO_REFERENCE and 'gt' not in section:
        problems.add(join(path, 'gt'), f'missing, {section["protocol"]} compares with the truth: name its folder')
    metrics = opt.get('metrics', DEFAULT_METRICS)
    wanted = WITHOUT_REFERENCE if section['protocol'] == NO_REFERENCE else WITH_REFERENCE
    if isinstance(metrics, (list, tuple)) and not set(map(str, metrics)) & set(wanted):
        problems.add(path, f'none of metrics can be measured here: add one of {", ".join(wanted)}')
    if check_files and len(problems.found) == before:
        for scale in own:
            _open(problems, path, name, section, scale)


def _useless(section):
    protocol, paired = section['protocol'], 'lq' in section
    if protocol == NO_REFERENCE:
        yield from ((key, 'without a truth') for key in ('gt', 'crop_to') if key in section)
    if protocol == 'gaussian8' and paired:
        yield 'lq', 'with gaussian8, which makes it of gt'
    if 'leave_out' in section and 'gt' in section and paired:
        yield 'leave_out', 'where lq and gt are paired; move the images away'
    if 'num_kernels' in section and protocol != 'gaussian8':
        yield 'num_kernels', 'unless gaussian8 makes the images'
    if 'seed' in section and (protocol != 'setting2' or paired):
        yield 'seed', 'unless setting2 makes the images'


def _open(problems, path, name, section, scale):
    try:
        testset = TestSet(name, section, scale)
    except (ValueError, OSError) as error:
        key = 'lq' if section['protocol'] == NO_REFERENCE else 'gt'
        problems.add(join(path, key), str(error))
        return
    crop = section.get('crop')
    if crop and find_case(testset, crop) is None:
        groups = sorted({case.group for case in testset.cases if case.group})
        images = {case.image for case in testset.cases}
        if crop['image'] not in images:
            problems.add(join(path, 'crop.image'), f'{crop["image"]!r} is none{did_you_mean(crop["image"], images)}')
        else:
            problems.add(join(path, 'crop.kernel'), f'expected one of {listed(groups)}, got {crop.get("kernel")!r}')


def find_case(testset, crop):
    """Index of the case that a ``crop`` section names, or None. Without ``kernel``: the first of the image."""
    for index, case in enumerate(testset.cases):
        if case.image == crop['image'] and crop.get('kernel') in (None, case.group):
            return index
    return None
