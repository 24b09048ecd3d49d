"""Which metrics can be taken of an image, and their means over many."""

import inspect
import math
import warnings

import numpy as np


def is_measurable(metric, image, with_truth):
    """Whether a metric can be taken of an image.

    Args:
        metric (dict): Its ``type``, a name in BasicSR's registry, and its arguments.
        image (ndarray): (H, W, C).
        with_truth (bool): Whether there is a second image to compare with.

    Returns:
        bool: False where a truth is needed and there is none, and on images that are too small once ``crop_border`` is
        off: BasicSR's NIQE takes the statistics of at least two whole blocks of 96x96 pixels, its SSIM a window of
        11x11.
    """
    height, width = (length - 2 * metric.get('crop_border', 0) for length in image.shape[:2])
    if metric['type'] == 'calculate_niqe':
        return (height // 96) * (width // 96) >= 2
    smallest = 11 if metric['type'] == 'calculate_ssim' else 1
    return min(height, width) >= smallest and (with_truth or not needs_truth(metric))


def needs_truth(metric):
    """Whether a metric compares with a second image."""
    from basicsr.utils.registry import METRIC_REGISTRY  # here: its own import needs this module, see stea_arch.plugin

    return 'img2' in inspect.signature(METRIC_REGISTRY.get(metric['type'])).parameters


def measure(result, gt, metrics):
    """The metrics of an image that have a value.

    Args:
        result (ndarray), gt (ndarray | None): (H, W, 3), uint8, BGR.
        metrics (dict[str, dict]): name -> ``type``, a name in BasicSR's registry, and arguments.

    Returns:
        dict[str, float]: name -> value; infinite for the PSNR of a result that equals the truth.
    """
    from basicsr.metrics import calculate_metric  # here: as in needs_truth

    images = {'img': result} if gt is None else {'img': result, 'img2': gt}
    values = {}
    for name, opt in metrics.items():
        if not is_measurable(opt, result, gt is not None):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)  # of means over no window or block at all
            try:
                value = float(calculate_metric(images, opt))
            except (np.linalg.LinAlgError, RuntimeError):
                if name != 'niqe':  # it fits a model to blocks, which flat images do not allow
                    raise
                continue
        if math.isfinite(value) or (name == 'psnr' and value == math.inf):
            values[name] = value
    return values


def summarize(records, metrics):
    """Mean of each metric over all images and over each group.

    A PSNR is infinite where a result equals the truth (a flat image, say); one such image must not make the mean
    infinite, so it is left out of the mean and counted. So is an image for which a metric has no value: its record
    lacks it, or holds NaN (SSIM of less than 11 pixels).

    Args:
        records (list[dict]): One an image: ``group`` (str | None) and a value a metric.
        metrics (list[str]): Their names.

    Returns:
        dict: ``mean`` {metric: float} of those that have a value, ``groups`` {group: {metric: float}}, and, where there
        are any, ``exact`` {metric: count} and ``without_value`` {metric: count}.
    """
    records = [{key: value for key, value in r.items() if not _is_nan(value)} for r in records]
    groups = sorted({r['group'] for r in records if r['group'] is not None})
    exact = {m: sum(r.get(m) == math.inf for r in records) for m in metrics}
    without_value = {m: sum(m not in r for r in records) for m in metrics}
    return {
        'mean': _means(records, metrics),
        'groups': {g: _means([r for r in records if r['group'] == g], metrics) for g in groups},
        'exact': {m: count for m, count in exact.items() if count},
        'without_value': {m: count for m, count in without_value.items() if count},
    }


def _is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def _means(records, metrics):
    means = {}
    for metric in metrics:
        values = [r[metric] for r in records if metric in r]
        counted = [v for v in values if v != math.inf]
        if values:
            means[metric] = math.fsum(counted) / len(counted) if counted else math.inf
    return means
