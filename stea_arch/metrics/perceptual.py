"""LPIPS as a BasicSR metric, with weights from the disk only: nothing is downloaded.

It is registered even where it cannot be computed, so that an option file that asks for it is told what to install
instead of hearing of an unknown name.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import torch
from basicsr.metrics.metric_util import reorder_image
from basicsr.utils.registry import METRIC_REGISTRY

from stea_arch.registry import register
from stea_arch.system.errors import InputError
from stea_arch.weights.files import read_checkpoint

PACKAGE = 'lpips'  # brings the metric's own few weights
BACKBONE = 'alexnet-owt-7be5be79.pth'  # torchvision's file
FOLDER = Path('experiments', 'pretrained_models')  # where BasicSR looks for its perceptual loss's weights


def backbone():
    """Where the weights of LPIPS's backbone lie, or None.

    Looked for in ``experiments/pretrained_models`` under the working directory, then in torch's own cache.
    """
    folders = (FOLDER, Path(torch.hub.get_dir(), 'checkpoints'))
    return next((path for folder in folders if (path := folder / BACKBONE).is_file()), None)


def why_unavailable(metric):
    """What is missing before a metric can be computed, with what to do; None where nothing is.

    Args:
        metric (str): ``lpips``; any other needs nothing.
    """
    if metric != 'lpips':
        return None
    if importlib.util.find_spec(PACKAGE) is None:
        return f'lpips needs the package {PACKAGE}: pip install stea_arch[metrics]'
    if backbone() is None:
        url = f'https://download.pytorch.org/models/{BACKBONE}'
        return f'lpips needs the file {FOLDER / BACKBONE}, from {url}; nothing is downloaded by itself'
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
    reason = why_unavailable('lpips')
    if reason:
        raise InputError(f'{reason}.')
    net = _load(backbone().resolve())
    with torch.inference_mode():
        pair = [_tensor(image, crop_border, input_order, net.scaling_layer.shift.device) for image in (img, img2)]
        return net(*pair, normalize=True).item()


@functools.cache
def _load(path):
    import lpips

    weights = read_checkpoint(path)
    net = lpips.LPIPS(net='alex', pnet_rand=True, verbose=False)
    names = {name: f'features.{name.partition(".")[2]}' for name in net.net.state_dict()}  # slice1.0.weight, ...
    missing = [name for name in names.values() if name not in weights]
    if missing:
        raise InputError(f"Torchvision's weights of AlexNet were expected in {path}, but {missing[0]} is missing.")
    net.net.load_state_dict({own: weights[name] for own, name in names.items()})
    return net.eval().to('cuda' if torch.cuda.is_available() else 'cpu')


def _tensor(image, crop_border, input_order, device):
    image = reorder_image(image, input_order=input_order)
    height, width = image.shape[:2]
    image = image[crop_border : height - crop_border, crop_border : width - crop_border, ::-1]
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None].to(device) / 255
