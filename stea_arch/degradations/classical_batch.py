"""The classical degradation of a whole batch on any device, see :mod:`stea_arch.degradations.classical`.

Sums are taken in another order than for a single image, so that a value between two 8-bit steps may fall on the other.
"""

import numpy as np
import torch

from stea_arch.degradations.blur import blur_batch
from stea_arch.degradations.resize import resize_matrix


def parameter_tensors(params, shape):
    """What :class:`BatchDegrader` takes of one image's parameters; equal keys for all that one sampler draws.

    Args:
        params (ClassicalParams): Of the image.
        shape (tuple[int]): (C, H / scale, W / scale), of its low-quality version.

    Returns:
        dict[str, Tensor]: ``kernel``, float64: (K, K), or (K,) the factor of a separable one; and ``noise``, float32 of
        the given shape, where there is noise.
    """
    kernel = params.factor() if params.separable else params.kernel()
    tensors = {'kernel': torch.from_numpy(kernel)}
    if params.noise_sigma:
        tensors['noise'] = torch.from_numpy(params.noise(shape))
    return tensors


class BatchDegrader:
    """Blurs, downsamples, adds noise, clips and rounds batches of square images of one size.

    Args:
        scale (int): 2, 3 or 4.
        size (int): Height and width of the images, a multiple of the scale.
        device (torch.device): Where they are.
    """

    def __init__(self, scale, size, device):
        self.resize = torch.from_numpy(resize_matrix(size, size // scale).copy()).to(device)
        self.white = torch.tensor(255.0, device=device)  # by a plain 255 CUDA multiplies with the rounded inverse
        self._shifted = None

    @torch.no_grad()
    def __call__(self, gt, kernel, noise=None):
        """Degrade a batch.

        Args:
            gt (Tensor): (B, C, size, size), float32 in [0, 1].
            kernel (Tensor): (B, K) factors or (B, K, K) kernels, float64, as :func:`parameter_tensors` gives them.
            noise (Tensor | None): (B, C, size / scale, size / scale), float32.

        Returns:
            Tensor: (B, C, size / scale, size / scale), float32 in [0, 1], every value a multiple of 1 / 255.
        """
        if kernel.ndim == 2:
            matrix = torch.einsum('bk,kij->bij', kernel, self._shifted_by(kernel.shape[1])).float()[:, None]
        else:
            gt, matrix = blur_batch(gt, kernel.float()), self.resize.float()
        lq = matrix @ gt @ matrix.transpose(-1, -2)
        if noise is not None:
            lq = lq + noise
        return (lq.clamp(0, 1) * 255).round() / self.white

    def _shifted_by(self, taps):
        """The resizing of the image shifted by each tap of a factor, mirrored at its borders: (K, out, in)."""
        if self._shifted is None or len(self._shifted) != taps:
            length = self.resize.shape[1]
            source = torch.from_numpy(np.pad(np.arange(length), taps // 2, mode='reflect')).to(self.resize.device)
            shifted = self.resize.new_zeros(taps, *self.resize.shape)
            for tap in range(taps):
                shifted[tap].index_add_(1, source[tap : tap + length], self.resize)
            self._shifted = shifted
        return self._shifted
