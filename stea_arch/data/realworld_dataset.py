"""Ground-truth regions and blur kernels for second-order degradation, which the model applies to whole batches."""

from dataclasses import dataclass

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils.data import Dataset

from stea_arch.data.device_images import DeviceImages, place_tensor
from stea_arch.data.loading import ErrorsAsItems
from stea_arch.data.patches import Recipe, cut, draw_place, generator_of, to_tensor
from stea_arch.data.training_images import TrainingImages
from stea_arch.degradations.checks import check_scale, check_side
from stea_arch.degradations.second_order_kernels import KernelSampler, KernelTriple
from stea_arch.registry import register
from stea_arch.system.errors import InputError

CROP_PAD_SIZE = 400  # BasicSR's, where it is not an option


@dataclass(frozen=True)
class RegionRecipe(Recipe):
    """All random choices behind one item: also the kernels of first blur, second blur and final sinc."""

    kernels: KernelTriple

    @classmethod
    def from_dict(cls, values):
        """The recipe that ``dataclasses.asdict`` made ``values`` of."""
        return cls(**{**values, 'kernels': KernelTriple.from_dict(values['kernels'])})


@register(DATASET_REGISTRY)
class RealWorldDataset(ErrorsAsItems, Dataset):
    """What BasicSR's RealESRGANDataset returns, so that BasicSR's RealESRGANModel trains on it, but seeded and checked.

    An item is a random region of one image and the kernels to degrade it with. As in BasicSR, an image smaller than the
    region is mirrored at its bottom and right. All random choices come from the generator of
    :func:`stea_arch.data.patches.generator_of`: the same seed and draw give the same item whatever the number of
    workers. ``recipe(index)`` returns the choices alone and ``region(recipe)`` the item they lead to.

    Args:
        opt (dict): The dataset's section of an option file.
            name (str): Name of the dataset.
            dataroot_gt (str | list[str]): Folder of images or LMDB, or several of them.
            io_backend (dict): ``{'type': 'disk'}`` (default) or ``{'type': 'lmdb'}``, for all of them.
            meta_info (str | list[str | None]): Text file that lists the images to use, first word a line; one for
                each dataroot_gt, ~ for all images. Default: all.
            phase (str): 'train'.
            scale (int): 2, 3 or 4.
            crop_pad_size (int): Side of the region, a multiple of scale. It is degraded whole, then a patch of
                gt_size is cut out of it; the nearer both are, the less is computed for nothing, and the more often a
                patch shows the mirrored border. Default: 400, as BasicSR, where gt_size is 256.
            use_hflip (bool): Flip horizontally at random. Default: True.
            use_rot (bool): Flip vertically and transpose at random. Default: True.
            max_bad_images (int): How many unreadable images are replaced by the next one. Default: 3.
            device_images (bool): Decode all images once and keep them on the training device, where regions are cut;
                an item is then what ``finisher`` needs. Default: False.
            blur_kernel_size (int) and so on: As :class:`KernelSampler`, whose defaults are Real-ESRGAN's.

    Each item is a dictionary:
        gt (Tensor): (3, crop_pad_size, crop_pad_size), float32 RGB in [0, 1], 8-bit values.
        kernel1 (Tensor), kernel2 (Tensor), sinc_kernel (Tensor): (K, K), float32, sum 1.
        gt_path (str): Path or LMDB key of the image that was read.

    Raises:
        FileNotFoundError, ValueError: What is asked for is impossible; as far as it can be known, on construction.
    """

    def __init__(self, opt):
        super().__init__()
        self.opt = opt
        check_scale(opt.get('scale'))
        if opt.get('phase') != 'train':
            raise InputError(
                f'RealWorldDataset is for training, but it stands in the section {opt.get("phase")!r}. Validate on '
                'pairs (PairedImageDataset) or on photographs alone (SingleImageDataset).'
            )
        self.size = CROP_PAD_SIZE if opt.get('crop_pad_size') is None else opt['crop_pad_size']
        check_side('crop_pad_size', self.size, opt['scale'])
        self.sampler = KernelSampler.from_options(opt)
        backend = (opt.get('io_backend') or {}).get('type', 'disk')
        self.images = TrainingImages(opt.get('dataroot_gt'), backend, opt.get('meta_info'), opt.get('max_bad_images'))
        self.images.check(1, 'an image has pixels')

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        recipe = self.recipe(index)
        return self.choices(recipe) if self.opt.get('device_images') else self.region(recipe)

    def recipe(self, index):
        """Draw the random choices of one item.

        Args:
            index (int | Draw): Position of the image.

        Returns:
            RegionRecipe: The choices, without reading the image.
        """
        rng = generator_of(index)
        place = draw_place(rng, self.opt.get('use_hflip', True), self.opt.get('use_rot', True))
        return RegionRecipe(index=int(index), **place, kernels=self.sampler.draw(rng))

    def region(self, recipe):
        """The item of a recipe; a dictionary as described for items."""
        img, location = self.images.read(recipe.index)
        missing = [(0, max(self.size - length, 0)) for length in img.shape[:2]]
        if any(after for _, after in missing):
            img = np.pad(img, (*missing, (0, 0)), mode='reflect')
        gt = to_tensor(cut(img, recipe, self.size)).float() / 255
        return {'gt': gt, **recipe.kernels.tensors(), 'gt_path': location}

    def choices(self, recipe):
        """The random choices of a recipe as tensors, by name: what :meth:`finisher` makes an item of."""
        return {'place': place_tensor(recipe), **recipe.kernels.tensors()}

    def finisher(self, device):
        """Decode all images, and return the function that makes items of a batch of ``choices`` on ``device``."""
        images = DeviceImages(self.images, 1, device)
        return lambda batch: {'gt': images.cut(batch.pop('place'), self.size), **batch}
