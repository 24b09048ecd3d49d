"""An option file, of a run or of a comparison, and all data it names, checked at once."""

from data_prep.check import Report, check_images
from data_prep.check_pairs import check_pairs
from stea_arch.compare.options import read_compare_options
from stea_arch.compare.testsets import SAMPLE, root_at
from stea_arch.options import OptionError, read_options
from stea_arch.options.machine import roots_of
from stea_arch.options.problems import part
from stea_arch.options.reading import load
from stea_arch.options.shipped import find_option_file


def check_option_file(path, workers=None, progress=True):
    """Check the file itself, then every image of every dataset in it.

    Args:
        path (str): Option file (YAML) of stea-train, stea-test or stea-compare. Relative paths in it count from the
            working directory, as in a run.
        workers (int | None), progress (bool): As for :func:`check_images`.

    Returns:
        Report: Of the file and all datasets.

    Raises:
        FileNotFoundError: No such file.
    """
    report, opt = Report(), None
    try:
        opt = load(find_option_file(path).read_bytes())[0]
        if isinstance(opt, dict) and 'networks' in opt:
            read_compare_options(path, check_files=False)
        else:
            read_options(path, is_train=None if isinstance(opt, dict) else True, check_files=False)
    except OptionError as error:
        report.problems.append(f'{path}: {error}')
    if isinstance(opt, dict):
        for name in part(opt, 'datasets'):
            for scale, section in _sections(opt, part(opt, 'datasets', name)):
                report.add(_dataset(scale, name, section, workers, progress), f'datasets.{name}: ')
    return report


def _sections(opt, section):
    """A dataset and its scale as in an option file of a run; of a comparison at every scale where files differ."""
    if 'networks' not in opt:
        return [(opt.get('scale'), section)]
    scales = section.get('scales') or opt.get('scales')
    found = {}
    for scale in scales if isinstance(scales, list) else []:
        sides = [side for side in ('gt', 'lq') if section.get(side, SAMPLE) != SAMPLE]
        roots = {f'dataroot_{side}': str(root_at(str(section[side]), scale)) for side in sides}
        found.setdefault(tuple(roots.values()), (scale, {**roots, 'meta_info': section.get('meta_info')}))
    return list(found.values())


def _dataset(scale, name, section, workers, progress):
    report, training = Report(), name == 'train'
    size = section.get('gt_size') if training else None
    for gt, lq, listed in roots_of(section):
        try:
            if gt and lq and isinstance(scale, int):
                template = section.get('filename_tmpl', '{}')
                report.add(check_pairs(gt, lq, scale, training, template, size, workers, progress, listed))
            elif gt or lq:
                report.add(check_images(gt or lq, size, not training, workers, progress, listed))
        except (FileNotFoundError, ValueError) as error:
            report.problems.append(str(error))
    return report
