"""LPIPS and DISTS as BasicSR metrics, with weights from the disk only: nothing is downloaded.

Both are registered even where they cannot be computed, so that an option file that asks for one is told what to
install instead of hearing of an unknown name.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import torch
from basicsr.metrics.metric_util import reorder_image
from basicsr.utils.registry import METRIC_REGISTRY

from stea_arch.metrics.dists import DISTS
from stea_arch.registry import register
from stea_arch.weights.files import read_checkpoint

PACKAGES = {'lpips': 'lpips', 'dists': 'DISTS_pytorch'}  # they bring the metrics' own few weights
BACKBONES = {'lpips': 'alexnet-owt-7be5be79.pth', 'dists': 'vgg16-397923af.pth'}  # torchvision's files
FOLDER = Path('experiments', 'pretrained_models')  # where BasicSR looks for its perceptual loss's weights


def backbone(metric):
    """Where the weights of a metric's backbone lie, or None.

    Looked for in ``experiments/pretrained_models`` under the working directory, then in torch's own cache.

    Args:
        metric (str): ``lpips`` or ``dists``.
    """
    folders = (FOLDER, Path(torch.hub.get_dir(), 'checkpoints'))
    return next((path for folder in folders if (path := folder / BACKBONES[metric]).is_file()), None)


def why_unavailable(metric):
    """What is missing before a metric can be computed, with what to do; None where nothing is.

    Args:
        metric (str): ``lpips`` or ``dists``; any other needs nothing.
    """
    if metric not in PACKAGES:
        return None
    if importlib.util.find_spec(PACKAGES[metric]) is None:
        return f'{metric} needs the package {PACKAGES[metric]}: pip install stea_arch[metrics]'
    if backbone(metric) is None:
        url = f'https://download.pytorch.org/models/{BACKBONES[metric]}'
        return f'{metric} needs the file {FOLDER / BACKBONES[metric]}, from {url}; nothing is downloaded by itself'
    return None


@register(METRIC_REGISTRY)
def calculate_lpips(img, img2, crop_border, input_order='HWC', **kwargs):
    """LPIPS (AlexNet, version 0.1; arXiv 1801.03924): lower is better.

    Args:
        img (ndarray), img2 (ndarray): Result and truth, BGR, in [0, 255].
        crop_border (int): Pixels left out at each border.
        input_order (str): 'HWC' or 'CHW'.

    Returns:
        float: The distance.

    Raises:
        ValueError: The package or its backbone's weights are missing, see :func:`why_unavailable`.
    """
    net = _network('lpips')
    with torch.inference_mode():
        pair = [_tensor(image, crop_border, input_order, net.scaling_layer.shift.device) for image in (img, img2)]
        return net(*pair, normalize=True).item()


@register(METRIC_REGISTRY)
def calculate_dists(img, img2, crop_border, input_order='HWC', **kwargs):
    """DISTS (:class:`stea_arch.metrics.dists.DISTS`) at full size: lower is better. As :func:`calculate_lpips`."""
    net = _network('dists')
    with torch.inference_mode():
        pair = [_tensor(image, crop_border, input_order, net.alpha.device) for image in (img, img2)]
        return net(*pair).item()


def _network(metric):
    reason = why_unavailable(metric)
    if reason:
        raise ValueError(f'{reason}.')
    return _load(metric, backbone(metric).resolve())


@functools.cache
def _load(metric, path):
    weights = read_checkpoint(path)
    if metric == 'lpips':
        import lpips

        net = lpips.LPIPS(net='alex', pnet_rand=True, verbose=False)
        names = {name: f'features.{name.partition(".")[2]}' for name in net.net.state_dict()}  # slice1.0.weight, ...
        missing = [name for name in names.values() if name not in weights]
        if missing:
            raise ValueError(f"Torchvision's weights of AlexNet were expected in {path}, but {missing[0]} is missing.")
        net.net.load_state_dict({own: weights[name] for own, name in names.items()})
    else:
        own = read_checkpoint(Path(importlib.util.find_spec('DISTS_pytorch').origin).with_name('weights.pt'))
        net = DISTS(weights, own['alpha'], own['beta'])
    return net.eval().to('cuda' if torch.cuda.is_available() else 'cpu')


def _tensor(image, crop_border, input_order, device):
    image = reorder_image(image, input_order=input_order)
    height, width = image.shape[:2]
    image = image[crop_border : height - crop_border, crop_border : width - crop_border, ::-1]
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None].to(device) / 255
