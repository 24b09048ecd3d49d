"""One table from the results of several tests."""

import json
from pathlib import Path

from stea_arch.results.picture import image_of


def load_results(folders):
    """Read ``metrics_*.json`` of test runs, and check that they may stand in one table.

    Args:
        folders (list[str | Path]): ``results/<name>`` of each run, in the order of the rows.

    Returns:
        dict[str, list[dict]]: The runs' contents by dataset name.

    Raises:
        FileNotFoundError: A folder has no results.
        ValueError: Two runs disagree on the degradation, the scale or the metrics of a dataset.
    """
    by_dataset = {}
    for folder in map(Path, folders):
        files = sorted(folder.glob('metrics_*.json'))
        if not files:
            raise FileNotFoundError(
                f'{folder} has no metrics_<dataset>.json: expected the folder that '
                '`python -m stea_arch.test -opt FILE` wrote under results/, tested with LabNetModel and val.metrics.'
            )
        for file in files:
            content = json.loads(file.read_text(encoding='utf-8'))
            by_dataset.setdefault(content['dataset']['name'], []).append(content)
    for name, runs in by_dataset.items():
        for run in runs[1:]:
            for what in ('dataset', 'scale', 'metrics'):
                if run[what] != runs[0][what]:
                    raise ValueError(
                        f'{run["name"]} and {runs[0]["name"]} cannot stand in one table: their {what} of {name} '
                        f'differ: {run[what]} against {runs[0][what]}. Test both with the same settings.'
                    )
    return by_dataset


def make_table(dataset_name, runs):
    """Markdown table of a dataset: a row a run, the mean of each metric, and the first metric under each kernel.

    Args:
        dataset_name (str): Heading.
        runs (list[dict]): As :func:`load_results` gives them.

    Returns:
        str: Lines aligned for a terminal.
    """
    metrics, groups = list(runs[0]['metrics']), list(runs[0]['groups'])
    rows = [['network', 'parameters', *metrics, *groups]]
    for label, run in zip(make_labels(runs), runs):
        means = [format_number(run['mean'][m]) if m in run['mean'] else '-' for m in metrics]
        per_group = [format_number(run['groups'][g][metrics[0]]) for g in groups]
        rows.append([label, f'{run["parameters"]:,}', *means, *per_group])
    images = len({image_of(record) for record in runs[0]['images']})
    under = f' under {len(groups)} kernels' if groups else ''
    protocol = '; '.join(f'{name}: {_protocol(opt)}' for name, opt in runs[0]['metrics'].items())
    heading = f'{dataset_name}, x{runs[0]["scale"]}, {images} images{under}. {protocol}.'
    if groups:
        heading += f' The columns of kernels hold {metrics[0]}.'
    return f'{heading}\n\n{align(rows)}'


def make_labels(runs):
    """The network of each run, ``+`` for the self-ensemble; with the run's name where two would be the same."""
    labels = [run['network_g']['type'] + (' +' if run['self_ensemble'] else '') for run in runs]
    return [f'{label} ({run["name"]})' if labels.count(label) > 1 else label for label, run in zip(labels, runs)]


def align(rows):
    """A Markdown table that a terminal shows aligned as well.

    Args:
        rows (list[list[str]]): The head first.

    Returns:
        str: Its lines.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ['| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths)) + ' |' for row in rows]
    lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    return '\n'.join(lines)


def format_number(value):
    """Two digits after the point for a PSNR or NIQE, four for an SSIM or another value below 2."""
    return f'{value:.2f}' if abs(value) >= 2 else f'{value:.4f}'


def _protocol(opt):
    channel = 'Y' if opt.get('test_y_channel') or opt['type'] == 'calculate_niqe' else 'RGB'
    return f'{opt["type"].removeprefix("calculate_")} on {channel}, border {opt["crop_border"]}'
