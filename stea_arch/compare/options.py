"""The strict check of a comparison's option file: everything that is wrong with it, at once, before anything runs."""

from pathlib import Path

from stea_arch.compare.networks import BICUBIC, as_section, as_test_options, scale_of
from stea_arch.compare.testsets import SAMPLE, TestSet
from stea_arch.options.check import check_options
from stea_arch.options.comparison import (
    COST,
    CROP,
    CROPS,
    DATASET,
    NETWORK,
    NO_REFERENCE,
    TOP,
    WITH_REFERENCE,
    WITHOUT_REFERENCE,
)
from stea_arch.options.kinds import mapping, mismatch
from stea_arch.options.machine import check_devices
from stea_arch.options.problems import OptionError, Problems, did_you_mean, join, listed, part
from stea_arch.options.reading import check_command, import_named, read_file
from stea_arch.options.sections import check_table

DEFAULT_METRICS = ('psnr', 'ssim', 'niqe')
DEFAULT_CROPS = {'rows': 3, 'size': 64}
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
    opt, origins = read_file(path)
    check_command(opt, 'stea-compare')
    problems = Problems()
    import_named(problems, opt, origins)
    _check(problems, opt, check_files)
    if problems.found:
        raise OptionError(problems.found, origins)
    return opt


def _check(problems, opt, check_files):
    check_table(problems, '', opt, TOP)
    check_table(problems, 'cost', opt.get('cost'), COST)
    check_table(problems, 'crops', opt.get('crops'), CROPS)
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


def _network(problems, opt, label, scales, check_files):
    path, section = join('networks', label), opt['networks'][label]
    if not _can_name(problems, path, label, 'a network', 'a file'):
        return
    if not isinstance(section, (str, dict)):
        problems.add(path, f'expected bicubic, a shipped name, a checkpoint or a section, got {section!r}')
        return
    if isinstance(section, dict) and not check_table(problems, path, section, NETWORK):
        return
    trains = section.get('from') if isinstance(section, dict) and 'weights' not in section else None
    try:
        section = opt['networks'][label] = as_section(section)
    except OptionError as error:
        for line in error.lines:
            problems.add(join(path, 'from'), f'{section["from"]}: {line}')
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


def _can_name(problems, path, name, what, where):
    good = isinstance(name, str) and '/' not in name and name.strip()
    if not good:
        problems.add(path, f'{what} is called by a text without slashes (it names {where}), got {name!r}')
    return good


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
    if not _can_name(problems, path, name, 'a test set', 'a folder'):
        return
    if not isinstance(section, dict):
        problems.add(path, mismatch(mapping(), section))
        return
    sound = check_table(problems, path, section, DATASET)
    if 'crop' in section:
        sound &= check_table(problems, join(path, 'crop'), section['crop'], CROP)
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
    if 'meta_info' in section and SAMPLE in (section.get('gt'), section.get('lq')):
        yield 'meta_info', f'beside {SAMPLE}, whose images are fixed'
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
