"""Test sets: whole images under a named protocol, in a fixed order, with everything that decides about a result."""

import hashlib
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import skimage
from basicsr.utils import img2tensor

from stea_arch.data.gaussian8 import gaussian8
from stea_arch.data.image_io import list_images, stem
from stea_arch.data.image_source import ImageSource, label
from stea_arch.degradations.classical import (
    SETTING2_KERNEL_NOISE,
    SETTING2_KERNEL_SIZES,
    ClassicalParams,
    ClassicalSampler,
    degrade,
)

SAMPLE = 'scikit-image'
SAMPLE_IMAGES = {'gt': ['chelsea.png', 'coffee.png'], 'lq': ['coins.png', 'page.png', 'text.png']}


@dataclass(frozen=True)
class Case:
    """One low-quality image to be enlarged.

    Attributes:
        image (str): Name of the image, without extension and slashes.
        group (str | None): The kernel's name, such as ``sigma1.80``; None where an image comes once.
        gt (str | None), lq (str | None): Names in the sources of the set.
        params (ClassicalParams | None): What makes lq of gt, where it is made.
    """

    image: str
    group: str | None
    gt: str | None
    lq: str | None
    params: ClassicalParams | None

    @property
    def name(self):
        """Unique within the set; can name a file."""
        return f'{self.image}_{self.group}' if self.group else self.image


def root_at(root, scale):
    """The path of a folder or LMDB that an option file of a comparison names."""
    if root == SAMPLE:
        return Path(skimage.__file__).parent / 'data'
    return Path(root.replace('{scale}', str(scale))).expanduser()


class TestSet:
    """The cases of one test set at one scale.

    Args:
        name (str): As in the option file.
        section (dict): Its section there: ``protocol``, ``gt``, ``lq``, ``meta_info``, ``leave_out`` (names of
            images), ``crop_to``, ``seed``, ``num_kernels``. ``{scale}`` in a path stands for the scale.
        scale (int): 2, 3 or 4; any with ``lq`` given.

    Attributes:
        cases (list[Case]): In the order of the images, then of the kernels.

    Raises:
        FileNotFoundError, ValueError: Nothing there, images that cannot be used or have no partner.
    """

    __test__ = False  # not a class of tests, whatever pytest thinks of its name

    def __init__(self, name, section, scale):
        self.name, self.section, self.scale = name, section, scale
        self.protocol = section['protocol']
        self.crop_to = section.get('crop_to') or 1
        self.gt = self._source('gt')
        self.lq = self._source('lq')
        for source, smallest in ((self.gt, self.scale), (self.lq, 1)):
            if source is not None:
                source.check(smallest, f'scale is {scale}')
                source.check_labels()
        if self.lq is None:
            self.cases = self._made()
        elif self.gt is None:
            self.cases = [Case(label(lq), None, None, lq, None) for lq in self.lq.names]
        else:
            self.cases = [Case(label(gt), None, gt, lq, None) for gt, lq in pair_names(self.gt.names, self.lq.names)]
        self._last = None, None

    def _source(self, key):
        root = self.section.get(key)
        if root is None:
            return None
        sample, root = root == SAMPLE, root_at(root, self.scale)
        backend = 'lmdb' if (root / 'data.mdb').is_file() or root.suffix == '.lmdb' else 'disk'
        source = ImageSource(str(root), backend, self.section.get('meta_info'), allow_gray=True)
        if sample:
            source.names = SAMPLE_IMAGES[key]
        left_out = self.section.get('leave_out', [])  # never given with pairs
        if unknown := set(left_out) - set(source.names):
            raise ValueError(f'leave_out should name images of {root}, but {", ".join(sorted(unknown))} is not there.')
        source.names = [name for name in source.names if name not in left_out]
        return source

    def _made(self):
        whole = self._whole() if self.protocol == 'setting2' else []
        numbers = {name: number for number, name in enumerate(dict.fromkeys([*whole, *self.gt.names]))}
        return [
            Case(label(gt), group, gt, None, params)
            for gt in self.gt.names
            for group, params in self._kernels(numbers[gt])
        ]

    def _whole(self):
        """All images that lie in gt: where only some are used, each has the kernel that it has among all."""
        if self.section['gt'] == SAMPLE:
            return SAMPLE_IMAGES['gt']
        return self.gt.store.names if self.gt.store else list_images(self.gt.dataroot)

    def _kernels(self, number):
        if self.protocol == 'gaussian8':
            return gaussian8(self.scale, num_kernels=self.section.get('num_kernels', 8)).items()
        if self.protocol == 'bicubic':
            return [(None, ClassicalParams(self.scale, 1, 1.0, 1.0))]  # a kernel of one pixel blurs nothing
        size = SETTING2_KERNEL_SIZES[self.scale]
        draw = ClassicalSampler(self.scale, 'anisotropic', size, kernel_noise=SETTING2_KERNEL_NOISE)
        return [(None, draw(np.random.default_rng((self.section.get('seed', 0), number))))]

    def __len__(self):
        return len(self.cases)

    def __getitem__(self, index):
        """One case.

        Returns:
            dict[str, Tensor]: ``lq`` (3, H, W) and, where there is a truth, ``gt`` (3, scale H, scale W): float32 RGB
            in [0, 1], 8-bit values.
        """
        case = self.cases[index]
        if case.gt is None:
            return {'lq': _tensor(_read(self.lq, case.lq))}
        if self._last[0] != case.gt:  # an image comes once for each kernel
            self._last = case.gt, self._cropped(_read(self.gt, case.gt))
        gt = self._last[1]
        if case.params:
            return {'lq': _tensor(degrade(gt, case.params)), 'gt': _tensor(gt)}
        lq = _read(self.lq, case.lq)
        height, width = (length // self.scale for length in gt.shape[:2])
        if not (0 <= lq.shape[0] - height < self.crop_to and 0 <= lq.shape[1] - width < self.crop_to):
            raise ValueError(
                f'{case.lq} was expected to be {case.gt} divided by the scale {self.scale}, about {width}x{height} '
                f'pixels, but it has {lq.shape[1]}x{lq.shape[0]}. Check lq, gt and scales.'
            )
        return {'lq': _tensor(lq[:height, :width]), 'gt': _tensor(gt)}

    def _cropped(self, img):
        """Bottom and right are cut to a multiple of the scale and of ``crop_to``."""
        multiple = math.lcm(self.scale, self.crop_to)
        height, width = (length - length % multiple for length in img.shape[:2])
        if not height or not width:
            raise ValueError(f'Expected an image of at least {multiple}x{multiple} pixels, got {img.shape}.')
        return img[:height, :width]

    def describe(self):
        """What is measured on, for the JSON: protocol, counts and the exact degradation in words."""
        return {
            'protocol': self.protocol,
            'scale': self.scale,
            'images': len({case.image for case in self.cases}),
            'cases': len(self.cases),
            'degradation': self._degradation(),
            'cropped_to_multiples_of': math.lcm(self.scale, self.crop_to) if self.gt else None,
            **{key: self.section[key] for key in ('gt', 'lq', 'meta_info', 'leave_out', 'seed') if key in self.section},
        }

    def _degradation(self):
        if self.lq is not None:
            return 'low-quality images as they lie in lq'
        down = 'reduced by the antialiased bicubic of MATLAB, rounded to 8 bits'
        if self.protocol == 'bicubic':
            return down
        if self.protocol == 'gaussian8':
            sigmas = [case.params.sigma_x for case in self.cases]
            count = len(dict.fromkeys(sigmas))
            return f'{count} isotropic Gaussians 21x21, sigma {min(sigmas):.2f} to {max(sigmas):.2f}; {down}'
        size, seed = SETTING2_KERNEL_SIZES[self.scale], self.section.get('seed', 0)
        text = f'one anisotropic Gaussian {size}x{size} an image, axes 0.6 to 5, disturbed by up to 25 %, seed {seed}'
        return f'{text}; {down}'

    def fingerprint(self):
        """Changes with every byte of the images, with their order, kernels and cropping."""
        digest = hashlib.sha256(repr((self.scale, self.crop_to, self.protocol)).encode())
        for source in (self.gt, self.lq):
            for name in source.names if source else ():
                data = source.store.read(name) if source.store else Path(source.location(name)).read_bytes()
                digest.update(hashlib.sha256(data).digest())
        for case in self.cases:
            digest.update(repr((case.name, case.gt, case.lq, asdict(case.params) if case.params else None)).encode())
        return digest.hexdigest()


def pair_names(gt_names, lq_names):
    """Which low-quality image belongs to which truth.

    By equal names, extensions aside; else by equal numbers, where each name holds exactly one (DIV2KRK's ``img_1_gt``
    and ``im_1``).

    Args:
        gt_names (list[str]), lq_names (list[str]): With or without extension.

    Returns:
        list[tuple[str, str]]: gt and lq, in the order of gt.

    Raises:
        ValueError: An image without a partner.
    """
    for key in (stem, _number):
        gt, lq = ({key(name): name for name in names} for names in (gt_names, lq_names))
        if None not in gt and gt.keys() == lq.keys() and len(gt) == len(gt_names) and len(lq) == len(lq_names):
            return [(name, lq[partner]) for partner, name in gt.items()]
    gt, lq = (set(map(stem, names)) for names in (gt_names, lq_names))
    lonely = [f'gt {name}' for name in sorted(gt - lq)] + [f'lq {name}' for name in sorted(lq - gt)]
    raise ValueError(
        f'Every lq image should have its gt and the other way round, by equal names or by the one number in each, but '
        f'{len(lonely)} have none: {", ".join(lonely[:5])}. Rename or remove them.'
    )


def _number(name):
    numbers = re.findall(r'\d+', stem(name))
    return int(numbers[0]) if len(numbers) == 1 else None


def _read(source, name):
    """An image as (H, W, 3), float32 RGB in [0, 1]."""
    return source.read(name).astype(np.float32) / np.float32(255)


def _tensor(img):
    return img2tensor(img, bgr2rgb=False)
