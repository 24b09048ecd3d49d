"""One network on one test set: a JSON with every image and kernel, written once it is complete."""

import hashlib
import json
import math
import shutil
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from basicsr.metrics import calculate_metric
from basicsr.utils import tensor2img
from tqdm import tqdm

from stea_arch.compare.options import DEFAULT_METRICS
from stea_arch.options.comparison import WITH_REFERENCE
from stea_arch.results.summary import summarize
from stea_arch.system.files import whole_or_nothing
from stea_arch.system.versions import get_commit, get_versions

LOWER_IS_BETTER = ('niqe', 'lpips')
WITHOUT_VALUE = 'niqe'  # it fits a model to 96x96 blocks, which small or flat images do not allow


def metric_options(names, scale, has_truth):
    """What is measured on a set: BasicSR's functions with the arguments of the literature.

    Args:
        names (list[str] | None): ``metrics`` of the option file.
        scale (int): Also the border that is left out.
        has_truth (bool): Whether the set has one.

    Returns:
        dict[str, dict]: name -> type and arguments.
    """
    options = {}
    for name in DEFAULT_METRICS if names is None else names:
        if (name in WITH_REFERENCE) == has_truth:
            options[name] = {'type': f'calculate_{name}', 'crop_border': scale if has_truth else 0}
            if name in ('psnr', 'ssim'):
                options[name]['test_y_channel'] = True
    return options


def fingerprint(network, testset_fingerprint, metrics):
    """What a result depends on: weights, arguments, images, kernels, metrics.

    Args:
        network (dict): As :func:`stea_arch.compare.networks.describe` gives it.
        testset_fingerprint (str): As :meth:`stea_arch.compare.testsets.TestSet.fingerprint` gives it.
        metrics (dict[str, dict]): What is measured.
    """
    parts = json.dumps([network['fingerprint'], testset_fingerprint, metrics], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def evaluate(network, testset, metrics, indices=None, pictures=None):
    """Enlarge the cases of a set and measure each.

    Args:
        network (Callable): (3, H, W) -> uint8 BGR image, as :class:`stea_arch.compare.networks.Network`.
        testset (TestSet): Where the images come from.
        metrics (dict[str, dict]): What is measured; empty: only pictures are made.
        indices (list[int] | None): Which cases; None for all.
        pictures (dict[int, Path]): Where to write the results of some cases, as PNG.

    Returns:
        list[dict]: ``image``, ``group`` and a value a metric for each case. NIQE is left out where it has none.
    """
    pictures, records = pictures or {}, []
    indices = range(len(testset)) if indices is None else indices
    for index in tqdm(
        indices, desc=f'{network.label}, {testset.name} x{testset.scale}', unit='image', leave=False, disable=None
    ):
        item, case = testset[index], testset.cases[index]
        result = network(item['lq'])
        gt = tensor2img([item['gt']]) if 'gt' in item else None
        if gt is not None and result.shape != gt.shape:
            raise ValueError(f'A result of {gt.shape} was expected, the network gave {result.shape} for {case.name}.')
        if index in pictures:
            _write_picture(result, pictures[index])
        record = {'image': case.image, 'group': case.group, 'size': list(result.shape[:2])}
        if case.params and testset.protocol == 'setting2':
            record['kernel'] = {key: getattr(case.params, key) for key in ('sigma_x', 'sigma_y', 'theta', 'seed')}
        records.append(record | _measure(result, gt, metrics))
    return records


def _write_picture(img, path):
    with whole_or_nothing(path) as partial:
        partial.write_bytes(cv2.imencode(path.suffix, img)[1])


def _measure(result, gt, metrics):
    images = {'img': result} if gt is None else {'img': result, 'img2': gt}
    values = {}
    for name, opt in metrics.items():
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)  # of means over no block at all
            try:
                value = float(calculate_metric(images, opt))
            except (np.linalg.LinAlgError, RuntimeError):
                if name != WITHOUT_VALUE:
                    raise
                value = math.nan
        if name != WITHOUT_VALUE or math.isfinite(value):
            values[name] = value
    return values


def make_result(network, about, testset, metrics, mark, records, seconds):
    """What is kept of a network on a set; every value fits JSON."""
    return {
        **about,
        'parameters': network.parameters,
        'dataset': testset.name,
        'scale': testset.scale,
        'test': testset.describe(),
        'metrics': metrics,
        **summarize(records, list(metrics)),
        'images': records,
        'seconds': round(seconds, 2),
        'device': str(network.device),
        'versions': get_versions(),
        'commit': get_commit(),
        'date': datetime.now(UTC).isoformat(timespec='seconds'),
        'fingerprint': mark,
    }


def compare_one(open_network, about, testset, set_mark, metrics, folder, pictures):
    """The result of one network on one set, from the disk where it is complete and nothing has changed.

    Args:
        open_network (Callable): Gives the :class:`Network`; only called where something has to run.
        about (dict): As :func:`stea_arch.compare.networks.describe` gives it.
        testset (TestSet): The set.
        set_mark (str): Its fingerprint.
        metrics (dict[str, dict]): What is measured.
        folder (Path): Where the JSON and the pictures go.
        pictures (dict[int, str]): Names of the PNGs of some cases, by case.

    Returns:
        tuple[dict, bool]: The result, and whether it was there already.
    """
    label = about['network']
    file, mark = Path(folder, f'{label}.json'), fingerprint(about, set_mark, metrics)
    paths = {index: Path(folder, 'pictures', label, name) for index, name in pictures.items()}
    known = read_result(file)
    if known and known['fingerprint'] == mark:
        missing = {index: path for index, path in paths.items() if not path.is_file()}
        if missing:
            evaluate(open_network(), testset, {}, list(missing), missing)
        return known, True
    file.unlink(missing_ok=True)  # pictures and numbers always belong together
    shutil.rmtree(Path(folder, 'pictures', label), ignore_errors=True)
    network, start = open_network(), time.perf_counter()
    records = evaluate(network, testset, metrics, pictures=paths)
    result = make_result(network, about, testset, metrics, mark, records, time.perf_counter() - start)
    write_result(result, file)
    return result, False


def write_result(result, file):
    """Write JSON so that the name holds all of it or what it held before. An infinite PSNR becomes ``"inf"``."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(file) as partial:
        partial.write_text(json.dumps(_finite(result), indent=1, allow_nan=False) + '\n', encoding='utf-8')


def read_result(file):
    """What :func:`write_result` has written, or None where there is no such file."""
    file = Path(file)
    return _infinite(json.loads(file.read_text(encoding='utf-8'))) if file.is_file() else None


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return 'inf' if value == math.inf else value


def _infinite(value):
    if isinstance(value, dict):
        return {key: _infinite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_infinite(entry) for entry in value]
    return math.inf if value == 'inf' else value
