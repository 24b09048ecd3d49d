"""Before and after: side by side in one picture, or on a page with a slider that needs nothing but a browser."""

import base64
import html
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stea_arch.images.decode import Photo
from stea_arch.images.encode import encode_photo

GAP, BAR = 8, 34  # pixels: between the two, and of the line of text above
TEMPLATE = Path(__file__).with_name('slider.html')


def make_comparison(before, after, kind, title):
    """The bytes of a comparison.

    Args:
        before (Photo), after (Photo): the image and the larger one.
        kind (str): 'png': both side by side, the first enlarged by bicubic interpolation; or 'html': a page with a
            slider, which shows the first as a browser enlarges it.
        title (str): e.g. the name of the file.

    Returns:
        bytes: The file.
    """
    if kind == 'html':
        return make_page(before, after, title).encode()
    return make_picture(before, after, title)


def make_picture(before, after, title):
    """Both side by side, transparency on white, as a PNG."""
    left, right = (_flat(photo) for photo in (before, after))
    left = left.resize(right.size, Image.Resampling.BICUBIC)
    width, height = right.size
    canvas = Image.new('RGB', (2 * width + GAP, height + BAR), 'white')
    canvas.paste(left, (0, BAR))
    canvas.paste(right, (width + GAP, BAR))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(18)
    labels = [f'{title}: before (bicubic)', 'after']
    if draw.textlength(labels[0], font) > width - 8:
        labels[0] = 'before'
    for x, label in zip((0, width + GAP), labels):
        draw.text((x + 4, BAR // 2), label, 'black', font, anchor='lm')
    return encode_photo(Photo(np.asarray(canvas), after.icc), '.png')


def make_page(before, after, title):
    """A page with both images inside it and a slider over them, as text."""
    height, width = after.pixels.shape[:2]
    values = {
        'title': html.escape(title),
        'width': str(width),
        'height': str(height),
        'before': _data_url(before),
        'after': _data_url(after),
    }
    page = TEMPLATE.read_text(encoding='utf-8')
    for key, value in values.items():
        page = page.replace(f'{{{{{key}}}}}', value)
    return page


def _data_url(photo):
    photo = Photo(_to_eight_bits(photo.pixels), photo.icc)
    return f'data:image/png;base64,{base64.b64encode(encode_photo(photo, ".png")).decode()}'


def _flat(photo):
    pixels = _to_eight_bits(photo.pixels)
    img = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert('RGBA')
    return Image.alpha_composite(Image.new('RGBA', img.size, 'white'), img).convert('RGB')


def _to_eight_bits(pixels):
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
