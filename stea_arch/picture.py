"""Crops side by side: input, every network's result, truth."""

from pathlib import Path

import cv2
import numpy as np
from basicsr.data import build_dataset
from PIL import Image, ImageDraw, ImageFont

MARGIN, LABEL, SHOWN = 8, 38, 240  # pixels: between crops, of the text below one, side of a crop as shown


def make_picture(runs, labels, path, rows=4, crop=80):
    """Write a PNG with a row an image and a column each for input, every run's result, and truth.

    The crop is where the other runs, on average, gain most on the first (bicubic, say): where there is something to
    see. Rows go through the images, and from the narrowest kernel to the widest. Each result carries its first metric
    over the whole image.

    Args:
        runs (list[dict]): Contents of ``metrics_<dataset>.json`` of the same dataset, each with saved images.
        labels (list[str]): What to write above the runs' columns.
        path (str | Path): Target PNG.
        rows (int): How many.
        crop (int): Side of the crop in ground-truth pixels.

    Raises:
        ValueError: A run was tested without ``val.save_img: true``.
    """
    for run in runs:
        if any('result' not in record for record in run['images']):
            raise ValueError(f'{run["name"]} has no saved images: set val.save_img: true and test again.')
    scale, metric = runs[0]['scale'], next(iter(runs[0]['metrics']))
    dataset = build_dataset(runs[0]['dataset'])
    headers = ['input', *labels, 'truth']
    lines = []
    for index in _choose(runs[0]['images'], rows):
        item = dataset[index]
        gt, lq = _to_rgb(item['gt']), _to_rgb(item['lq'])
        results = [cv2.cvtColor(cv2.imread(run['images'][index]['result']), cv2.COLOR_BGR2RGB) for run in runs]
        top, left, size = _where_most_is_gained(results, gt, min(crop, *gt.shape[:2]) // scale * scale, scale)
        tiles = [lq[top // scale : (top + size) // scale, left // scale : (left + size) // scale]]
        tiles += [image[top : top + size, left : left + size] for image in [*results, gt]]
        values = [f'{run["images"][index][metric]:.2f}' for run in runs]
        record = runs[0]['images'][index]
        lines.append((tiles, [record['image'], *(f'{metric} {value}' for value in values), '']))
    _draw(headers, lines).save(Path(path))


def _choose(records, rows):
    """Indices of ``rows`` records: the images in turn, the kernels from the narrowest to the widest."""
    images = {}
    for record in records:
        images.setdefault(record['image'].rsplit('_', 1)[0], []).append(record['index'])
    cases = list(images.values())
    chosen = [cases[row % len(cases)] for row in range(rows)]
    indices = [case[round(row * (len(case) - 1) / max(rows - 1, 1))] for row, case in enumerate(chosen)]
    return list(dict.fromkeys(indices))


def _where_most_is_gained(results, gt, size, scale):
    first, *others = (np.abs(image.astype(np.float32) - gt).mean(2) for image in results)
    gain = first - sum(others) / len(others) if others else first
    mean = cv2.boxFilter(gain, -1, (size, size), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    valid = mean[: gt.shape[0] - size + 1 : scale, : gt.shape[1] - size + 1 : scale]
    top, left = np.unravel_index(valid.argmax(), valid.shape)
    return top * scale, left * scale, size


def _to_rgb(tensor):
    return (tensor.clamp(0, 1).numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)


def _draw(headers, lines):
    columns = len(headers)
    width = columns * (SHOWN + MARGIN) + MARGIN
    height = LABEL + len(lines) * (SHOWN + LABEL) + MARGIN
    canvas = Image.new('RGB', (width, height), 'white')
    draw, font, small = ImageDraw.Draw(canvas), ImageFont.load_default(20), ImageFont.load_default(14)
    for column, header in enumerate(headers):
        x = MARGIN + column * (SHOWN + MARGIN) + SHOWN // 2
        draw.text((x, LABEL // 2), header, 'black', font, anchor='mm')
    for row, (tiles, captions) in enumerate(lines):
        y = LABEL + row * (SHOWN + LABEL)
        for column, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
            x = MARGIN + column * (SHOWN + MARGIN)
            # pixels stay pixels: smoothing here would flatter the input and blur the rest
            canvas.paste(Image.fromarray(tile).resize((SHOWN, SHOWN), Image.Resampling.NEAREST), (x, y))
            draw.text((x + SHOWN // 2, y + SHOWN + LABEL // 2 - 4), caption, 'black', small, anchor='mm')
    return canvas
