"""A comparison as one HTML page: no network, no framework, all pictures inside."""

import math

import cv2

from stea_arch.compare.crops import caption
from stea_arch.compare.curve import colour_of, draw_curve
from stea_arch.compare.literature import published_source
from stea_arch.compare.markdown import describe_costs, describe_origin, describe_test
from stea_arch.compare.run import failures
from stea_arch.compare.tables import SIGMA, kernel_title, kernels_of, notes, overview, set_table
from stea_arch.results.html import render, webp_url

OVERVIEW_SIDE = 320  # pixels of the longer side of a whole image as shown
MOST_COLUMNS = (5, 4, 3)  # of crops, in a wide, a middling and a narrow window


def as_html(comparison):
    """The page.

    Args:
        comparison (dict): As :func:`stea_arch.compare.run.compare` gives it.

    Returns:
        str: A complete HTML document.
    """
    colours = {label: colour_of(number) for number, label in enumerate(comparison['labels'])}
    return render(
        'compare/page.html',
        name=comparison['name'],
        colours=colours,
        failed=failures(comparison),
        remarks=comparison['remarks'],
        scales=[_scale(scale, part, comparison['labels']) for scale, part in comparison['scales'].items()],
        origin=describe_origin(comparison),
    )


def _scale(scale, part, labels):
    about = [describe_costs(part['costs'])] if part['costs'] else []
    if any(section['published'] for section in part['sections']):
        about.append(f'Published: results of other methods, from {published_source()}; none was computed here.')
    return {
        'scale': scale,
        'overview': overview(part['sections'], part['costs']),
        'notes': about,
        'sections': [_section(section, scale, labels) for section in part['sections']],
    }


def _section(section, scale, labels):
    return {
        'anchor': f'{section["dataset"]}-x{scale}'.replace(' ', '-'),
        'title': f'{section["dataset"]}, x{scale}',
        'table': set_table(section),
        'curve': _curve(section, labels),
        'notes': [describe_test(section), *notes(section)],
        'cases': [_case(crops, section) for crops in section['crops']],
    }


def _curve(section, labels):
    metric, series, kernels = next(iter(section['metrics']), None), {}, kernels_of(section)
    if not kernels:
        return ''
    for label, result in section['results'].items():
        groups = result.get('groups', {})
        points = [(section['sigmas'][kernel], values.get(metric, math.inf)) for kernel, values in groups.items()]
        series[label] = labels.index(label), [(x, y) for x, y in sorted(points) if math.isfinite(y)]
    unit = f'{metric.upper()} in dB' if metric == 'psnr' else metric.upper()
    return draw_curve(series, f'{SIGMA} of the blur kernel', unit)


def _case(crops, section):
    height, width = crops['whole'].shape[:2]
    top, left, side = crops['region']
    box = {'top': top / height, 'left': left / width, 'width': side / width, 'height': side / height}
    factor = min(1, OVERVIEW_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    tiles = [
        {'label': label, 'said': caption(label, crops, section), **_picture(tile)}
        for label, tile in crops['tiles'].items()
    ]
    return {
        'title': ', '.join(filter(None, (crops['image'], crops['kernel'] and kernel_title(crops['kernel'])))),
        'where': f'{side} pixels wide at row {top}, column {left}: {crops["how"]}',
        'box': ';'.join(f'{name}:{100 * value:.2f}%' for name, value in box.items()),
        'whole': _picture(cv2.resize(crops['whole'], size, interpolation=cv2.INTER_AREA), 85),
        'tiles': tiles,
        'columns': [balanced_columns(len(tiles), most) for most in MOST_COLUMNS],
    }


def _picture(image, quality=101):
    return {'url': webp_url(image, quality), 'width': image.shape[1], 'height': image.shape[0]}


def balanced_columns(number, most):
    """In how many columns, at most ``most``, so many crops stand in few rows, the last as full as it can be."""
    rows = -(-number // most)
    return -(-number // rows)
