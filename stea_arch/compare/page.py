"""A comparison as one HTML page: no network, no framework, all pictures inside."""

import base64
import math
from html import escape
from pathlib import Path

import cv2

from stea_arch.compare.curve import colour_of, draw_curve
from stea_arch.compare.literature import published_source
from stea_arch.compare.markdown import describe_costs, describe_origin, describe_test
from stea_arch.compare.run import failures
from stea_arch.compare.tables import SIGMA, kernel_title, kernels_of, notes, overview, set_table
from stea_arch.results.tables import format_number

OVERVIEW_SIDE = 260  # pixels of the longer side of a whole image as shown


def as_html(comparison):
    """The page.

    Args:
        comparison (dict): As :func:`stea_arch.compare.run.compare` gives it.

    Returns:
        str: A complete HTML document.
    """
    here = Path(__file__).parent
    style, script = ((here / name).read_text(encoding='utf-8') for name in ('page.css', 'page.js'))
    numbers = {label: number for number, label in enumerate(comparison['labels'])}
    body = [f'<header><h1>{escape(comparison["name"])}</h1>{_contents(comparison)}</header>']
    failed = failures(comparison)
    if failed:
        items = ''.join(f'<li>{escape(line)}</li>' for line in failed)
        body.append(f'<section class="failed"><h2>Failed</h2><ul>{items}</ul></section>')
    body += [f'<p class="note">{escape(remark)}</p>' for remark in comparison['remarks']]
    for scale, part in comparison['scales'].items():
        body.append(_scale(scale, part, numbers))
        body += [_section(section, scale, numbers) for section in part['sections']]
    body.append(f'<footer><p>{escape(describe_origin(comparison))}</p></footer>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(comparison["name"])}</title>\n<style>\n{style}</style></head>\n<body>\n'
        + '\n'.join(body)
        + f'\n<script>\n{script}</script>\n</body></html>\n'
    )


def _contents(comparison):
    links = [
        f'<a href="#{_anchor(section, scale)}">{escape(section["dataset"])} x{scale}</a>'
        for scale, part in comparison['scales'].items()
        for section in part['sections']
    ]
    return f'<nav>{"".join(links)}</nav>'


def _anchor(section, scale):
    return escape(f'{section["dataset"]}-x{scale}'.replace(' ', '-'), quote=True)


def _scale(scale, part, numbers):
    html = f'<section><h2>Overview, x{scale}</h2>{_table(overview(part["sections"], part["costs"]), numbers)}'
    if part['costs']:
        html += f'<p class="note">{escape(describe_costs(part["costs"]))}</p>'
    if any(section['published'] for section in part['sections']):
        html += (
            '<p class="note"><span class="tag">published</span> Results of other methods, from '
            f'{escape(published_source())}; none was computed here.</p>'
        )
    return html + '</section>'


def _section(section, scale, numbers):
    html = f'<section id="{_anchor(section, scale)}"><h2>{escape(section["dataset"])}, x{scale}</h2>'
    html += f'<p class="note">{escape(describe_test(section))}</p>' + _table(set_table(section), numbers)
    html += ''.join(f'<p class="note">{escape(note)}</p>' for note in notes(section))
    curve = _curve(section, numbers)
    if curve:
        html += f'<div class="scroll">{curve}</div>'
    return html + ''.join(_crops(crops, section, numbers) for crops in section['crops']) + '</section>'


def _table(table, numbers):
    head = ''.join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in table.head)
    rows = []
    for row in table.rows:
        tag = ' <span class="tag">published</span>' if row.kind == 'published' else ''
        label = f'<th scope="row">{_swatch(row.label, numbers, row.kind)}{escape(row.label)}{tag}</th>'
        cells = ''.join(
            f'<td{"" if cell.value is None else f" data-v={chr(34)}{cell.value!r}{chr(34)}"}>'
            + (f'<b>{escape(cell.text)}</b>' if cell.best else escape(cell.text))
            + '</td>'
            for cell in row.cells
        )
        rows.append(f'<tr class="{row.kind}">{label}{cells}</tr>')
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _swatch(label, numbers, kind='ours'):
    colour = 'transparent' if kind == 'published' or label not in numbers else colour_of(numbers[label])
    return f'<i style="background:{colour}"></i>'


def _curve(section, numbers):
    metric, series, kernels = next(iter(section['metrics']), None), {}, kernels_of(section)
    if not kernels:
        return ''
    for label, result in section['results'].items():
        groups = result.get('groups', {})
        points = [(float(kernel.removeprefix('sigma')), values[metric]) for kernel, values in groups.items()]
        series[label] = numbers[label], [(x, y) for x, y in sorted(points) if math.isfinite(y)]
    unit = f'{metric.upper()} in dB' if metric == 'psnr' else metric.upper()
    return draw_curve(series, f'{SIGMA} of the blur kernel', unit)


def _crops(crops, section, numbers):
    height, width = crops['whole'].shape[:2]
    top, left, side = crops['region']
    box = (f'{name}:{100 * value:.2f}%' for name, value in _box(top, left, side, height, width))
    kernel = f', {kernel_title(crops["kernel"])}' if crops['kernel'] else ''
    factor = min(1, OVERVIEW_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    whole = _image(cv2.resize(crops['whole'], size, interpolation=cv2.INTER_AREA), 85, 'the whole image')
    figures = [f'<figure class="whole"><div>{whole}<span style="{";".join(box)}"></span></div></figure>']
    metric = next(iter(section['metrics']), None)
    for label, tile in crops['tiles'].items():
        caption = escape(label)
        if label in numbers:
            value = section['results'][label]['images'][crops['case']].get(metric)
            caption = _swatch(label, numbers) + caption
            caption += '' if value is None else f'<br><small>{metric.upper()} {_value(value)}</small>'
        name = f'{label}, {crops["image"]}'
        figures.append(f'<figure>{_image(tile, 101, name)}<figcaption>{caption}</figcaption></figure>')
    where = f'{side} pixels wide at row {top}, column {left}: {crops["how"]}'
    title = f'<h3>{escape(crops["image"])}{escape(kernel)} <small>{escape(where)}</small></h3>'
    return f'<div class="case">{title}<div class="crops">{"".join(figures)}</div></div>'


def _value(value):
    return 'exact' if value == math.inf else format_number(value)


def _box(top, left, side, height, width):
    return (('top', top / height), ('left', left / width), ('width', side / width), ('height', side / height))


def _image(image, quality, alt):
    """An <img> with the picture inside; a WebP quality above 100 stands for lossless."""
    _, data = cv2.imencode('.webp', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])
    height, width = image.shape[:2]
    source = f'data:image/webp;base64,{base64.b64encode(data).decode()}'
    return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt, quote=True)}">'
