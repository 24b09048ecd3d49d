"""The pages' templates; whatever is put into them is escaped."""

from pathlib import Path

import jinja2

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
)


def render(template, **values):
    """A page as text.

    Args:
        template (str): Name of an HTML file beside this one.
        **values (str | int | dict): What its names stand for.
    """
    return ENVIRONMENT.get_template(template).render(values)
