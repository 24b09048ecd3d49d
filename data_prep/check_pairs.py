"""Do two folders or LMDBs pair up: the same names, and one ``scale`` times as large as the other?"""

import os
from pathlib import Path

from data_prep.check import Report, check_images, header_size
from data_prep.manifest import pixel_checksum, read_manifest
from stea_arch.data.image_io import stem
from stea_arch.data.image_source import ImageSource


def check_pairs(gt, lq, scale, cropped=True, template='{}', gt_size=None, workers=None, progress=True, meta_info=None):
    """Check both sides, then every pair.

    Args:
        gt (str), lq (str): Folders of images or LMDBs.
        scale (int): Times that gt is larger.
        cropped (bool): Sizes must fit exactly; otherwise gt may be larger, as BasicSR crops it in evaluation.
        template (str): An lq's name without extension, from that of gt, as BasicSR's filename_tmpl.
        gt_size (int | None): Side of the training crops of gt.
        workers (int | None), progress (bool): As for :func:`check_images`.
        meta_info (str | None): Text file that lists the images of gt to look at.

    Returns:
        Report: Of both sides together.
    """
    sides = [_side(gt, gt_size, workers, progress, meta_info), _side(lq, None, workers, progress)]
    report = Report()
    for found, _ in sides:
        report.add(found)
    report.problems += _pair_problems(sides[0][1], sides[1][1], scale, cropped, template, bool(meta_info))
    return report


def check_set(folder, workers=None, progress=True):
    """Check a benchmark set against its manifest: every folder and LMDB, every pair, every pixel.

    Args:
        folder (str): What gaussian8 or setting2 made.
        workers (int | None), progress (bool): As for :func:`check_images`.

    Returns:
        Report: Of all of them.
    """
    report = Report()
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        report.problems.append(str(error))
        return report
    groups = manifest['pixels_sha256']
    for end in ('', '.lmdb'):
        sides = {group: _side(os.path.join(folder, group + end), None, workers, progress) for group in groups}
        for group, (found, source) in sides.items():
            report.add(found)
            if group != 'gt':
                report.problems += _pair_problems(sides['gt'][1], source, manifest['scale'])
    for group, sums in groups.items():
        report.problems += _pixel_problems(os.path.join(folder, group), sums)
    return report


def _side(root, gt_size, workers, progress, meta_info=None):
    """The report of one folder or LMDB and, where it can be read at all, its source."""
    try:
        report = check_images(root, gt_size, True, workers, progress, meta_info)
        source = ImageSource(root, 'lmdb' if (Path(root) / 'data.mdb').exists() else 'disk', meta_info, True)
    except FileNotFoundError as error:
        return Report(problems=[str(error)]), None
    except ValueError:
        return report, None  # said in the report
    return report, source


def _pair_problems(gt, lq, scale, cropped=True, template='{}', listed=False):
    """What is wrong with the pairs of two sources; nothing more than was said where one of them cannot be read."""
    if gt is None or lq is None:
        return []
    stems = {stem(name): name for name in lq.names}
    wanted = {template.format(os.path.basename(stem(n)) if template != '{}' else stem(n)): n for n in gt.names}
    problems = [
        f'{name} of {gt.dataroot} has no partner {key} in {lq.dataroot}. Add it, or leave both out.'
        for key, name in wanted.items()
        if key not in stems
    ]
    problems += [
        f'{name} of {lq.dataroot} has no partner in {gt.dataroot}. Add it, or leave both out.'
        for key, name in stems.items()
        if key not in wanted and not listed
    ]
    for key, name in wanted.items():
        sizes = [header_size(gt, name), header_size(lq, stems[key])] if key in stems else [None, None]
        if None not in sizes and not _fits(*sizes, scale, cropped):
            (height, width), (rows, columns) = sizes
            problems.append(
                f'{name} of {gt.dataroot} has {height}x{width} pixels and its partner in {lq.dataroot} '
                f'{rows}x{columns}: at scale {scale} {rows * scale}x{columns * scale} were expected. Make the pair '
                'again, or correct the scale.'
            )
    return problems


def _fits(gt, lq, scale, cropped):
    if cropped:
        return all(large == small * scale for large, small in zip(gt, lq))
    return all(small * scale <= large < (small + 1) * scale for large, small in zip(gt, lq))


def _pixel_problems(folder, sums):
    problems = []
    for name, expected in sums.items():
        path = Path(folder, name)
        try:
            if pixel_checksum(path) != expected:
                problems.append(f'{path} has other pixels than the manifest says: it was changed. Make the set again.')
        except FileNotFoundError:
            problems.append(f'{path} is named in the manifest, but not there. Make the set again.')
        except ValueError as error:
            problems.append(str(error))
    return problems
