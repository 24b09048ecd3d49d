"""The whole comparison: every network on every set, what is finished from the disk, a failure kept as such."""

import errno
import functools
import re
from pathlib import Path

from tqdm import tqdm

from stea_arch.compare.cost import DEFAULT_ROUNDS, cost_mark, measure_costs
from stea_arch.compare.crops import make_crops, pictured_cases
from stea_arch.compare.evaluate import compare_one, metric_options
from stea_arch.compare.literature import published_results
from stea_arch.compare.networks import Network, describe, scale_of
from stea_arch.compare.options import DEFAULT_CROPS, find_case
from stea_arch.compare.tables import kernels_of
from stea_arch.compare.testsets import TestSet
from stea_arch.metrics.perceptual import why_unavailable
from stea_arch.results.files import read_json, write_json

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room, none left of a quota, a file-size limit


def compare(opt, out):
    """Run what is not on the disk yet.

    A network that cannot be made, or fails on a set, is reported and does not keep the others from running. Nothing
    half-written is ever taken for a result, so an interrupted run is continued by the same command.

    Args:
        opt (dict): As :func:`stea_arch.compare.options.read_compare_options` gives it.
        out (Path): Folder of the results; ``<set>_x<scale>/<network>.json`` and pictures below.

    Raises:
        OSError: The disk is full.

    Returns:
        dict: ``name``, ``labels`` (all networks, in order), ``remarks`` (what was left out), and ``scales``
        {scale: {'sections': [...], 'costs': dict | None}}; a section has ``dataset``,
        ``test``, ``metrics``, ``published``, ``results`` {label: result, or {'error': why}} and ``crops``.
    """
    wanted = opt.get('metrics')
    reasons = {metric: why_unavailable(metric) for metric in wanted or ()}
    remarks = [f'{reason}. {metric} is left out.' for metric, reason in reasons.items() if reason]
    for label, source in opt.get('untrained', {}).items():
        remarks.append(f'{label} is left out: {source} has not been trained yet (stea-train -opt {source}).')
    usable = [metric for metric in wanted if not reasons[metric]] if wanted else None
    opened = functools.cache(lambda label, scale: _attempt(lambda: Network(opt, label, scale)))
    scales = {}
    for scale in opt['scales']:
        labels = [label for label in opt['networks'] if scale_of(opt, label) in (None, scale)]
        names = [name for name, section in opt['datasets'].items() if scale in section.get('scales', opt['scales'])]
        if not labels or not names:
            remarks.append(f'Scale {scale} has {"no network" if not labels else "no test set"}.')
            continue
        sections = [_section(opt, name, scale, labels, opened, usable, out) for name in names]
        scales[scale] = {'sections': sections, 'costs': _costs(opt, scale, labels, opened, out)}
    return {'name': opt['name'], 'labels': list(opt['networks']), 'remarks': remarks, 'scales': scales}


def failures(comparison):
    """Everything that failed, a line for each network and reason."""
    where = {}
    for scale, part in comparison['scales'].items():
        for section in part['sections']:
            for label, result in section['results'].items():
                if 'error' in result:
                    where.setdefault((label, result['error']), []).append(f'{section["dataset"]} x{scale}')
        for label, reason in part['costs']['failed'].items() if part['costs'] else ():
            where.setdefault((label, reason), []).append(f'the costs at x{scale}')
    return [f'{label} on {", ".join(places)}: {reason}' for (label, reason), places in where.items()]


def _attempt(action):
    """The action's result, or the error it ended with: one network must not stop the others, a full disk does."""
    try:
        return action()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        return error


def _open(opened, label, scale):
    network = opened(label, scale)
    if isinstance(network, Exception):
        raise network
    return network


def _section(opt, name, scale, labels, opened, metrics, out):
    section = opt['datasets'][name]
    testset = TestSet(name, section, scale)
    mark = testset.fingerprint()
    measured = metric_options(metrics, scale, testset.gt is not None)
    crop, shown = section.get('crop'), {**DEFAULT_CROPS, **opt.get('crops', {})}
    chosen = find_case(testset, crop) if crop else None
    pictures = pictured_cases(testset, shown['rows'], chosen)
    folder, results = Path(out, f'{name}_x{scale}'), {}
    for label in labels:
        done = _attempt(
            lambda label=label: compare_one(
                lambda: _open(opened, label, scale),
                describe(opt, label, scale),
                testset,
                mark,
                measured,
                folder,
                pictures,
            )
        )
        results[label] = {'error': _one_line(done)} if isinstance(done, Exception) else done[0]
        if isinstance(done, Exception):
            tqdm.write(f'{label} on {name} x{scale} failed: {_one_line(done)}')
        else:
            tqdm.write(f'{label} on {name} x{scale}: {"nothing has changed" if done[1] else _means(done[0])}')
    made = {label: Path(folder, 'pictures', label) for label, result in results.items() if 'error' not in result}
    about = {'dataset': name, 'test': testset.describe(), 'metrics': measured, 'results': results}
    about['sigmas'] = {case.group: case.params.sigma_x for case in testset.cases if case.group}
    about['published'] = {}
    if opt.get('published', True):
        about['published'] = published_results(name, about['test'], len(kernels_of(about)))
    return {**about, 'crops': _crops(testset, pictures, made, shown['size'], chosen, crop)}


def _crops(testset, pictures, made, size, chosen, crop):
    crops = []
    for index, name in pictures.items() if made else ():
        paths = {label: folder / name for label, folder in made.items()}
        if index == chosen:
            crops.append(make_crops(testset, index, paths, size, crop['region']))
        crops.append(make_crops(testset, index, paths, size))
    return crops


def _costs(opt, scale, labels, opened, out):
    """Costs of all networks of a scale that could be made, from the disk where nothing has changed."""
    if not opt.get('cost'):
        return None
    networks = [network for label in labels if not isinstance(network := opened(label, scale), Exception)]
    if not networks:
        return None
    about = {network.label: describe(opt, network.label, scale) for network in networks}
    mark, file = cost_mark(opt['cost'], about, str(networks[0].device)), Path(out, f'cost_x{scale}.json')
    known = read_json(file)
    if known and known['fingerprint'] == mark:
        return known
    tqdm.write(f'Costs at x{scale}, input {opt["cost"]["size"]}, in turn: {", ".join(about)}')
    costs = measure_costs(networks, opt['cost']['size'], opt['cost'].get('rounds', DEFAULT_ROUNDS))
    if not costs['failed']:
        write_json({**costs, 'fingerprint': mark}, file)
    return costs


def _means(result):
    return ', '.join(f'{metric.upper()} {value:.4f}' for metric, value in result['mean'].items())


def _one_line(error):
    text = re.sub(r'\s+', ' ', str(error)).strip()
    text = text if len(text) <= 600 else f'{text[:600]} ...'
    return text if isinstance(error, (ValueError, FileNotFoundError)) else f'{type(error).__name__}: {text}'
