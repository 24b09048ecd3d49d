"""From an entry of ``networks`` to a model that runs it, by the very code that ``stea-test`` runs."""

import hashlib
import json
import logging
from pathlib import Path

import torch
from basicsr.models import build_model
from basicsr.utils import get_root_logger, tensor2img

from stea_arch.archs.fused import optimize_for
from stea_arch.options.reading import read_options
from stea_arch.options.schema import is_read
from stea_arch.system.versions import code_fingerprint, get_packages
from stea_arch.weights import find_weights, read_network, shipped
from stea_arch.weights.files import find_param_key, read_checkpoint

BICUBIC = 'bicubic'


def as_section(entry):
    """What an entry of ``networks`` stands for, written out.

    Args:
        entry (str | dict): ``bicubic``, a shipped name or a checkpoint of ours or the authors'; or a section, whose
            ``network_g`` and ``weights`` may be left to ``from``, and ``network_g`` to such a checkpoint.

    Returns:
        str | dict: ``bicubic``, or the section with ``network_g``, ``weights``, ``param_key`` and ``scale``. What it
        gives itself stays; a key of its ``network_g`` replaces that of ``from``.

    Raises:
        FileNotFoundError: There is no such checkpoint or option file.
        OptionError: The option file is wrong.
        ValueError: The checkpoint is damaged, or of another network.
    """
    if entry == BICUBIC:
        return BICUBIC
    section = {'weights': entry} if isinstance(entry, str) else dict(entry)
    source = section.pop('from', None)
    if source:
        trained = read_options(source, is_train=True, check_files=False)
        found = {
            'network_g': trained['network_g'],
            'scale': trained['scale'],
            'weights': f'experiments/{trained["name"]}/models/net_g_latest.pth',
            'param_key': 'params_ema' if trained['train'].get('ema_decay', 0) > 0 else 'params',
        }
        section['network_g'] = {**found['network_g'], **section.get('network_g', {})}
    elif 'network_g' not in section:
        path = find_weights(section.get('weights', ''))
        name, arguments, _ = read_network(path)
        arguments = {key: value for key, value in arguments.items() if is_read(name, key, arguments)}
        param_key = find_param_key(read_checkpoint(path), 'params_ema') or 'params'
        found = {'network_g': {'type': name, **arguments}, 'scale': arguments['upscale'], 'param_key': param_key}
    else:
        found = {}
    return {**found, **section}


def as_test_options(opt, label, scale):
    """The option file with which ``stea-test`` would test a network, without datasets.

    Args:
        opt (dict): The comparison's options, its networks written out, see :func:`as_section`.
        label (str): The network's key in ``networks``.
        scale (int): At which it is tested.

    Returns:
        dict: ``network_g``, ``path``, ``val`` and so on.
    """
    section = opt['networks'][label]
    if section == BICUBIC:
        section = {'network_g': {'type': 'Bicubic', 'upscale': scale}}
    weights = section.get('weights')
    return {
        'name': 'compare',
        'model_type': 'LabNetModel',
        'scale': scale,
        'num_gpu': opt.get('num_gpu', 'auto'),
        'network_g': section.get('network_g'),
        'path': {
            'pretrain_network_g': str(find_weights(weights)) if weights in shipped() else weights,
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


def count_gpus(opt):
    """How many GPUs a comparison runs on, 0 or 1."""
    wanted = opt.get('num_gpu', 'auto')
    return min(torch.cuda.device_count(), 1) if wanted == 'auto' else wanted


def describe_device(opt):
    """What a comparison runs on: the kind of CPU, as its instructions decide about rounding, or the GPU's name."""
    return torch.cuda.get_device_name(0) if count_gpus(opt) else f'CPU, {torch.backends.cpu.get_cpu_capability()}'


class Network:
    """A network with its weights, on its device.

    Args:
        opt (dict): The comparison's options.
        label (str): The network's key in ``networks``.
        scale (int): At which it is tested.

    Attributes:
        parameters (int): How many it has.
        device (torch.device): Where it runs.
        net (nn.Module): As it is defined; what runs is its fastest equivalent.

    Raises:
        ValueError, FileNotFoundError: Weights that are not there or do not fit.
    """

    def __init__(self, opt, label, scale):
        self.label, self.scale = label, scale
        self.opt = as_test_options(opt, label, scale)
        get_root_logger()
        logging.getLogger('basicsr').setLevel(logging.WARNING)
        running = {'num_gpu': count_gpus(opt), 'dist': False, 'rank': 0, 'world_size': 1, 'is_train': False}
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
    """What decides about a network's results: its arguments, weights, code, and how and where it is run.

    Args:
        opt, label, scale: As for :class:`Network`.

    Returns:
        dict: Also ``fingerprint``, which changes with any of them.
    """
    test_opt = as_test_options(opt, label, scale)
    path = test_opt['path']['pretrain_network_g']
    section = opt['networks'][label]
    about = {
        'network': label,
        'network_g': test_opt['network_g'],
        'weights': section['weights'] if path else None,
        'weights_sha256': hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest() if path else None,
        'param_key': find_param_key(read_checkpoint(path), test_opt['path']['param_key_g']) if path else None,
        'self_ensemble': test_opt['val']['self_ensemble'],
    }
    decisive = {key: value for key, value in about.items() if key not in ('network', 'weights')}
    decisive['code'] = code_fingerprint('ARCH_REGISTRY', [test_opt['network_g']['type']])
    decisive |= {'packages': get_packages(), 'device': describe_device(opt)}
    return {**about, 'fingerprint': hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()}
