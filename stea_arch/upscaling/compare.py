"""Before and after: side by side in one picture, or on a page with a slider that needs nothing but a browser."""

import numpy as np
from PIL import Image

from stea_arch.images.decode import Photo
from stea_arch.images.encode import encode_photo, to_eight_bits
from stea_arch.results.html import data_url, render
from stea_arch.results.picture import draw_grid


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
    tiles = [(f'{_as_text(title)}: before (bicubic)', np.asarray(left)), ('after', np.asarray(right))]
    return encode_photo(Photo(np.asarray(draw_grid([tiles], font_size=18)), after.icc), '.png')


def make_page(before, after, title):
    """A page with both images inside it and a slider over them, as text."""
    height, width = after.pixels.shape[:2]
    return render(
        'upscaling/slider.html',
        title=_as_text(title),
        width=width,
        height=height,
        before=_data_url(before),
        after=_data_url(after),
    )


def _as_text(name):
    """A file's name on one line; what of it is no text is marked."""
    return ' '.join(name.encode(errors='replace').decode().split())


def _data_url(photo):
    photo = Photo(to_eight_bits(photo.pixels), photo.icc)
    return data_url(encode_photo(photo, '.png'))


def _flat(photo):
    pixels = to_eight_bits(photo.pixels)
    img = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert('RGBA')
    return Image.alpha_composite(Image.new('RGBA', img.size, 'white'), img).convert('RGB')
