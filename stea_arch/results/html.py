"""Pages from templates: every value is escaped, and nothing is loaded from outside of the page."""

import base64
import functools
from pathlib import Path

import jinja2


@functools.cache
def _templates():
    package = Path(__file__).parents[1]
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(package), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    templates.policies['json.dumps_kwargs'] = {}  # by default it sorts the keys, and their order may mean something
    return templates


def render(template, **values):
    """A page.

    Args:
        template (str): File of this package, e.g. ``'compare/page.html'``.
        **values: What it shows; text is escaped.

    Returns:
        str: HTML.
    """
    return _templates().get_template(template).render(**values)


def data_url(data, kind='png'):
    """An image file's bytes as what ``src`` takes."""
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def webp_url(image, quality=101):
    """(H, W, 3) uint8 RGB as what ``src`` takes; a quality above 100 stands for lossless."""
    import cv2  # here, as a page with a slider, which needs none of it, would load it too

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return data_url(cv2.imencode('.webp', bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])[1], 'webp')
