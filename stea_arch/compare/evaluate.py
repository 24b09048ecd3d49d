"""One network on one test set: a JSON with every image and kernel, written once it is complete."""

import hashlib
import json
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from basicsr.utils import tensor2img
from tqdm import tqdm

from stea_arch.compare.options import DEFAULT_METRICS
from stea_arch.data.image_io import write_png
from stea_arch.options.comparison import WITH_REFERENCE
from stea_arch.results.files import read_json, write_json
from stea_arch.results.summary import measure, summarize
from stea_arch.system.versions import code_fingerprint, get_commit, get_versions

LOWER_IS_BETTER = ('niqe', 'lpips')
HEARTBEAT = 30  # seconds between two lines of progress, where there is no terminal for a bar


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
    """What a result depends on: weights, arguments, images, kernels, metrics, code, versions and device.

    Args:
        network (dict): As :func:`stea_arch.compare.networks.describe` gives it.
        testset_fingerprint (str): As :meth:`stea_arch.compare.testsets.TestSet.fingerprint` gives it.
        metrics (dict[str, dict]): What is measured.
    """
    code = code_fingerprint('METRIC_REGISTRY', [metric['type'] for metric in metrics.values()])
    parts = [network['fingerprint'], testset_fingerprint, metrics, code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def evaluate(network, testset, metrics, indices=None, pictures=None):
    """Enlarge the cases of a set and measure each.

    Args:
        network (Callable): (3, H, W) -> uint8 BGR image, as :class:`stea_arch.compare.networks.Network`.
        testset (TestSet): Where the images come from.
        metrics (dict[str, dict]): What is measured; empty: only pictures are made.
        indices (list[int] | None): Which cases; None for all.
        pictures (dict[int, Path]): Where to write the results of some cases, as PNG.

    Returns:
        list[dict]: ``image``, ``group`` and a value a metric for each case. A metric is left out where it has none.
    """
    pictures, records = pictures or {}, []
    indices = range(len(testset)) if indices is None else indices
    for index in with_progress(indices, f'{network.label} on {testset.name} x{testset.scale}'):
        item, case = testset[index], testset.cases[index]
        result = network(item['lq'])
        gt = tensor2img([item['gt']]) if 'gt' in item else None
        if gt is not None and result.shape != gt.shape:
            raise ValueError(f'A result of {gt.shape} was expected, the network gave {result.shape} for {case.name}.')
        if index in pictures:
            write_png(result, pictures[index])
        record = {'image': case.image, 'group': case.group, 'size': list(result.shape[:2])}
        if case.params and testset.protocol == 'setting2':
            record['kernel'] = {key: getattr(case.params, key) for key in ('sigma_x', 'sigma_y', 'theta', 'seed')}
        records.append(record | measure(result, gt, metrics))
    return records


def with_progress(indices, what):
    """Go through ``indices`` under a bar, or with a line now and then where the output is not a terminal."""
    if sys.stderr.isatty():
        yield from tqdm(indices, desc=what, unit='image', leave=False)
        return
    start = said = time.monotonic()
    for done, index in enumerate(indices):
        now = time.monotonic()
        if now - said > HEARTBEAT:
            said, left = now, (now - start) / done * (len(indices) - done)
            print(f'{what}: {done} of {len(indices)} images, about {left / 60:.1f} min left', flush=True)
        yield index


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
    known = read_json(file)
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
    write_json(result, file)
    return result, False
