"""Which crops show a difference, and grids of them with text below."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN = 8  # pixels around a tile


def choose_rows(names, rows):
    """Which cases to show: the images in turn, the kernels from the narrowest to the widest.

    Args:
        names (list[str]): The image of each case, the cases of one image in the order of their kernels.
        rows (int): How many.

    Returns:
        list[int]: Positions in ``names``, none twice.
    """
    images = {}
    for index, name in enumerate(names):
        images.setdefault(name, []).append(index)
    cases = list(images.values())
    chosen = [cases[row % len(cases)] for row in range(rows)]
    indices = [case[round(row * (len(case) - 1) / max(rows - 1, 1))] for row, case in enumerate(chosen)]
    return list(dict.fromkeys(indices))


def find_region(results, gt, size, scale):
    """The square in which the results differ most.

    With a truth: where the errors of the best and of the worst result are farthest apart, or a single one's is
    largest. Without: where the results themselves are farthest apart, or a single one has most detail.

    Args:
        results (list[ndarray]): Each (H, W, 3), uint8.
        gt (ndarray | None): The truth, of the same shape.
        size (int): Side of the square; smaller where the image is.
        scale (int): The square lies on whole pixels of the input.

    Returns:
        tuple[int]: top, left, side.
    """
    height, width = results[0].shape[:2]
    size = max(scale, min(size, height, width) // scale * scale)
    planes = np.stack([image.astype(np.float32) for image in results])
    if gt is not None:
        errors = np.stack([_box_mean(np.abs(plane - gt).mean(2), size) for plane in planes])
        mean = np.ptp(errors, 0) if len(results) > 1 else errors[0]
    elif len(results) > 1:
        mean = _box_mean(np.ptp(planes, 0).mean(2), size)
    else:
        import cv2  # here: who only upscales a photograph has no need of it

        mean = _box_mean(np.abs(cv2.Laplacian(planes[0].mean(2), -1)), size)
    valid = mean[: height - size + 1 : scale, : width - size + 1 : scale]
    top, left = np.unravel_index(valid.argmax(), valid.shape)
    return int(top) * scale, int(left) * scale, size


def _box_mean(plane, size):
    """At each pixel the mean over the square of which it is the upper left corner."""
    import cv2

    return cv2.boxFilter(plane, -1, (size, size), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)


def cut(image, region, scale=1):
    """A region (top, left, side) out of an image (H, W, C) whose pixels are ``scale`` times as large."""
    top, left, size = (length // scale for length in region)
    return image[top : top + size, left : left + size]


def to_rgb(tensor):
    """(3, H, W) in [0, 1] -> (H, W, 3), uint8."""
    return (tensor.clamp(0, 1).numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)


def _fit(words, pen, font, width):
    """Words cut to a width in pixels."""
    shown = words
    while shown and pen.textlength(shown, font) > width:
        words = words[:-1]
        shown = f'{words}…'
    return shown


def draw_grid(rows, side=None, font_size=14):
    """A picture of tiles, each above its text.

    Args:
        rows (list[list[tuple[str, ndarray]]]): Text (of one or more lines) and tile, (h, w, 3), uint8, from left to
            right; rows may differ in length.
        side (int | None): Every tile is drawn this large, its pixels as squares: smoothing would flatter one and blur
            another. None: all tiles of one size, as they are.
        font_size (int): In pixels.

    Returns:
        Image: RGB, on white.
    """
    line = round(1.3 * font_size)
    heights, widths = zip(*((side, side) if side else tile.shape[:2] for row in rows for _, tile in row))
    height, width = max(heights), max(widths)
    texts = [line * max(text.count('\n') + 1 for text, _ in row) + MARGIN // 2 for row in rows]
    size = max(map(len, rows)) * (width + MARGIN) + MARGIN, sum(texts) + len(rows) * (height + MARGIN) + MARGIN
    canvas = Image.new('RGB', size, 'white')
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(font_size)
    y = MARGIN
    for row, text_height in zip(rows, texts):
        for x, (text, tile) in zip(range(MARGIN, size[0], width + MARGIN), row):
            for number, words in enumerate(text.split('\n')):
                pen.text((x, y + height + line * number), _fit(words, pen, font, width), 'black', font)
            tile = Image.fromarray(np.ascontiguousarray(tile))
            canvas.paste(tile.resize((side, side), Image.Resampling.NEAREST) if side else tile, (x, y))
        y += text_height + height + MARGIN
    return canvas
