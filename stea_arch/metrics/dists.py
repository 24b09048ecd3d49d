"""DISTS: structure and texture similarity over the features of VGG-16.

Source: K. Ding, K. Ma, S. Wang, E. P. Simoncelli, "Image Quality Assessment: Unifying Structure and Texture
Similarity", IEEE TPAMI 2020, arXiv 2004.07728, equations 2 to 6. The authors' class fetches the weights of VGG-16
whenever it is made; this one takes them as they are given.
"""

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = (3, 64, 128, 256, 512, 512)
CONVOLUTIONS = (2, 2, 3, 3, 3)  # in VGG-16, before each of its five poolings
EPSILON = 1e-6


class DISTS(nn.Module):
    """Distance of two images: 0 for equal ones, larger for less similar ones.

        1 - sum_i sum_j ( alpha_ij l(x_ij, y_ij) + beta_ij s(x_ij, y_ij) ),   alpha and beta of sum 1 together

    over the channels j of the image and of five layers i of VGG-16, with ``l`` the similarity of the means and ``s``
    that of the deviations from them. Each max pooling of VGG-16 is replaced by the root of a Hann-weighted mean of
    squares.

    Args:
        features (dict[str, Tensor]): Weights of VGG-16 as torchvision names them, ``features.0.weight`` and so on.
        alpha (Tensor), beta (Tensor): 1475 values each, of any shape.

    Raises:
        ValueError: Weights that are not of VGG-16, or another number of values.
    """

    def __init__(self, features, alpha, beta):
        super().__init__()
        if alpha.numel() != sum(CHANNELS) or beta.numel() != sum(CHANNELS):
            raise ValueError(
                f'DISTS needs {sum(CHANNELS)} values of alpha and of beta, but {alpha.numel()} and {beta.numel()} '
                "came. Give those of the package DISTS_pytorch's weights.pt."
            )
        total = alpha.sum() + beta.sum()
        self.register_buffer('alpha', alpha.flatten() / total)
        self.register_buffer('beta', beta.flatten() / total)
        self.register_buffer('mean', torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer('std', torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        hann = torch.hann_window(5, periodic=False)[1:-1]
        self.register_buffer('window', torch.outer(hann, hann) / hann.sum() ** 2)
        self.stages, number, channels = nn.ModuleList(), 0, 3
        for width, count in zip(CHANNELS[1:], CONVOLUTIONS):
            stage = nn.ModuleList()
            for _ in range(count):
                convolution = nn.Conv2d(channels, width, 3, padding=1)
                try:
                    weights = {name: features[f'features.{number}.{name}'] for name in ('weight', 'bias')}
                    convolution.load_state_dict(weights)
                except (KeyError, RuntimeError) as error:
                    raise ValueError(
                        f'The weights of VGG-16 were expected, but layer features.{number} is missing or of another '
                        "shape. Give torchvision's file vgg16-397923af.pth."
                    ) from error
                stage.append(convolution)
                number, channels = number + 2, width
            self.stages.append(stage)
            number += 1
        self.requires_grad_(False)

    def layers(self, img):
        """The image and five layers of it, each (B, C, H, W)."""
        layers, x = [img], (img - self.mean) / self.std
        for number, stage in enumerate(self.stages):
            if number:
                x = self._pool(x)
            for convolution in stage:
                x = F.relu(convolution(x))
            layers.append(x)
        return layers

    def _pool(self, x):
        window = self.window.expand(x.shape[1], 1, 3, 3)
        return (F.conv2d(x * x, window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()

    def forward(self, img, img2):
        """(B, 3, H, W) in [0, 1], RGB, twice -> (B,)."""
        means, structures = [], []
        for x, y in zip(self.layers(img), self.layers(img2)):
            x_mean, y_mean = x.mean((2, 3)), y.mean((2, 3))
            x_var, y_var = x.var((2, 3), correction=0), y.var((2, 3), correction=0)
            covariance = (x * y).mean((2, 3)) - x_mean * y_mean
            means.append((2 * x_mean * y_mean + EPSILON) / (x_mean**2 + y_mean**2 + EPSILON))
            structures.append((2 * covariance + EPSILON) / (x_var + y_var + EPSILON))
        return 1 - torch.cat(means, 1) @ self.alpha - torch.cat(structures, 1) @ self.beta
