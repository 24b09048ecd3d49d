"""Do two folders or LMDBs pair up: the same names, and one ``scale`` times as large as the other?"""

import os
from pathlib import Path

from data_prep.check import Report, check_images
from data_prep.manifest import pixel_checksum, read_manifest
from stea_arch.data.image_source import ImageSource
from stea_arch.data.pairs import pair_problems


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
    if sides[0][1] and sides[1][1]:  # what cannot be read at all is in the report
        report.problems += pair_problems(sides[0][1], sides[1][1], scale, cropped, template, bool(meta_info))
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
            if group != 'gt' and source and sides['gt'][1]:
                report.problems += pair_problems(sides['gt'][1], source, manifest['scale'])
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
