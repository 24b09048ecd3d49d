"""A line chart as SVG: a metric over the width of the blur kernel."""

import math
from html import escape

WIDTH, HEIGHT = 720, 350
LEFT, RIGHT, TOP, BOTTOM = 74, 150, 14, 54
LINE = 19  # least distance of two labels
COLOURS = ('#7a7a7a', '#d1495b', '#00798c', '#e09f1f', '#5f4bb6', '#2a9d4a', '#b5651d', '#1d70d6')
MARKERS = ('circle', 'square', 'diamond', 'triangle')


def colour_of(number):
    """The colour of the network that stands at a position (from 0) of the option file."""
    return COLOURS[number % len(COLOURS)]


def draw_curve(series, x_label, y_label):
    """Draw lines, each named at its right end.

    Args:
        series (dict[str, tuple]): label -> (position of the network, [(x, y), ...]), x rising; y finite.
        x_label (str), y_label (str): What the axes are.

    Returns:
        str: An ``<svg>`` element; empty where no line has two points.
    """
    series = {label: (number, points) for label, (number, points) in series.items() if len(points) > 1}
    if not series:
        return ''
    xs = sorted({x for _, points in series.values() for x, _ in points})
    ys = [y for _, points in series.values() for _, y in points]
    y_ticks = ticks(min(ys), max(ys))
    low, high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))

    def place(x, y):
        across = LEFT + (x - xs[0]) / (xs[-1] - xs[0]) * (WIDTH - LEFT - RIGHT)
        return across, TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_axes(xs, y_ticks, place, x_label, y_label)]
    ends = _spread({label: place(*points[-1])[1] for label, (_, points) in series.items()})
    for label, (number, points) in series.items():
        colour, places = colour_of(number), [place(*point) for point in points]
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (sigma, value) in zip(places, points):
            tip = f'<title>{escape(label)}, {x_label} {sigma:g}: {value:.2f}</title>'
            parts.append(_marker(MARKERS[number % len(MARKERS)], x, y, colour, tip))
        x, y = places[-1]
        parts.append(f'<path d="M{x + 5:.1f} {y:.1f}L{x + 14:.1f} {ends[label]:.1f}" stroke="{colour}" opacity=".5"/>')
        text = escape(label if len(label) <= 16 else label[:15] + '…')
        parts.append(f'<text x="{x + 17:.1f}" y="{ends[label] + 4:.1f}" fill="{colour}" class="name">{text}</text>')
    title = f'{y_label} over {x_label}'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" class="curve">'
        + ''.join(parts)
        + '</svg>'
    )


def ticks(low, high, wanted=5):
    """Round numbers that cover [low, high], about as many as wanted."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _axes(xs, y_ticks, place, x_label, y_label):
    parts, right, bottom = [], WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in y_ticks:
        y = place(xs[0], tick)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for x in xs:
        across = place(x, y_ticks[0])[0]
        parts.append(f'<path d="M{across:.1f} {bottom}v5" class="grid"/>')
        parts.append(f'<text x="{across:.1f}" y="{bottom + 24}" text-anchor="middle">{x:.2f}</text>')
    middle = (LEFT + right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>')
    across = (TOP + bottom) / 2
    turned = f'transform="rotate(-90 18 {across:.0f})"'
    parts.append(f'<text x="18" y="{across:.0f}" text-anchor="middle" {turned}>{escape(y_label)}</text>')
    return ''.join(parts)


def _spread(heights):
    """Move labels apart as little as keeps them a line from each other and inside the picture."""
    order, placed = sorted(heights, key=heights.get), {}
    y = TOP
    for label in order:
        y = max(heights[label], y)
        placed[label], y = y, y + LINE
    limit = HEIGHT - BOTTOM
    for label in reversed(order):
        placed[label] = min(placed[label], limit)
        limit = placed[label] - LINE
    return placed


def _marker(shape, x, y, colour, tip):
    if shape == 'circle':
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{colour}">{tip}</circle>'
    corners = {
        'square': ((-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)),
        'diamond': ((0, -4.6), (4.6, 0), (0, 4.6), (-4.6, 0)),
        'triangle': ((0, -4.4), (4.4, 3.4), (-4.4, 3.4)),
    }[shape]
    path = ' '.join(f'{x + dx:.1f},{y + dy:.1f}' for dx, dy in corners)
    return f'<polygon points="{path}" fill="{colour}">{tip}</polygon>'
