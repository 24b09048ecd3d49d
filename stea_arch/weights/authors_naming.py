"""Weights in the authors' naming: recognise them, find out which network they are of, and load them into ours."""

import os
import re
from collections.abc import Mapping

import torch

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.system.errors import InputError
from stea_arch.weights.files import check_weights, read_checkpoint, unwrap_state_dict
from stea_arch.weights.shapes import difference, expected_shapes

# Our name -> the authors' name, each the start of a parameter's name, in the order of LabNet's num_blocks.
STAGES = {
    'enc1': 'encoder_block1',
    'enc2': 'encoder_block2',
    'latent': 'latent_block',
    'dec1': 'decoder_block1',
    'dec2': 'decoder_block2',
    'refine': 'refine_block',
}
TRUNK = {
    'head': 'head',
    'down1.0': 'down1.body.0',
    'down2.0': 'down2.body.0',
    'up1.0': 'up1.body.0',
    'merge': 'conv1x1_1',
    'up2.0': 'up2.body.0',
    'fusion': 'fusion',
    'tail': 'upscale',
}
# Inside a block. The authors keep attention, large field and what follows in one module, named after the method.
BLOCK = {
    'norm1': 'norm1',
    'beta': '{module}.beta',
    'attention.phi1': '{module}.w1',
    'attention.phi2': '{module}.w2',
    'attention.phi3': '{module}.w3',
    'attention.gate1.body': '{module}.b1',
    'attention.gate2.body': '{module}.b2',
    'attention.gate3.body': '{module}.b3',
    'attention.value': '{module}.wv',
    'attention.local': '{module}.v_dwc',
    'attention.self_gate.project': '{module}.x_ft1.0',
    'large_field.branches.0.far': '{module}.d2dwc_9x9',
    'large_field.branches.0.near': '{module}.dwc_3x3',
    'large_field.branches.0.merge': '{module}.fusion_18',
    'large_field.branches.1.far': '{module}.d4dwc_9x9',
    'large_field.branches.1.near': '{module}.dwc_5x5',
    'large_field.branches.1.merge': '{module}.fusion_36',
    'large_field.branches.2.far': '{module}.d6dwc_9x9',
    'large_field.branches.2.near': '{module}.dwc_7x7',
    'large_field.branches.2.merge': '{module}.fusion_54',
    'large_field.bypass': '{module}.bypass_1x1',
    'large_field.merge': '{module}.w_final',
    'self_gate.project': '{module}.x_ft2.0',
    'local': 'conv_local',
    'merge': 'conv1_last',
    'channel_attention.body': 'ca.body',
    'norm2': 'norm2',
    'feed_forward.expand': 'gdfn.project_in',
    'feed_forward.spatial': 'gdfn.dwconv',
    'feed_forward.reduce': 'gdfn.project_out',
}
MODULE_KEY = re.compile(rf'(?:{"|".join(STAGES.values())})\.\d+\.(STEA|enla|TTEA)\.')


def load_published(path_or_state_dict: str | os.PathLike | Mapping) -> LabNet:
    """The network of a checkpoint in the authors' naming, with its weights, in eval mode, on the CPU, in fp32.

    Scale, width, number of blocks and order of the attention are found from the names and shapes. ``params_ema`` is
    preferred to ``params``; a bare state dict, the prefixes ``module.`` and ``Restorer.`` and the authors' three names
    of the attention module (``STEA``, ``enla``, ``TTEA``) are all understood.

    Args:
        path_or_state_dict (str | PathLike | Mapping): a ``.pth`` file, read with ``weights_only=True`` so that nothing
            in it is executed, a ``.safetensors`` file, or what such a file holds.

    Returns:
        LabNet: takes and gives RGB ``(B, 3, H, W)`` in [0, 1].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read as plain weights, or they are not of the published network.
    """
    if isinstance(path_or_state_dict, str | os.PathLike):
        path_or_state_dict = read_checkpoint(path_or_state_dict)
    weights, config = from_published(path_or_state_dict)
    network = LabNet(**config)
    check_weights(weights, network, 'The weights')
    network.load_state_dict(weights)
    return network.eval()


def is_published(state_dict):
    """Whether ``state_dict`` names parameters as the authors do. Quick: ``from_published`` checks that all are there.

    Args:
        state_dict (Mapping): bare, or wrapped in ``params`` or ``params_ema``; False for anything else.
    """
    try:
        return any(MODULE_KEY.match(name) for name in _unwrap(state_dict))
    except ValueError:
        return False


def from_published(state_dict):
    """Translate weights in the authors' naming into ours.

    Args:
        state_dict (Mapping): bare, or wrapped in ``params`` or ``params_ema``.

    Returns:
        tuple[dict, dict]: the state dict of our LabNet (the same tensors), and the arguments that build it:
        ``LabNet(**config).load_state_dict(weights)``.

    Raises:
        ValueError: keys are missing or too many, or shapes do not fit; the message lists them.
    """
    found = _unwrap(state_dict)
    config = _find_config(found)
    ours = expected_shapes(LabNet, config)
    modules = [match[1] for match in map(MODULE_KEY.match, found) if match]
    names = {_published_name(name, modules[0] if modules else 'STEA'): name for name in ours}

    shapes = {name: value.shape for name, value in found.items()}
    if problems := difference({name: ours[own] for name, own in names.items()}, shapes):
        read_as = ', '.join(f'{key} {value}' for key, value in config.items())
        raise InputError(
            f'This is not a complete checkpoint of the published LabNet. Read as {read_as}, it has '
            f"{problems}. Pass a checkpoint of the authors' LabNet or RealNet generator; one "
            'that stea_arch trained goes into LabNet.load_state_dict or the option path.pretrain_network_g instead.'
        )
    return {own: found[name] for name, own in names.items()}, config


def _unwrap(state_dict):
    """The bare state dict, without the prefix that the authors' names share."""
    if not isinstance(state_dict, Mapping):
        raise InputError(f'Weights were expected, that is names with tensors, got a {type(state_dict).__name__}.')
    found = unwrap_state_dict(state_dict, 'params_ema')
    if all(name.startswith('Restorer.') for name in found):
        return {name.removeprefix('Restorer.'): value for name, value in found.items()}
    return found


def _find_config(found):
    """LabNet's arguments from names and shapes; the published value wherever the tensor that tells is not there.

    So a foreign state dict is compared with the published network, and the difference says what is wrong with it.
    """
    config = {'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 64, 'upscale': 4, 'attention': 'stea'}
    head, tail = found.get('head.weight'), found.get('upscale.0.weight')
    if head is not None and head.ndim == 4 and head.shape[0] > 0 and head.shape[0] % 16 == 0 and head.shape[1] > 0:
        config['num_feat'] = head.shape[0]
        config['num_in_ch'] = config['num_out_ch'] = head.shape[1]
    if tail is not None and tail.ndim == 4 and 'upscale.4.weight' not in found:
        config['upscale'] = 3 if tail.shape[0] == 9 * config['num_feat'] else 2
    if any('.b3.' in name for name in found):
        config['attention'] = 'ttea'
    blocks = [{name.split('.')[1] for name in found if re.match(rf'{stage}\.\d+\.', name)} for stage in STAGES.values()]
    config['num_blocks'] = tuple(max(1, len(numbers)) for numbers in blocks) if any(blocks) else (6, 8, 10, 6, 8, 8)
    return config


def _published_name(name, module):
    stage, _, rest = name.partition('.')
    if stage not in STAGES:
        return _replace_start(name, TRUNK)
    number, _, rest = rest.partition('.')
    return f'{STAGES[stage]}.{number}.{_replace_start(rest, BLOCK).format(module=module)}'


def _replace_start(name, table):
    start = next(ours for ours in table if name == ours or name.startswith(f'{ours}.'))
    return table[start] + name[len(start) :]


def to_published(state_dict: Mapping[str, torch.Tensor], module: str | None = None) -> dict[str, torch.Tensor]:
    """Translate weights in our naming into the authors', so that their code loads what we trained.

    Args:
        state_dict (Mapping[str, Tensor]): of a ``LabNet`` with the attention ``stea`` or ``ttea``, the dilations
            2, 4, 6 (others that have the same shapes are not told apart) and zeros for padding.
        module (str | None): what the authors' network calls its attention: 'STEA', 'TTEA' (third order), or 'enla' in
            their network for real photographs. None: 'STEA' or 'TTEA', whichever it is.

    Returns:
        dict[str, Tensor]: the same tensors, with the prefix ``Restorer.`` of the authors' checkpoints.

    Raises:
        ValueError: the weights are not those of a network that the authors' code knows.
    """
    if module is None:
        module = 'TTEA' if any('.attention.gate3.' in name for name in state_dict) else 'STEA'
    try:
        renamed = {_published_name(name, module): value for name, value in state_dict.items()}
        from_published(renamed)
    except (StopIteration, ValueError) as error:
        raise InputError(
            "The weights of a LabNet as published were expected (attention 'stea' or 'ttea', the dilations 2, 4, 6, "
            f'zeros for padding), but these differ. {error}'.strip()
        ) from error
    return {f'Restorer.{name}': value for name, value in renamed.items()}
