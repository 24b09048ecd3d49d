"""Which metrics can be taken of an image, and their means over many."""

import inspect
import math


def is_measurable(metric, image, with_truth):
    """Whether a metric can be taken of an image.

    Args:
        metric (dict): Its ``type``, a name in BasicSR's registry, and its arguments.
        image (ndarray): (H, W, C).
        with_truth (bool): Whether there is a second image to compare with.

    Returns:
        bool: False where a truth is needed and there is none, and for BasicSR's NIQE on an image with less than two
        whole blocks of 96x96 pixels, whose statistics it would need.
    """
    from basicsr.utils.registry import METRIC_REGISTRY  # here: its own import needs this module, see stea_arch.plugin

    if metric['type'] == 'calculate_niqe':
        border = 2 * metric.get('crop_border', 0)
        return math.prod((length - border) // 96 for length in image.shape[:2]) >= 2
    return with_truth or 'img2' not in inspect.signature(METRIC_REGISTRY.get(metric['type'])).parameters


def summarize(records, metrics):
    """Mean of each metric over all images and over each group.

    A PSNR is infinite where a result equals the truth (a flat image, say); one such image must not make the mean
    infinite, so it is left out of the mean and counted.

    Args:
        records (list[dict]): One an image: ``group`` (str | None) and a value a metric.
        metrics (list[str]): Their names.

    Returns:
        dict: ``mean`` {metric: float}, ``groups`` {group: {metric: float}}, ``exact`` {metric: count}.
    """
    groups = sorted({r['group'] for r in records if r['group'] is not None})
    exact = {m: sum(r[m] == math.inf for r in records if m in r) for m in metrics}
    return {
        'mean': _means(records, metrics),
        'groups': {g: _means([r for r in records if r['group'] == g], metrics) for g in groups},
        'exact': {m: count for m, count in exact.items() if count},
    }


def _means(records, metrics):
    means = {}
    for metric in metrics:
        values = [r[metric] for r in records if metric in r]
        counted = [v for v in values if v != math.inf]
        means[metric] = math.fsum(counted) / len(counted) if counted else math.inf
    return means
