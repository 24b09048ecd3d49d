"""Ground-truth images in, pairs of low and high quality out: settings 1 and 2 in training, Gaussian8 in evaluation."""

from dataclasses import dataclass

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils.data import Dataset

from stea_arch.data.device_images import DeviceImages, place_tensor
from stea_arch.data.gaussian8 import gaussian8
from stea_arch.data.image_source import ImageSource, label
from stea_arch.data.loading import ErrorsAsItems
from stea_arch.data.patches import Recipe, cut, draw_place, generator_of, to_tensor
from stea_arch.data.training_images import TrainingImages
from stea_arch.degradations.checks import check_scale, check_side
from stea_arch.degradations.classical import ClassicalParams, ClassicalSampler, degrade
from stea_arch.degradations.classical_batch import BatchDegrader, parameter_tensors
from stea_arch.registry import register
from stea_arch.system.errors import InputError


@dataclass(frozen=True)
class PatchRecipe(Recipe):
    """All random choices behind one training pair: also the degradation, which turns the crop into the small image."""

    degradation: ClassicalParams

    @classmethod
    def from_dict(cls, values):
        """The recipe that ``dataclasses.asdict`` made ``values`` of."""
        return cls(**{**values, 'degradation': ClassicalParams(**values['degradation'])})


@register(DATASET_REGISTRY)
class ClassicalDegradationDataset(ErrorsAsItems, Dataset):
    """Pairs made on the fly from ground truth alone, by :func:`stea_arch.degradations.classical.degrade`.

    In training an item is a random crop under random parameters. They come from the generator of
    :func:`stea_arch.data.patches.generator_of`: for a :class:`stea_arch.data.sampler.Draw` the same seed and draw give
    the same pair whatever the number of workers. ``recipe(index)`` returns the choices alone and ``patch(recipe)`` the
    pair they lead to, for logging and replay.

    In evaluation every image comes whole under each kernel of :func:`stea_arch.data.gaussian8.gaussian8`: item ``i`` is
    image ``i // num_kernels`` under kernel ``i % num_kernels``. Bottom and right are cropped to a multiple of the
    scale. Gray images are read as three equal channels there, and refused in training.

    Args:
        opt (dict): The dataset's section of an option file.
            name (str): Name of the dataset.
            dataroot_gt (str): Folder of images or LMDB; in training also a list of several.
            io_backend (dict): ``{'type': 'disk'}`` (default) or ``{'type': 'lmdb'}``.
            meta_info (str): Text file that lists the images to use, first word a line; for several dataroot_gt a list
                with one for each, ~ for all images. Default: all.
            phase (str): 'train', 'val' or 'test'.
            scale (int): 2, 3 or 4.
            gt_size (int): Side of the crops, a multiple of scale; training only.
            use_hflip (bool): Flip crops horizontally at random; training only. Default: True.
            use_rot (bool): Flip vertically and transpose at random; training only. Default: True.
            kernel_type (str): Gaussian blur with one sigma, or with two and a rotation; training only. Default:
                isotropic.
            kernel_size (int): Side of the kernels in pixels, odd. Default: 21.
            sigma_range (list[float]): Lowest and highest sigma in pixels. Default: as published for phase and scale.
            kernel_noise (float): Upper end of the multiplicative kernel disturbance; training only. Default: 0.
            noise_range (list[float]): Lowest and highest sigma of the image noise, in 8-bit steps; training only.
                Default: [0, 0].
            max_bad_images (int): How many unreadable images are replaced by the next one; training only. Default: 3.
            device_images (bool): Decode all images once and keep them on the training device, where patches are cut
                and degraded; an item is then what ``finisher`` needs. Training only. Default: False.
            num_kernels (int): Kernels in evaluation, their sigmas evenly spaced. Default: 8.

    Each item is a dictionary:
        lq (Tensor), gt (Tensor): (3, H / scale, W / scale) and (3, H, W), float32 RGB in [0, 1]; lq has 8-bit values.
        lq_path (str), gt_path (str): Path or LMDB key of the image; in evaluation lq_path is the name of the case, such
            as ``baby_sigma1.80.png``.
        group (str): The kernel's name, such as ``sigma1.80``; evaluation only.

    Raises:
        FileNotFoundError, ValueError: What is asked for is impossible; as far as it can be known, on construction.
    """

    def __init__(self, opt):
        super().__init__()
        self.opt = opt
        self.scale = opt.get('scale')
        check_scale(self.scale)
        if opt.get('phase') not in ('train', 'val', 'test'):
            raise InputError(
                f"phase must be train, val or test, got {opt.get('phase')!r}. BasicSR takes it from the section's name."
            )
        self.training = opt['phase'] == 'train'
        if self.training:
            self.gt_size = opt.get('gt_size')
            check_side('gt_size', self.gt_size, self.scale)
            self.sampler = ClassicalSampler(
                self.scale, **self._given('kernel_type', 'kernel_size', 'sigma_range', 'kernel_noise', 'noise_range')
            )
        else:
            self._refuse_training_only()
            self.cases = list(gaussian8(self.scale, **self._given('kernel_size', 'sigma_range', 'num_kernels')).items())
        backend = (opt.get('io_backend') or {}).get('type', 'disk')
        where = opt.get('dataroot_gt'), backend, opt.get('meta_info')
        if self.training:
            self.images = TrainingImages(*where, opt.get('max_bad_images'))
            self.images.check(self.gt_size, f'gt_size is {self.gt_size}')
        else:
            self.source = ImageSource(*where, allow_gray=True)
            self.source.check(self.scale, f'scale is {self.scale}')
            self.source.check_labels()
        self._last = None, None  # name and pixels of the image read last: it comes num_kernels times in a row

    def _given(self, *keys):
        return {key: self.opt[key] for key in keys if self.opt.get(key) is not None}

    def _refuse_training_only(self):
        plain = {'kernel_type': 'isotropic', 'kernel_noise': 0, 'noise_range': [0, 0]}
        for key, value in self._given(*plain).items():
            if (list(value) if isinstance(value, tuple) else value) != plain[key]:
                raise InputError(
                    'In the phases val and test the kernels are isotropic Gaussians without disturbance or noise '
                    f'(Gaussian8), got {key}: {value}. Leave {key} to the training section.'
                )

    def __len__(self):
        return len(self.images) if self.training else len(self.source) * len(self.cases)

    def __getitem__(self, index):
        if not self.training:
            return self._case(*divmod(int(index), len(self.cases)))
        recipe = self.recipe(index)
        return self.choices(recipe) if self.opt.get('device_images') else self.patch(recipe)

    def recipe(self, index):
        """Draw the random choices of one training pair.

        Args:
            index (int | Draw): Position of the image.

        Returns:
            PatchRecipe: The choices, without reading the image.
        """
        rng = generator_of(index)
        place = draw_place(rng, self.opt.get('use_hflip', True), self.opt.get('use_rot', True))
        return PatchRecipe(index=int(index), **place, degradation=self.sampler(rng))

    def patch(self, recipe):
        """The training pair of a recipe; a dictionary as described for items."""
        img, location = self.images.read(recipe.index, self.gt_size)
        gt = cut(img, recipe, self.gt_size)
        return {**_pair(gt, recipe.degradation), 'lq_path': location, 'gt_path': location}

    def choices(self, recipe):
        """The random choices of a recipe as tensors, by name: what :meth:`finisher` makes a pair of."""
        side = self.gt_size // self.scale
        return {'place': place_tensor(recipe), **parameter_tensors(recipe.degradation, (3, side, side))}

    def finisher(self, device):
        """Decode all images, and return the function that makes pairs of a batch of ``choices`` on ``device``.

        The pairs, ``{'lq': Tensor, 'gt': Tensor}``, are those of :meth:`patch` but for values of lq that lie between
        two 8-bit steps, which may be rounded to the other one.
        """
        images = DeviceImages(self.images, self.gt_size, device)
        degrade_batch = BatchDegrader(self.scale, self.gt_size, device)

        def finish(batch):
            gt = images.cut(batch['place'], self.gt_size)
            return {'lq': degrade_batch(gt, batch['kernel'], batch.get('noise')), 'gt': gt}

        return finish

    def _case(self, image, case):
        if not 0 <= image < len(self.source):
            raise IndexError(f'The dataset has {len(self)} items; number {image * len(self.cases) + case} was asked.')
        name = self.source.names[image]
        group, params = self.cases[case]
        if self._last[0] != name:
            self._last = name, self.source.read(name)
        img = self._last[1]
        height, width = (length - length % self.scale for length in img.shape[:2])
        if not (height and width):
            raise InputError(
                f'Images of at least {self.scale}x{self.scale} pixels were expected (the scale), but '
                f'{self.source.location(name)} has {img.shape[0]}x{img.shape[1]}. Leave it out by listing '
                'the others in a file given as meta_info.'
            )
        return {
            **_pair(img[:height, :width], params),
            'lq_path': f'{label(name)}_{group}.png',
            'gt_path': self.source.location(name),
            'group': group,
        }


def _pair(gt, params):
    """lq and gt tensors of an 8-bit RGB image (H, W, 3)."""
    gt = np.ascontiguousarray(gt, np.float32) / np.float32(255)
    lq = degrade(gt, params)
    return {'lq': to_tensor(lq), 'gt': to_tensor(gt)}
