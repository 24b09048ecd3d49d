"""A comparison as one Markdown page."""

from stea_arch.compare.literature import published_source
from stea_arch.compare.run import failures
from stea_arch.compare.tables import NOTHING, describe_metrics, notes, overview, set_table
from stea_arch.results.tables import align


def as_markdown(comparison):
    """The page.

    Args:
        comparison (dict): As :func:`stea_arch.compare.run.compare` gives it.

    Returns:
        str: Tables that a terminal shows aligned as well. The best of ours is bold, published rows are marked.
    """
    blocks = [f'# {comparison["name"]}', *comparison['remarks'], *(f'Failed: {line}' for line in failures(comparison))]
    for scale, part in comparison['scales'].items():
        blocks += [f'## x{scale}', _table(overview(part['sections'], part['costs']))]
        if part['costs']:
            blocks.append(describe_costs(part['costs']))
        for section in part['sections']:
            blocks += [f'### {section["dataset"]}, x{scale}', describe_test(section), _table(set_table(section))]
            blocks += [f'- {note}' for note in notes(section)]
        if any(section['published'] for section in part['sections']):
            blocks.append(f'Rows marked † are published results, from {published_source()}; none was computed here.')
    blocks.append(describe_origin(comparison))
    return '\n\n'.join(blocks) + '\n'


def _table(table):
    rows = [[*map(str, table.head)]]
    for row in table.rows:
        label = f'{row.label} †' if row.kind == 'published' else row.label
        rows.append([label, *(f'**{cell.text}**' if cell.best else str(cell) for cell in row.cells)])
    return align([[cell.replace('|', '\\|') for cell in row] for row in rows])


def describe_test(section):
    """The protocol of a set in one sentence or two."""
    test = section['test']
    text = f'{test["protocol"]}: {test["images"]} images, {test["cases"]} cases; {test["degradation"]}.'
    multiple = test['cropped_to_multiples_of']
    if multiple:
        text += f' Whole images, cropped at the bottom and right to multiples of {multiple}'
        text += f' (the scale is {test["scale"]}).' if multiple != test['scale'] else ', the scale.'
    if test.get('leave_out'):
        text += f' Left out: {", ".join(test["leave_out"])}.'
    text += f' Results rounded to 8 bits; {describe_metrics(section["metrics"])}; mean over images'
    text += ' and kernels.' if test['cases'] > test['images'] else '.'
    return text


def describe_costs(costs):
    """How costs were measured, in a sentence."""
    how = costs['protocol']
    height, width = costs['input']
    text = (
        f'Input of {height}x{width} pixels. MACs: {how["macs"]}. Latency: {how["latency"]}, on {how["device"]}. '
        f'Memory: {how["memory"]}.'
    )
    return f'{text} {costs["warning"]}' if costs['warning'] else text


def describe_origin(comparison):
    """Versions, commits and devices behind the numbers."""
    results = [
        result
        for part in comparison['scales'].values()
        for section in part['sections']
        for result in section['results'].values()
        if 'error' not in result
    ]
    if not results:
        return 'Nothing could be computed.'

    def all_of(values):
        return ', '.join(sorted({str(value) for value in values})) or NOTHING

    versions = '; '.join(
        f'{name} {all_of(result["versions"].get(name, NOTHING) for result in results)}'
        for name in ('stea_arch', 'basicsr', 'torch', 'numpy', 'opencv', 'python')
    )
    commits = all_of(_short(result['commit']) for result in results)
    dates = sorted(result['date'][:10] for result in results)
    when = dates[0] if dates[0] == dates[-1] else f'{dates[0]} to {dates[-1]}'
    devices = all_of(result['versions'].get('cuda_device', result['device']) for result in results)
    return f'Computed {when} on {devices}; commit {commits}; {versions}.'


def _short(commit):
    return commit[:12] + '+' * commit.endswith('+') if commit else 'unknown'
