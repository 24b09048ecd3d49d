"""Where the weights of the perceptual loss come from."""

import urllib.request
from pathlib import Path

import torch
from basicsr.archs.vgg_arch import VGG_PRETRAIN_PATH

from stea_arch.system.errors import InputError

URL = 'https://download.pytorch.org/models/vgg19-dcbb9e9d.pth'  # 548 MB; the digits begin its SHA-256


def find_vgg19(written=None):
    """The file with torchvision's weights of VGG19 for ImageNet; fetched into torch's cache if it is nowhere.

    Args:
        written (str | None): Where the option ``path.vgg19`` says it is. Default: where BasicSR looks,
            experiments/pretrained_models under the working directory, and then torch's cache.

    Returns:
        Path: The file.

    Raises:
        FileNotFoundError: There is no file ``written``.
        ValueError: None was named, none is there, and it cannot be fetched.
    """
    name = URL.rpartition('/')[2]
    if written:
        path = Path(written).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'path.vgg19: {written} is not a file (seen from {Path.cwd()}). Get it from {URL}.')
        return path
    cached = Path(torch.hub.get_dir(), 'checkpoints', name)
    places = [Path(VGG_PRETRAIN_PATH).with_name(name), cached]
    for path in places:
        if path.is_file():
            return path
    try:
        urllib.request.urlopen(URL, timeout=20).close()  # the download itself would wait for minutes
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(cached), hash_prefix='dcbb9e9d')
    except (OSError, RuntimeError) as error:
        raise InputError(
            f'train.perceptual_opt needs the weights of VGG19, and {name} is neither {places[0]} nor {places[1]} and '
            f'could not be fetched ({error}). Download {URL} (548 MB) elsewhere, then put it at one of these places or '
            'write where it is as path.vgg19; or train without: perceptual_opt: ~'
        ) from error
    return cached
