"""Pairs of images on the disk: who belongs to whom, and whether their sizes fit, as far as headers tell."""

import os

from stea_arch.data.image_io import read_header, stem

FEW = 3


def pair_problems(gt, lq, scale, cropped=True, template='{}', listed=False):
    """What is wrong with the pairs of two sources.

    Args:
        gt (ImageSource), lq (ImageSource): Of large and of small images.
        scale (int): Times that gt is larger.
        cropped (bool): Sizes must fit exactly; otherwise gt may be larger, as BasicSR crops it in evaluation.
        template (str): An lq's name without extension, from that of gt, as BasicSR's filename_tmpl.
        listed (bool): Whether gt is a part of what there is, so that some of lq have no partner.

    Returns:
        list[str]: A sentence or more for each; what holds for many is said once.
    """
    if not _takes_a_name(template):
        return [f"filename_tmpl must have {{}} where the name of an image comes, as '{{}}x{scale}', got {template!r}."]
    stems = {stem(name): name for name in lq.names}
    wanted = {template.format(os.path.basename(stem(n)) if template != '{}' else stem(n)): n for n in gt.names}
    mark = f'x{scale}'
    if not wanted.keys() & stems.keys() and any(key.replace(mark, '') in wanted for key in stems):
        return [
            f'The names in {lq.dataroot} have {mark} in them and those in {gt.dataroot} have not. For whole images '
            f"write filename_tmpl: '{{}}{mark}'; make tiles again with stea-data subimages, which leaves it out."
        ]
    lonely = [
        (name, f'{name} of {gt.dataroot} has no partner {key} in {lq.dataroot}. Add it, or leave both out.')
        for key, name in wanted.items()
        if key not in stems
    ]
    superfluous = [
        (name, f'{name} of {lq.dataroot} has no partner in {gt.dataroot}. Add it, or leave both out.')
        for key, name in stems.items()
        if key not in wanted and not listed
    ]
    unfit = []
    for key, name in wanted.items():
        sizes = [header_size(gt, name), header_size(lq, stems[key])] if key in stems else [None, None]
        if None not in sizes and not _fits(*sizes, scale, cropped):
            (height, width), (rows, columns) = sizes
            text = (
                f'{name} of {gt.dataroot} has {height}x{width} pixels and its partner in {lq.dataroot} '
                f'{rows}x{columns}: at scale {scale} {rows * scale}x{columns * scale} were expected. Make the pair '
                'again, or correct the scale.'
            )
            unfit.append((name, text))
    return [*_once(lonely), *_once(superfluous), *_once(unfit)]


def _takes_a_name(template):
    try:
        return isinstance(template, str) and template.format('a') != template.format('b')
    except (ValueError, LookupError, AttributeError, TypeError):  # as of {:d}, of {}{} or {name}, of {.x}, of {[x]}
        return False


def _once(found):
    """The sentences of a few images; of more, the first one's and the names of some others."""
    if len(found) <= FEW:
        return [text for _, text in found]
    names = ', '.join(name for name, _ in found[1 : FEW + 1])
    return [f'{found[0][1]} So it is with {len(found) - 1} more: {names}, ...']


def header_size(source, name):
    """(height, width) of an image, without its pixels where possible; None if it cannot be told."""
    try:
        if not source.store:
            return read_header(source.location(name))[:2]
        shape = source.store.shapes.get(name)
        return tuple(shape[:2]) if shape else source.read(name).shape[:2]
    except (ValueError, OSError):
        return None


def _fits(gt, lq, scale, cropped):
    if cropped:
        return all(large == small * scale for large, small in zip(gt, lq))
    return all(small * scale <= large < (small + 1) * scale for large, small in zip(gt, lq))
