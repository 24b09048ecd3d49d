"""Gaussian blur kernels: (K, K) arrays of float64 that sum to 1, K odd, the centre at ``K // 2``.

Sigmas are in pixels of the image they blur. The weights are samples on the integer grid, not integrals over pixels.
"""

import math

import numpy as np

from stea_arch.degradations.checks import check_kernel_size
from stea_arch.system.errors import InputError


def isotropic_factor(kernel_size, sigma):
    """The one-dimensional factor of the isotropic kernel: ``exp(-x^2 / (2 sigma^2))``, normalised.

    Args:
        kernel_size (int): Odd number of taps K.
        sigma (float): Standard deviation in pixels, above 0.

    Returns:
        ndarray: (K,), float64, sums to 1. Its outer product with itself is :func:`isotropic_kernel`.

    Raises:
        ValueError: An even or non-positive size, or a sigma not above 0.
    """
    x = _grid(kernel_size)
    _check_sigma(sigma)
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


def isotropic_kernel(kernel_size, sigma):
    """``exp(-r^2 / (2 sigma^2))`` on the integer grid, normalised; arguments and errors of :func:`isotropic_factor`.

    Returns:
        ndarray: (K, K), float64, sums to 1.
    """
    factor = isotropic_factor(kernel_size, sigma)
    return np.outer(factor, factor)


def anisotropic_kernel(kernel_size, sigma_x, sigma_y, theta):
    """A Gaussian with two widths, turned: ``exp(-(u^2 / sigma_x^2 + v^2 / sigma_y^2) / 2)``, normalised.

    ``u = x cos(theta) + y sin(theta)`` and ``v = y cos(theta) - x sin(theta)`` are the coordinates along the kernel's
    own axes; x counts columns to the right, y rows downwards. BasicSR's ``bivariate_Gaussian`` computes the same.

    Args:
        kernel_size (int): Odd number of taps K.
        sigma_x (float), sigma_y (float): Standard deviations along the kernel's own axes, in pixels, above 0.
        theta (float): Angle from the x axis to the first of these axes, in radians.

    Returns:
        ndarray: (K, K), float64, sums to 1.

    Raises:
        ValueError: An even or non-positive size, a sigma not above 0, or an angle that is not finite.
    """
    grid = _grid(kernel_size)
    _check_sigma(sigma_x)
    _check_sigma(sigma_y)
    if not math.isfinite(theta):
        raise InputError(f'The rotation of a kernel must be a finite angle in radians, got {theta}.')
    x, y = grid[None, :], grid[:, None]
    u = x * math.cos(theta) + y * math.sin(theta)
    v = y * math.cos(theta) - x * math.sin(theta)
    weights = np.exp(-0.5 * ((u / sigma_x) ** 2 + (v / sigma_y) ** 2))
    return weights / weights.sum()


def disturb(kernel, level, rng):
    """Multiply every weight by ``1 + U`` with U uniform in [0, level], then normalise again.

    Args:
        kernel (ndarray): (K, K), sums to 1.
        level (float): Upper end of the disturbance, at least 0; 0.25 in DIV2KRK-like training.
        rng (numpy.random.Generator): Source of the K * K values.

    Returns:
        ndarray: (K, K), float64, sums to 1.

    Raises:
        ValueError: A negative level.
    """
    if not 0 <= level < math.inf:
        raise InputError(f'The disturbance of a kernel must be a finite number of at least 0, got {level}.')
    kernel = kernel * (1 + rng.uniform(0, level, kernel.shape))
    return kernel / kernel.sum()


def _grid(kernel_size):
    check_kernel_size(kernel_size)
    radius = kernel_size // 2
    return np.arange(-radius, radius + 1, dtype=np.float64)


def _check_sigma(sigma):
    if not 0 < sigma < math.inf:
        raise InputError(f'The sigma of a Gaussian kernel must be a positive number of pixels, got {sigma}.')
