"""What a test measures of one result, and what it says of many: shared by validation, tests and comparisons."""

import math

from basicsr.metrics import calculate_metric


def measure(result, gt, metrics):
    """Every metric of one image.

    Args:
        result (ndarray): (H, W, 3), uint8, BGR: rounded to 8 bits, as the literature measures.
        gt (ndarray | None): The truth, of the same shape; None where there is none, for metrics that need none.
        metrics (dict[str, dict]): name -> ``type`` (registered in METRIC_REGISTRY) and its arguments.

    Returns:
        dict[str, float]: name -> value.
    """
    images = {'img': result} if gt is None else {'img': result, 'img2': gt}
    return {name: float(calculate_metric(images, opt)) for name, opt in metrics.items()}


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
