"""From a network's section to a model that runs it, by the very code that ``stea-test`` runs."""

import hashlib
import json
import logging
from pathlib import Path

import torch
from basicsr.models import build_model
from basicsr.utils import get_root_logger, tensor2img

from stea_arch.archs.fused import optimize_for
from stea_arch.weights.files import find_param_key, read_checkpoint

BICUBIC = 'bicubic'


def as_test_options(opt, label, scale):
    """The option file with which ``stea-test`` would test a network, without datasets.

    Args:
        opt (dict): The comparison's options.
        label (str): The network's key in ``networks``.
        scale (int): At which it is tested.

    Returns:
        dict: ``network_g``, ``path``, ``val`` and so on.
    """
    section = opt['networks'][label]
    if section == BICUBIC:
        section = {'network_g': {'type': 'Bicubic', 'upscale': scale}}
    return {
        'name': 'compare',
        'model_type': 'LabNetModel',
        'scale': scale,
        'num_gpu': opt.get('num_gpu', 'auto'),
        'network_g': section.get('network_g'),
        'path': {
            'pretrain_network_g': section.get('weights'),
            'param_key_g': section.get('param_key', 'params'),
            'strict_load_g': True,
        },
        'val': {'save_img': False, 'self_ensemble': section.get('self_ensemble', False)},
    }


def scale_of(opt, label):
    """The scale at which a network is tested; None stands for every scale (bicubic)."""
    section = opt['networks'][label]
    if section == BICUBIC:
        return None
    return section.get('scale', opt['scales'][0])


class Network:
    """A network with its weights, on its device.

    Args:
        opt (dict): The comparison's options.
        label (str): The network's key in ``networks``.
        scale (int): At which it is tested.

    Attributes:
        parameters (int): How many it has.
        device (torch.device): Where it runs.

    Raises:
        ValueError, FileNotFoundError: Weights that are not there or do not fit.
    """

    def __init__(self, opt, label, scale):
        self.label, self.scale = label, scale
        self.opt = as_test_options(opt, label, scale)
        get_root_logger()
        logging.getLogger('basicsr').setLevel(logging.WARNING)
        num_gpu = self.opt['num_gpu']
        num_gpu = torch.cuda.device_count() if num_gpu == 'auto' else num_gpu
        running = {'num_gpu': num_gpu, 'dist': False, 'rank': 0, 'world_size': 1, 'is_train': False}
        self.model = build_model({**self.opt, **running})
        self.device = self.model.device
        self.net = self.model.get_bare_model(self.model.net_g).eval()
        self.parameters = sum(p.numel() for p in self.net.parameters())
        self.model.net_g = optimize_for(self.net, self.device)

    def __call__(self, lq):
        """Enlarge one image: (3, H, W) RGB in [0, 1] -> (scale H, scale W, 3), uint8, BGR.

        Raises:
            ValueError: Values that are not finite, which rounding would hide.
        """
        self.model.feed_data({'lq': lq[None]})
        self.model.test()
        result = self.model.output
        if not torch.isfinite(result).all():
            raise ValueError('The network gave values that are not finite (NaN or infinite): its weights are broken.')
        return tensor2img([result.cpu()])


def describe(opt, label, scale):
    """What decides about a network's results: its arguments, weights and how it is run.

    Args:
        opt, label, scale: As for :class:`Network`.

    Returns:
        dict: Also ``fingerprint``, which changes with any of them.
    """
    test_opt = as_test_options(opt, label, scale)
    weights = test_opt['path']['pretrain_network_g']
    about = {
        'network': label,
        'network_g': test_opt['network_g'],
        'weights': weights,
        'weights_sha256': hashlib.sha256(Path(weights).expanduser().read_bytes()).hexdigest() if weights else None,
        'param_key': find_param_key(read_checkpoint(weights), test_opt['path']['param_key_g']) if weights else None,
        'self_ensemble': test_opt['val']['self_ensemble'],
    }
    decisive = {key: value for key, value in about.items() if key not in ('network', 'weights')}
    return {**about, 'fingerprint': hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()}
