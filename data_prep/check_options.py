"""An option file and all data it names, checked at once."""

from data_prep.check import Report, check_images
from data_prep.check_pairs import check_pairs
from stea_arch.options import OptionError, read_options


def check_option_file(path, workers=None, progress=True):
    """Check the file itself, then every image of every dataset in it.

    Args:
        path (str): Option file (YAML). Relative paths in it count from the working directory, as in a run.
        workers (int | None), progress (bool): As for :func:`check_images`.

    Returns:
        Report: Of the file and all datasets.

    Raises:
        FileNotFoundError: No such file.
    """
    report = Report()
    try:
        opt = read_options(path, is_train=None, check_files=False)
    except OptionError as error:
        report.problems.append(f'{path}: {error}')
        return report
    for name, section in opt['datasets'].items():
        report.add(_dataset(opt, name, section, workers, progress), f'datasets.{name}: ')
    return report


def _dataset(opt, name, section, workers, progress):
    report, training = Report(), name == 'train'
    gt, lq, size = section.get('dataroot_gt'), section.get('dataroot_lq'), section.get('gt_size') if training else None
    try:
        if gt and lq:
            template = section.get('filename_tmpl', '{}')
            return check_pairs(gt, lq, opt['scale'], training, template, size, workers, progress)
        listed = section.get('meta_info') or section.get('meta_info_file')
        return check_images(gt or lq, size, not training, workers, progress, listed)
    except (FileNotFoundError, ValueError) as error:
        report.problems.append(str(error))
        return report
