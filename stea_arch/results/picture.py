"""Crops side by side: input, every network's result, truth."""

from pathlib import Path

import cv2
import numpy as np
from basicsr.data import build_dataset
from PIL import Image, ImageDraw, ImageFont

MARGIN, LABEL, SHOWN = 8, 38, 240  # pixels: between crops, of the text below one, side of a crop as shown


def make_picture(runs, labels, path, rows=4, crop=80):
    """Write a PNG with a row an image and a column each for input, every run's result, and truth where there is one.

    The crop is where the runs differ most, see :func:`find_region`: where there is something to see. Rows go through
    the images, and from the narrowest kernel to the widest. Each result carries its first metric over the whole image.

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
    dataset = _open(runs[0]['dataset'])
    headers, lines = ['input', *labels], []
    for index in choose_rows([image_of(record) for record in runs[0]['images']], rows):
        item = dataset[index]
        gt = to_rgb(item['gt']) if 'gt' in item else None
        results = [cv2.cvtColor(cv2.imread(run['images'][index]['result']), cv2.COLOR_BGR2RGB) for run in runs]
        region = find_region(results, gt, crop, scale)
        tiles = [cut(to_rgb(item['lq']), region, scale), *(cut(image, region) for image in results)]
        records = [run['images'][index] for run in runs]
        captions = [f'{metric} {record[metric]:.2f}' if metric in record else '' for record in records]
        captions = [records[0]['image'], *captions]
        if gt is not None:
            tiles, captions = [*tiles, cut(gt, region)], [*captions, '']
        lines.append((tiles, captions))
    if gt is not None:
        headers.append('truth')
    draw_rows(headers, lines).save(Path(path))


def _open(opt):
    """A test's dataset again. BasicSR's own ones take the backend's type out of the options that the test notes."""
    root = opt.get('dataroot_gt') or opt.get('dataroot_lq')
    backend = {'type': 'lmdb' if root.endswith('.lmdb') else 'disk'}
    return build_dataset({**opt, 'io_backend': {**backend, **(opt.get('io_backend') or {})}})


def image_of(record):
    """The image's name in a record of a test, without that of the kernel."""
    return record['image'].removesuffix(f'_{record["group"]}')


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
        mean = _box_mean(np.abs(cv2.Laplacian(planes[0].mean(2), -1)), size)
    valid = mean[: height - size + 1 : scale, : width - size + 1 : scale]
    top, left = np.unravel_index(valid.argmax(), valid.shape)
    return int(top) * scale, int(left) * scale, size


def _box_mean(plane, size):
    """At each pixel the mean over the square of which it is the upper left corner."""
    return cv2.boxFilter(plane, -1, (size, size), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)


def cut(image, region, scale=1):
    """A region (top, left, side) out of an image (H, W, C) whose pixels are ``scale`` times as large."""
    top, left, size = (length // scale for length in region)
    return image[top : top + size, left : left + size]


def to_rgb(tensor):
    """(3, H, W) in [0, 1] -> (H, W, 3), uint8."""
    return (tensor.clamp(0, 1).numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)


def draw_rows(headers, lines):
    """A picture of rows of ``(tiles, captions)`` under ``headers``; each tile is enlarged to one size."""
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
