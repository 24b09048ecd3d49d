"""The classical degradation: blur, MATLAB's bicubic, optional noise, rounding to 8 bits.

    lq = round8( clip( downsample_s( k * gt ) + n ) )

``gt`` is mirrored at its borders without repeating the outermost pixel (cv2.BORDER_REFLECT_101), ``downsample_s`` is
the antialiased bicubic of :mod:`stea_arch.degradations.resize`, ``n`` is white Gaussian noise.

Drawing parameters (:class:`ClassicalSampler`) and applying them (:func:`degrade`) are apart: the parameters are a few
numbers that can be logged as JSON, and the same parameters give the same image again.

Speed: an isotropic Gaussian is separable like the bicubic, so blur and downsampling become one matrix per axis and two
small products. Other kernels are applied by FFT, then downsampled by the two products.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from stea_arch.degradations.blur import blur, matrix_after_blur
from stea_arch.degradations.checks import check_kernel_size, check_range, check_scale, is_number
from stea_arch.degradations.gaussian_kernels import anisotropic_kernel, disturb, isotropic_factor, isotropic_kernel
from stea_arch.degradations.resize import resize_matrix
from stea_arch.system.errors import InputError

KERNEL_TYPES = ('isotropic', 'anisotropic')
ISOTROPIC_SIGMAS = {2: (0.2, 2.0), 3: (0.2, 3.0), 4: (0.2, 4.0)}  # setting 1 as published
ANISOTROPIC_SIGMAS = (0.6, 5.0)  # setting 2 as published
SETTING2_KERNEL_SIZES = {2: 11, 3: 31, 4: 31}  # those of KernelGAN's DIV2KRK, which has no x3
SETTING2_KERNEL_NOISE = 0.25


@dataclass(frozen=True)
class ClassicalParams:
    """Everything :func:`degrade` needs besides the image.

    ``json.dumps(dataclasses.asdict(params))`` logs them, ``ClassicalParams(**json.loads(text))`` brings them back.

    Attributes:
        scale (int): 2, 3 or 4.
        kernel_size (int): Odd.
        sigma_x (float), sigma_y (float): Widths along the kernel's own axes, in pixels of gt, above 0.
        theta (float): Rotation of these axes in radians.
        kernel_noise (float): Upper end of the multiplicative disturbance of the kernel; 0 for none.
        noise_sigma (float): Standard deviation of the image noise in 8-bit steps; 0 for none.
        seed (int): Seed of the disturbance and of the noise.
    """

    scale: int
    kernel_size: int
    sigma_x: float
    sigma_y: float
    theta: float = 0.0
    kernel_noise: float = 0.0
    noise_sigma: float = 0.0
    seed: int = 0

    @property
    def separable(self):
        """Whether the kernel is the outer product of one Gaussian with itself."""
        return self.sigma_x == self.sigma_y and self.kernel_noise == 0

    def factor(self):
        """The one-dimensional factor of a separable kernel, (kernel_size,), float64, sums to 1."""
        return isotropic_factor(self.kernel_size, self.sigma_x)

    def noise(self, shape):
        """The image noise of an image of this shape, (C, H / scale, W / scale), float32 on a range of [0, 1]."""
        noise = np.random.default_rng((self.seed, 1)).standard_normal(shape, dtype=np.float32)
        return noise * np.float32(self.noise_sigma / 255)

    def kernel(self):
        """The blur kernel, (kernel_size, kernel_size), float64, sums to 1."""
        if self.sigma_x == self.sigma_y:
            kernel = isotropic_kernel(self.kernel_size, self.sigma_x)
        else:
            kernel = anisotropic_kernel(self.kernel_size, self.sigma_x, self.sigma_y, self.theta)
        if self.kernel_noise:
            kernel = disturb(kernel, self.kernel_noise, np.random.default_rng((self.seed, 0)))
        return kernel


@dataclass(frozen=True)
class ClassicalSampler:
    """Draws :class:`ClassicalParams`. Setting 1 is the default; setting 2 is ``anisotropic`` with kernel_noise 0.25.

    Isotropic: one sigma, uniform in ``sigma_range``. Anisotropic: two independent ones, and a rotation uniform in
    [0, pi). The image noise's sigma is uniform in ``noise_range``.

    Args:
        scale (int): 2, 3 or 4.
        kernel_type (str): 'isotropic' or 'anisotropic'.
        kernel_size (int): Odd.
        sigma_range (tuple[float] | None): Lowest and highest sigma in pixels; None for the published ones:
            [0.2, scale] or, anisotropic, [0.6, 5].
        kernel_noise (float): Upper end of the kernel's multiplicative disturbance.
        noise_range (tuple[float]): Lowest and highest sigma of the image noise in 8-bit steps.

    Raises:
        ValueError: A value outside of these bounds; the message names it.
    """

    scale: int
    kernel_type: str = 'isotropic'
    kernel_size: int = 21
    sigma_range: tuple | None = None
    kernel_noise: float = 0.0
    noise_range: tuple = (0.0, 0.0)

    def __post_init__(self):
        check_scale(self.scale)
        if self.kernel_type not in KERNEL_TYPES:
            raise InputError(f'kernel_type must be one of {", ".join(KERNEL_TYPES)}, got {self.kernel_type!r}.')
        check_kernel_size(self.kernel_size)
        if self.sigma_range is None:
            published = ISOTROPIC_SIGMAS[self.scale] if self.kernel_type == 'isotropic' else ANISOTROPIC_SIGMAS
            object.__setattr__(self, 'sigma_range', published)
        object.__setattr__(self, 'sigma_range', check_range('sigma_range', self.sigma_range, above_zero=True))
        object.__setattr__(self, 'noise_range', check_range('noise_range', self.noise_range, above_zero=False))
        if not is_number(self.kernel_noise) or self.kernel_noise < 0:
            raise InputError(
                f'kernel_noise must be a number of at least 0, got {self.kernel_noise!r}; 0.25 in setting 2.'
            )

    def __call__(self, rng):
        """Draw one set of parameters from a ``numpy.random.Generator``."""
        low, high = self.sigma_range
        if self.kernel_type == 'isotropic':
            sigma_x = sigma_y = rng.uniform(low, high)
            theta = 0.0
        else:
            sigma_x, sigma_y = rng.uniform(low, high, 2).tolist()
            theta = rng.uniform(0, math.pi)
        return ClassicalParams(
            scale=self.scale,
            kernel_size=self.kernel_size,
            sigma_x=sigma_x,
            sigma_y=sigma_y,
            theta=theta,
            kernel_noise=self.kernel_noise,
            noise_sigma=rng.uniform(*self.noise_range),
            seed=int(rng.integers(2**63)),
        )


def degrade(gt, params):
    """Blur, downsample, add noise, clip and round one image.

    Args:
        gt (ndarray): (H, W, C), float32 in [0, 1]; H and W are multiples of the scale.
        params (ClassicalParams): What to do.

    Returns:
        ndarray: (H / scale, W / scale, C), float32 in [0, 1], every value a multiple of 1 / 255.

    Raises:
        ValueError: Another number of axes or type, or a size that is not a multiple of the scale.
    """
    scale = params.scale
    if gt.ndim != 3 or gt.dtype != np.float32:
        raise InputError(
            f'degrade expects one image of shape (H, W, C) and type float32, got {gt.shape}, {gt.dtype}. '
            'Convert 8-bit images by img.astype(np.float32) / 255.'
        )
    height, width = gt.shape[:2]
    if height % scale or width % scale or not gt.size:
        raise InputError(
            f'degrade expects a height and a width that are multiples of the scale {scale}, got an image '
            f'of {height}x{width}. Crop it at the bottom and right first.'
        )
    rows = resize_matrix(height, height // scale)
    columns = resize_matrix(width, width // scale)
    if params.separable:
        factor = params.factor()
        rows, columns = matrix_after_blur(rows, factor), matrix_after_blur(columns, factor)
        planes = np.ascontiguousarray(gt.transpose(2, 0, 1))
    else:
        planes = blur(gt, params.kernel())
    # by torch, because in a loader's worker it keeps to one thread, and numpy would take one for each core
    rows, planes, columns = (torch.from_numpy(np.asarray(array, np.float32)) for array in (rows, planes, columns))
    lq = (rows @ planes @ columns.T).numpy()
    if params.noise_sigma:
        lq += params.noise(lq.shape)
    lq = np.rint(lq.clip(0, 1) * 255) / np.float32(255)
    return np.ascontiguousarray(lq.transpose(1, 2, 0))
