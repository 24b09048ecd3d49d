"""The evaluation kernels of setting 1, "Gaussian8": eight isotropic Gaussians with evenly spaced sigmas.

Source: Gu et al., "Blind Super-Resolution With Iterative Kernel Correction", CVPR 2019; ranges as in the DAN papers.
"""

import numpy as np

from stea_arch.degradations.checks import check_kernel_size, check_range, check_scale
from stea_arch.degradations.classical import ClassicalParams
from stea_arch.system.errors import InputError

SIGMA_RANGES = {2: (0.80, 1.60), 3: (1.35, 2.40), 4: (1.80, 3.20)}


def gaussian8(scale, kernel_size=21, sigma_range=None, num_kernels=8):
    """The kernels by name.

    Args:
        scale (int): 2, 3 or 4.
        kernel_size (int): Odd.
        sigma_range (list[float] | None): First and last sigma in pixels of gt; None for the scale's published ones.
        num_kernels (int): How many, first and last included.

    Returns:
        dict[str, ClassicalParams]: Such as 'sigma1.80' -> parameters, in rising order of sigma.

    Raises:
        ValueError: A value outside of these bounds, or one kernel for two sigmas.
    """
    check_scale(scale)
    check_kernel_size(kernel_size)
    low, high = check_range('sigma_range', SIGMA_RANGES[scale] if sigma_range is None else sigma_range, above_zero=True)
    if type(num_kernels) is not int or num_kernels < 1 or (num_kernels == 1) != (low == high):
        raise InputError(
            'num_kernels must be a whole number above 1, or 1 with a sigma_range of twice the same sigma, got '
            f'num_kernels {num_kernels!r} with sigma_range [{low}, {high}]. The published protocol has 8.'
        )
    sigmas = np.linspace(low, high, num_kernels).tolist()
    decimals = 2
    while len({f'{sigma:.{decimals}f}' for sigma in sigmas}) < num_kernels:
        decimals += 1
    return {f'sigma{sigma:.{decimals}f}': ClassicalParams(scale, kernel_size, sigma, sigma) for sigma in sigmas}
