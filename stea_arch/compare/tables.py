"""The tables of a comparison as rows of cells, from which the Markdown and the HTML page are printed alike."""

import math
from dataclasses import dataclass, field, replace

from stea_arch.compare.evaluate import LOWER_IS_BETTER
from stea_arch.results.tables import format_number

NOTHING = '–'  # noqa: RUF001
SIGMA = 'σ'  # noqa: RUF001
WITHOUT_VALUE = {  # why
    'niqe': 'flat, or smaller than two blocks of 96x96 pixels',
    'ssim': 'smaller than its window of 11x11 pixels',
}


@dataclass(frozen=True)
class Cell:
    """What stands in a table.

    ``value`` sorts it; ``best`` marks the best of ours in its column; ``more`` is small; ``rising`` is of a head over
    what is best, or first, where it is smallest.
    """

    text: str
    value: float | None = None
    best: bool = False
    more: str = ''
    rising: bool = False

    def __str__(self):
        return f'{self.text} ({self.more})' if self.more else self.text


@dataclass(frozen=True)
class Row:
    """``kind`` is ``ours``, ``published`` or ``failed``; ``cells`` go without the label."""

    label: str
    cells: list
    kind: str = 'ours'


@dataclass
class Table:
    """``head`` are cells, too, and include that of the labels."""

    head: list
    rows: list = field(default_factory=list)


def overview(sections, costs):
    """One row a network: its costs, and its means on each test set of one scale.

    Args:
        sections (list[dict]): Those of one scale, as :func:`stea_arch.compare.run.compare` makes them.
        costs (dict | None): As :func:`stea_arch.compare.cost.measure_costs` gives them.

    Returns:
        Table: Published methods follow below.
    """
    labels = list(dict.fromkeys(label for section in sections for label in section['results']))
    measured = costs['networks'] if costs else {}
    head = ['network', 'parameters', *(['MACs', 'latency', 'memory'] if measured else [])]
    first = len(head) - 1  # of the sets' cells in a row
    table = Table([Cell(text, rising=True) for text in head])
    for section in sections:
        lower = next(iter(section['metrics']), None) in LOWER_IS_BETTER
        table.head.append(Cell(section['dataset'], more=' / '.join(section['metrics']).upper(), rising=lower))
    for label in labels:
        results = [section['results'].get(label, {}) for section in sections]
        parameters = next((result['parameters'] for result in results if 'parameters' in result), None)
        cells = [Cell(f'{parameters:,}' if parameters is not None else NOTHING, parameters)]
        if measured:
            cells += _cost_cells(measured.get(label))
        cells += [
            Cell('failed') if 'error' in result else _means_cell(result.get('mean'), section['metrics'])
            for result, section in zip(results, sections)
        ]
        failed = all('error' in result for result in results if result)
        table.rows.append(Row(label, cells, 'failed' if failed else 'ours'))
    for column in range(first, first + len(sections)):
        _mark_best(table, column)
    for method in dict.fromkeys(name for section in sections for name in section['published']):
        cells = [Cell(NOTHING) for _ in range(first)]
        cells += [_means_cell(section['published'].get(method), section['metrics']) for section in sections]
        table.rows.append(Row(method, cells, 'published'))
    return table


def set_table(section):
    """One row a network: the mean of each metric, then the first metric under each kernel.

    Args:
        section (dict): One test set at one scale, as :func:`stea_arch.compare.run.compare` makes it.

    Returns:
        Table: Published methods follow below.
    """
    metrics, kernels = list(section['metrics']), kernels_of(section)
    columns = [*metrics, *(metrics[0] for _ in kernels)]
    titles = [*map(str.upper, metrics), *map(kernel_title, kernels)]
    heads = [Cell(title, rising=metric in LOWER_IS_BETTER) for title, metric in zip(titles, columns)]
    table = Table([Cell('network', rising=True), *heads])
    for label, result in section['results'].items():
        if 'error' in result:
            table.rows.append(
                Row(label, [Cell('failed' if at == 0 else NOTHING) for at in range(len(columns))], 'failed')
            )
            continue
        cells = [_number_cell(result['mean'].get(metric)) for metric in metrics]
        cells += [_number_cell(result['groups'][kernel].get(metrics[0])) for kernel in kernels]
        table.rows.append(Row(label, cells))
    for column in range(len(columns)):
        _mark_best(table, column)
    for method, values in section['published'].items():
        cells = [_number_cell(values.get(metric)) for metric in metrics]
        table.rows.append(Row(method, cells + [Cell(NOTHING) for _ in kernels], 'published'))
    return table


def kernel_title(kernel):
    """The head of a kernel's column."""
    return kernel.replace('sigma', f'{SIGMA} ')


def kernels_of(section):
    """Names of the kernels of a section, from the narrowest to the widest; empty where images come once."""
    if not section['metrics']:
        return []
    return next((list(result['groups']) for result in section['results'].values() if 'groups' in result), [])


def notes(section):
    """What a reader must know about a section's numbers, a sentence each."""
    found = []
    if kernels_of(section):
        first = next(iter(section['metrics'])).upper()
        found.append(f'The columns of {SIGMA}, the width of the blur kernel in pixels, hold {first}.')
    for label, result in section['results'].items():
        if 'error' in result:
            continue
        for metric, count in result['exact'].items():
            found.append(f'{label}: {count} results equal the truth; they are left out of the mean {metric.upper()}.')
        for metric in section['metrics']:
            missing = sum(metric not in record for record in result['images'])
            if missing:
                found.append(
                    f'{label}: {metric.upper()} has no value for {missing} of {len(result["images"])} images '
                    f'({WITHOUT_VALUE.get(metric, "too small")}); they are left out of its mean.'
                )
    return found


def describe_metrics(metrics):
    """E.g. ``PSNR on Y, border 4 (higher is better); ...``."""
    texts = []
    for name, opt in metrics.items():
        channel = 'Y' if opt.get('test_y_channel') or name == 'niqe' else 'RGB'
        border = f', border {opt["crop_border"]}' if opt['crop_border'] else ''
        better = 'lower' if name in LOWER_IS_BETTER else 'higher'
        texts.append(f'{name.upper()} on {channel}{border} ({better} is better)')
    return '; '.join(texts)


def _means_cell(values, metrics):
    """The values of a set, a dash for each that there is not, to be sorted by the first; one dash without any set."""
    if values is None or not metrics:
        return Cell(NOTHING)
    cells = [_number_cell(values.get(metric)) for metric in metrics]
    return Cell(' / '.join(cell.text for cell in cells), cells[0].value)


def _number_cell(value):
    if value is None:  # no image had one
        return Cell(NOTHING)
    return Cell('exact' if value == math.inf else format_number(value), value)


def _cost_cells(cost):
    if cost is None:
        return [Cell(NOTHING)] * 3
    macs, seconds, memory = cost['macs'], cost['latency_seconds'], cost['peak_bytes']
    digits = 0 if seconds >= 0.01 else 1
    median, fastest, slowest = (f'{1e3 * value:.{digits}f}' for value in (seconds, *cost['latency_range']))
    return [
        Cell(f'{macs / 1e9:.2f} G', macs),
        Cell(f'{median} ms', seconds, more=f'{fastest} to {slowest}'),
        Cell(f'{memory / 2**20:.0f} MiB' if memory >= 10 * 2**20 else f'{memory / 2**20:.1f} MiB', memory),
    ]


def _mark_best(table, column):
    ours = [row for row in table.rows if row.kind == 'ours' and row.cells[column].value is not None]
    if len(ours) < 2:
        return
    best = (min if table.head[column + 1].rising else max)(row.cells[column].value for row in ours)
    for row in ours:
        cell = row.cells[column]
        if cell.value == best:
            row.cells[column] = replace(cell, best=True)
