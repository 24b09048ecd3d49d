"""Crops side by side: the same square of the input, of every network's result and of the truth."""

import math

import cv2

from stea_arch.results.picture import choose_rows, cut, draw_grid, find_region, to_rgb
from stea_arch.results.tables import format_number

SHOWN = 240  # pixels of a crop's side in the picture


def pictured_cases(testset, rows, chosen=None):
    """Which cases of a set are shown.

    Args:
        testset (TestSet): The set.
        rows (int): How many are taken on their own: the images in turn, the kernels from narrow to wide.
        chosen (int | None): A further one, shown first.

    Returns:
        dict[int, str]: case -> the name of its picture.
    """
    indices = [] if chosen is None else [chosen]
    indices += choose_rows([case.image for case in testset.cases], rows) if rows else []
    return {index: f'{testset.cases[index].name}.png' for index in dict.fromkeys(indices)}


def make_crops(testset, index, pictures, size, region=None):
    """The crops of one case.

    Args:
        testset (TestSet): The set.
        index (int): The case.
        pictures (dict[str, Path]): label -> its whole result as PNG.
        size (int): Side of the crop in pixels of the truth, where ``region`` is None.
        region (list[int] | None): top, left, side; None for where the results differ most.

    Returns:
        dict: ``case``, ``image``, ``kernel``, ``region``, ``how`` (chosen or differs most), ``whole`` (the truth, or
        the first result), and ``tiles`` {'input' | label | 'truth': (h, w, 3) uint8 RGB}.
    """
    item, case, scale = testset[index], testset.cases[index], testset.scale
    results = {label: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for label, path in pictures.items()}
    gt = to_rgb(item['gt']) if 'gt' in item else None
    how = 'chosen' if region else 'where the results differ most'
    if region:
        height, width = next(iter(results.values())).shape[:2]
        side = max(scale, min(region[2], height, width) // scale * scale)
        region = [min(at, length - side) // scale * scale for at, length in zip(region, (height, width))] + [side]
    else:
        region = find_region(list(results.values()), gt, size, scale)
    tiles = {'input': cut(to_rgb(item['lq']), region, scale)}
    tiles |= {label: cut(image, region) for label, image in results.items()}
    if gt is not None:
        tiles['truth'] = cut(gt, region)
    whole = next(iter(results.values())) if gt is None else gt
    return {
        'case': index,
        'image': case.image,
        'kernel': case.group,
        'region': list(region),
        'how': how,
        'whole': whole,
        'tiles': tiles,
    }


def caption(label, crops, section):
    """What stands at a crop: the first metric of its whole image, where it has one; else an empty text."""
    metric, result = next(iter(section['metrics']), None), section['results'].get(label)
    value = result['images'][crops['case']].get(metric) if result else None
    if value is None:
        return ''
    return f'{metric.upper()} {"exact" if value == math.inf else format_number(value)}'


def draw_picture(comparison):
    """All crops of a comparison in one picture, a row a case.

    Args:
        comparison (dict): As :func:`stea_arch.compare.run.compare` gives it.

    Returns:
        Image | None: None where there is no crop.
    """
    rows = []
    for scale, part in comparison['scales'].items():
        for section in part['sections']:
            for crops in section['crops']:
                where = ' '.join(filter(None, (crops['image'], crops['kernel'])))
                texts = {label: caption(label, crops, section) for label in crops['tiles']}
                texts['input'] = f'{where}, x{scale}'
                rows.append([(f'{label}\n{texts[label]}', tile) for label, tile in crops['tiles'].items()])
    return draw_grid(rows, SHOWN) if rows else None
