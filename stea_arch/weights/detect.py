"""Which of our networks a state dict is of: the class and its arguments, from names and shapes alone."""

import math
import re

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.system.errors import InputError
from stea_arch.weights.authors_naming import from_published, is_published
from stea_arch.weights.files import check_weights, unwrap_state_dict

NETWORKS = {'LabNet': LabNet, 'RealNet': RealNet}
STAGES = ('enc1', 'enc2', 'latent', 'dec1', 'dec2', 'refine')
PUBLISHED_SIDES = [3, 5, 7]  # of the dense kernels beside the dilated ones
USE_METADATA = 'Export it with the option file it was trained with: stea-export safetensors FILE --opt OPTIONS.yml.'


def identify(checkpoint, architecture=None):
    """Find out which network a checkpoint is of, in our naming or in the authors'.

    Args:
        checkpoint (dict): as read: bare, or under ``params_ema`` or ``params``.
        architecture (tuple[str, dict] | None): class and arguments of one in our naming, where they are known.

    Returns:
        tuple[str, dict, dict[str, Tensor]]: a key of ``NETWORKS``, its arguments, and the weights in our naming.

    Raises:
        ValueError: it is of none of our networks, or see :func:`detect_network`.
    """
    if is_published(checkpoint):
        weights, arguments = from_published(checkpoint)
        return 'LabNet', arguments, weights
    weights = unwrap_state_dict(checkpoint, 'params_ema')
    return *(architecture or detect_network(weights)), weights


def build_network(name, arguments, weights):
    """The network with its weights, in eval mode, on the CPU, in fp32; takes what :func:`identify` gives.

    Raises:
        ValueError: no such class, wrong arguments, or weights that do not fit.
    """
    if name not in NETWORKS:
        raise InputError(f'The checkpoint is of a network {name}, but {" or ".join(NETWORKS)} was expected.')
    try:
        network = NETWORKS[name](**arguments)
        check_weights(weights, network, 'The weights')
        network.load_state_dict(weights)
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(f'The weights do not fit {name}: {" ".join(str(error).split())}') from error
    return network.float().eval()


def detect_network(state_dict):
    """Find class and arguments of a state dict in our naming.

    What leaves no trace in names and shapes is taken as published: the dilations 2, 4, 6.

    Args:
        state_dict (Mapping[str, Tensor]): bare, without ``module.``.

    Returns:
        tuple[str, dict]: a key of ``NETWORKS``, and its arguments as far as they differ between networks.

    Raises:
        ValueError: it is of none of our networks, or names and shapes do not tell which attention it has.
    """
    if not is_ours(state_dict):
        names = ', '.join(list(state_dict)[:4]) or 'nothing'
        raise InputError(
            'A checkpoint of LabNet or RealNet was expected, trained with stea_arch or published by the authors, but '
            f'the parameters found ({names}, ...) belong to another network.'
        )
    if has_two_streams(state_dict):
        one = {name.removeprefix('blur.'): value for name, value in state_dict.items() if name.startswith('blur.')}
        return 'RealNet', {'streams': 2, **_detect_labnet(one)}
    return 'LabNet', _detect_labnet(state_dict)


def is_ours(state_dict):
    """Whether names are those of our networks. Quick: loading checks that all are there."""
    return {'head.weight', 'tail.0.weight', 'enc1.0.beta'} <= state_dict.keys() or has_two_streams(state_dict)


def has_two_streams(state_dict):
    """Whether names are those of a RealNet with two streams; one with one stream is a LabNet. Quick, too."""
    return {'blur.head.weight', 'blur.tail.0.weight', 'exchanges.enc1.mix.weight'} <= state_dict.keys()


def _detect_labnet(state_dict):
    head, tail = state_dict['head.weight'], state_dict['tail.0.weight']
    num_feat, num_in_ch = head.shape[:2]
    arguments = {
        'num_in_ch': num_in_ch,
        'num_out_ch': num_in_ch,
        'num_feat': num_feat,
        'num_blocks': [_count_blocks(state_dict, stage) for stage in STAGES],
        'upscale': 4 if 'tail.4.weight' in state_dict else math.isqrt(tail.shape[0] // num_feat),
        'attention': _detect_attention(state_dict),
        'large_field': any('.large_field.' in name for name in state_dict),
    }
    if arguments['large_field']:
        _check_dilations(state_dict)
    return arguments


def _count_blocks(state_dict, stage):
    return len({name.split('.')[1] for name in state_dict if re.match(rf'{stage}\.\d+\.', name)})


def _detect_attention(state_dict):
    inside = {name.split('.attention.', 1)[1] for name in state_dict if '.attention.' in name}
    if 'query.weight' in inside:
        raise InputError(
            "This network has the attention 'taylor' or 'softmax', and names and shapes do not tell which. "
            + USE_METADATA
        )
    if not inside:
        return 'none'
    return 'ttea' if any(name.startswith('gate3.') for name in inside) else 'stea'


def _check_dilations(state_dict):
    prefix = 'enc1.0.large_field.branches.'
    sides = [value.shape[-1] for name, value in state_dict.items() if re.fullmatch(rf'{prefix}\d+\.near\.weight', name)]
    if sides != PUBLISHED_SIDES:
        raise InputError(
            f'This network has other dilations than the published 2, 4, 6 (its dense kernels have the sides {sides}), '
            'and shapes do not tell which. ' + USE_METADATA
        )
