"""Results that others have published, from literature.yml beside this file."""

import functools
from pathlib import Path

import yaml

SCHEME = {'psnr': 0, 'ssim': 1}


@functools.cache
def _content():
    return yaml.safe_load(Path(__file__).with_name('literature.yml').read_text(encoding='utf-8'))


def published_source():
    """Where the numbers come from, to be printed beside them."""
    return _content()['source']


def published_results(testset_name, test, kernels):
    """The published rows that may stand beside results of a test set.

    Only those of the same protocol at the same scale, and only where the set was tested as published: all its images,
    none left out or chosen by a list, cropped to multiples of the scale alone, under all eight kernels.

    Args:
        testset_name (str): E.g. ``Set5``.
        test (dict): As :meth:`stea_arch.compare.testsets.TestSet.describe` gives it.
        kernels (int): Under how many kernels each image was tested.

    Returns:
        dict[str, dict[str, float]]: method -> metric -> value, often empty.
    """
    whole = test['images'] == _content()['images'].get(testset_name) and not (test.keys() & {'leave_out', 'meta_info'})
    if not whole or test['cropped_to_multiples_of'] != test['scale'] or kernels != 8:
        return {}
    methods = _content().get(test['protocol'], {}).get(test['scale'], {}).get(testset_name, {})
    return {method: {metric: values[at] for metric, at in SCHEME.items()} for method, values in methods.items()}
