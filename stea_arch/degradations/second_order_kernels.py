"""The three blur kernels of a second-order degradation: six families of bell shapes, and the sinc filter.

    weight(x) = f(q),  q = x^T S^-1 x,  S = R(theta) diag(sigma_x^2, sigma_y^2) R(theta)^T

    iso, aniso                    f(q) = exp(-q / 2)               Gaussian; iso: sigma_x = sigma_y
    generalized_iso, _aniso       f(q) = exp(-q^beta / 2)          beta < 1: sharp peak, long tail; beta > 1: flat top
    plateau_iso, _aniso           f(q) = 1 / (1 + q^beta)
    sinc                          f(r) = c J1(c r) / (2 pi r)      ideal low-pass of cut-off c: ringing, overshoot

all on the integer grid, normalised to sum 1. The weights are computed by BasicSR's own functions; the numbers that
describe them are drawn here, from a generator of the caller's, with the distribution of BasicSR's RealESRGANDataset.

Source: Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from basicsr.data import degradations as basicsr

from stea_arch.degradations.checks import BadArgument, check_probability, check_range, check_weights

FAMILIES = ('iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso')
SMALLEST = 7  # pixels: kernels come in the odd sizes from here to blur_kernel_size


@dataclass(frozen=True)
class BlurKernel:
    """What describes one kernel.

    Attributes:
        family (str): One of ``FAMILIES`` or 'sinc'.
        size (int): Odd side of the square that is not zero.
        sigma_x (float), sigma_y (float): Widths along the kernel's own axes, in pixels; 0 for sinc.
        theta (float): Rotation of these axes in radians; 0 for sinc and the iso families.
        beta (float): Exponent of the generalized and plateau families, else 1.
        cutoff (float): Cut-off frequency of sinc in radians a pixel, in (0, pi], else 0.
    """

    family: str
    size: int
    sigma_x: float = 0.0
    sigma_y: float = 0.0
    theta: float = 0.0
    beta: float = 1.0
    cutoff: float = 0.0

    def weights(self, side):
        """The kernel in the middle of a square of zeros: (side, side), float64, sums to 1; ``side`` >= size, odd."""
        if self.family == 'sinc':
            kernel = basicsr.circular_lowpass_kernel(self.cutoff, self.size)
        else:
            shape = (self.size, self.sigma_x, self.sigma_y, self.theta)
            isotropic = not self.family.endswith('aniso')
            if self.family.startswith('generalized'):
                kernel = basicsr.bivariate_generalized_Gaussian(*shape, self.beta, isotropic=isotropic)
            elif self.family.startswith('plateau'):
                kernel = basicsr.bivariate_plateau(*shape, self.beta, isotropic=isotropic)
            else:
                kernel = basicsr.bivariate_Gaussian(*shape, isotropic=isotropic)
        return np.pad(kernel, (side - self.size) // 2)


@dataclass(frozen=True)
class KernelTriple:
    """The kernels of one sample: first blur, second blur, final sinc (None: a single 1, which changes nothing).

    ``json.dumps(dataclasses.asdict(triple))`` logs it, ``KernelTriple.from_dict(json.loads(text))`` brings it back.

    Attributes:
        first (BlurKernel), second (BlurKernel), final (BlurKernel | None): The three.
        side (int), side2 (int): Sides of the squares that first and final, respectively second, are padded to.
    """

    first: BlurKernel
    second: BlurKernel
    final: BlurKernel | None
    side: int
    side2: int

    @classmethod
    def from_dict(cls, values):
        """The triple that ``dataclasses.asdict`` made ``values`` of."""
        kernels = {name: values[name] and BlurKernel(**values[name]) for name in ('first', 'second', 'final')}
        return cls(**{**values, **kernels})

    def tensors(self):
        """``{'kernel1', 'kernel2', 'sinc_kernel'}``: (K, K) each, float32, the names of BasicSR's RealESRGANDataset."""
        if self.final is None:
            final = np.zeros((self.side, self.side))
            final[self.side // 2, self.side // 2] = 1
        else:
            final = self.final.weights(self.side)
        arrays = {
            'kernel1': self.first.weights(self.side),
            'kernel2': self.second.weights(self.side2),
            'sinc_kernel': final,
        }
        return {name: torch.from_numpy(array).float() for name, array in arrays.items()}


@dataclass(frozen=True)
class KernelSampler:
    """Draws :class:`KernelTriple`; Real-ESRGAN's ranges are the defaults, the names are those of BasicSR's options.

    Sizes are the odd numbers from 7 to blur_kernel_size, each as likely. A first or second kernel is a sinc with
    probability sinc_prob, its cut-off uniform in [pi/3, pi] for sizes below 13 and [pi/5, pi] from there; else its
    family is drawn by kernel_prob, both sigmas uniformly in blur_sigma, the rotation uniformly, and beta with
    probability 1/2 uniformly below 1, else above. The final kernel is a sinc with probability final_sinc_prob,
    cut-off uniform in [pi/3, pi].

    Args:
        blur_kernel_size (int): Largest size, odd, at least 7; kernels are padded to it. Also of the final sinc.
        kernel_list (list[str]): Families of kernels.
        kernel_prob (list[float]): How likely each of kernel_list is, as weights.
        sinc_prob (float): Probability of a sinc in place of these.
        blur_sigma (list[float]): Lowest and highest sigma in pixels.
        betag_range (list[float]), betap_range (list[float]): Lowest and highest beta of the generalized and of the
            plateau families; 1 lies between.
        blur_kernel_size2 and so on: The same for the second blur.
        final_sinc_prob (float): Probability of a final sinc.

    Raises:
        ValueError: A value outside of these bounds; the message names it.
    """

    blur_kernel_size: int = 21
    kernel_list: tuple = FAMILIES
    kernel_prob: tuple = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    sinc_prob: float = 0.1
    blur_sigma: tuple = (0.2, 3.0)
    betag_range: tuple = (0.5, 4.0)
    betap_range: tuple = (1.0, 2.0)
    blur_kernel_size2: int = 21
    kernel_list2: tuple = FAMILIES
    kernel_prob2: tuple = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    sinc_prob2: float = 0.1
    blur_sigma2: tuple = (0.2, 1.5)
    betag_range2: tuple = (0.5, 4.0)
    betap_range2: tuple = (1.0, 2.0)
    final_sinc_prob: float = 0.8

    @classmethod
    def from_options(cls, opt):
        """The sampler that a dataset's section describes; keys that are missing or None keep their defaults."""
        return cls(**{f.name: opt[f.name] for f in fields(cls) if opt.get(f.name) is not None})

    def __post_init__(self):
        for suffix in ('', '2'):
            self._check_size(f'blur_kernel_size{suffix}')
            names = tuple(getattr(self, f'kernel_list{suffix}'))
            if not names or not set(names) <= set(FAMILIES):
                raise BadArgument(
                    f'kernel_list{suffix}', f'must hold names of {", ".join(FAMILIES)}, got {list(names)}.'
                )
            object.__setattr__(self, f'kernel_list{suffix}', names)
            self._replace(f'kernel_prob{suffix}', check_weights, len(names))
            self._replace(f'blur_sigma{suffix}', check_range, True)
            for name in (f'betag_range{suffix}', f'betap_range{suffix}'):
                self._replace(name, check_range, True)
                low, high = getattr(self, name)
                if not low <= 1 <= high:
                    raise BadArgument(name, f'must have 1 between its ends, got [{low}, {high}]. Widen it.')
            check_probability(f'sinc_prob{suffix}', getattr(self, f'sinc_prob{suffix}'))
        check_probability('final_sinc_prob', self.final_sinc_prob)

    def _check_size(self, name):
        size = getattr(self, name)
        if type(size) is not int or size < SMALLEST or size % 2 == 0:
            raise BadArgument(name, f'must be an odd whole number of pixels, at least {SMALLEST}, got {size!r}.')

    def _replace(self, name, check, *more):
        object.__setattr__(self, name, check(name, getattr(self, name), *more))

    def draw(self, rng):
        """Draw one sample's kernels from a ``numpy.random.Generator``; a :class:`KernelTriple`."""
        first, second = self._draw_blur(rng, ''), self._draw_blur(rng, '2')
        final = None
        if rng.random() < self.final_sinc_prob:
            final = BlurKernel('sinc', _size(rng, self.blur_kernel_size), cutoff=rng.uniform(math.pi / 3, math.pi))
        return KernelTriple(first, second, final, self.blur_kernel_size, self.blur_kernel_size2)

    def _draw_blur(self, rng, suffix):
        size = _size(rng, getattr(self, f'blur_kernel_size{suffix}'))
        if rng.random() < getattr(self, f'sinc_prob{suffix}'):
            return BlurKernel('sinc', size, cutoff=rng.uniform(math.pi / (3 if size < 13 else 5), math.pi))
        family = str(rng.choice(getattr(self, f'kernel_list{suffix}'), p=getattr(self, f'kernel_prob{suffix}')))
        sigmas = getattr(self, f'blur_sigma{suffix}')
        sigma_x = sigma_y = rng.uniform(*sigmas)
        theta, beta = 0.0, 1.0
        if family.endswith('aniso'):
            sigma_y, theta = rng.uniform(*sigmas), rng.uniform(-math.pi, math.pi)
        if '_' in family:
            low, high = getattr(self, f'{"betag" if family.startswith("generalized") else "betap"}_range{suffix}')
            beta = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
        return BlurKernel(family, size, sigma_x, sigma_y, theta, beta)


def _size(rng, largest):
    return int(rng.integers(SMALLEST // 2, largest // 2 + 1)) * 2 + 1
