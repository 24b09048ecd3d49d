"""Sharpening of training targets by unsharp masking, as in Real-ESRGAN."""

import cv2
import torch

from stea_arch.degradations.batch_blur import blur_batch

SIZE = 51  # pixels: of the Gaussian, whose sigma is 8 by OpenCV's rule


@torch.no_grad()
def usm_sharpen(img, weight=0.5, threshold=10):
    """Unsharp masking where it makes a visible difference; equals BasicSR's ``USMSharp``, but by FFT.

        r = img - g * img,  m = g * [ |r| > threshold / 255 ],  result = m clip(img + weight r) + (1 - m) img

    Args:
        img (Tensor): (B, C, H, W), float32 in [0, 1], on any device.
        weight (float): Strength.
        threshold (float): In 8-bit steps: smaller differences are left as they are.

    Returns:
        Tensor: (B, C, H, W), float32 in [0, 1].
    """
    gauss = torch.from_numpy(cv2.getGaussianKernel(SIZE, 0)).to(img)
    kernel = (gauss @ gauss.T)[None]
    residual = img - blur_batch(img, kernel)
    mask = blur_batch((residual.abs() * 255 > threshold).to(img), kernel)
    sharp = (img + weight * residual).clamp(0, 1)
    return torch.lerp(img, sharp, mask)
