"""Which of our networks a state dict is of: the class and its arguments, from names and shapes alone."""

import math
import re

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.system.errors import InputError
from stea_arch.weights.authors_naming import from_published, is_published
from stea_arch.weights.files import check_weights, unwrap_state_dict
from stea_arch.weights.shapes import count_blocks, difference, expected_shapes

NETWORKS = {'LabNet': LabNet, 'RealNet': RealNet}
UNSEEN = ('attention', 'dilations', 'taylor_order', 'num_heads', 'key_dim')  # not always, by names and shapes
BRANCHES = 'enc1.0.large_field.branches.'
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
    counted = count_blocks(one_stream(weights))
    wanted = arguments.get('num_blocks', counted)
    if not isinstance(wanted, (list, tuple)) or list(wanted) != counted:
        raise InputError(f'{name} with num_blocks {wanted!r:.60} was expected, the weights have {counted}.')
    arguments = {**arguments, 'num_blocks': counted}
    shapes = {key: value.shape for key, value in weights.items()}
    if problems := difference(expected_shapes(NETWORKS[name], arguments), shapes):
        raise InputError(f'The weights do not fit {name}: {problems}.')
    network = NETWORKS[name](**arguments)
    check_weights(weights, network, 'The weights')
    network.load_state_dict(weights)
    return network.float().eval()


def detect_network(state_dict):
    """Find class and arguments of a state dict in our naming.

    What leaves no trace in names and shapes is taken as published: with zeros for padding, the dilations 2, 4, 6.

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
    arguments = _detect_labnet(one_stream(state_dict))
    return ('RealNet', {'streams': 2, **arguments}) if has_two_streams(state_dict) else ('LabNet', arguments)


def contradiction(said, network):
    """Where a file that fits a network by names and shapes says that it is of another.

    Args:
        said (tuple[str, dict] | None): what ``read_architecture`` found.
        network (nn.Module): of any class.

    Returns:
        str: such as ``dilations [3, 5, 7] instead of [2, 4, 6]``; empty where the file does not.
    """
    from stea_arch.options.schema import is_read  # here: what only upscales does without

    if said is None:
        return ''
    own = getattr(network, 'hyperparameters', {})
    found = {key: 'none' if value is None else value for key, value in said[1].items()}  # the attention may be
    differing = [key for key in UNSEEN if key in found and key in own and found[key] != own[key]]
    return ', '.join(
        f'{key} {found[key]!r:.60} instead of {own[key]!r}' for key in differing if is_read('LabNet', key, own)
    )


def is_known(checkpoint, architecture=None):
    """Whether a checkpoint is of one of our networks, or says so; takes what :func:`identify` does. Quick."""
    says_so = architecture is not None and architecture[0] in NETWORKS
    return says_so or is_published(checkpoint) or is_ours(unwrap_state_dict(checkpoint, 'params_ema'))


def is_ours(state_dict):
    """Whether names are those of our networks. Quick: loading checks that all are there."""
    return {'head.weight', 'tail.0.weight', 'enc1.0.beta'} <= state_dict.keys() or has_two_streams(state_dict)


def has_two_streams(state_dict):
    """Whether names are those of a RealNet with two streams; one with one stream is a LabNet. Quick, too."""
    return {'blur.head.weight', 'blur.tail.0.weight', 'exchanges.enc1.mix.weight'} <= state_dict.keys()


def one_stream(state_dict):
    """The weights of a LabNet, or those of the first stream where there are two."""
    if not has_two_streams(state_dict):
        return state_dict
    return {name.removeprefix('blur.'): value for name, value in state_dict.items() if name.startswith('blur.')}


def _detect_labnet(state_dict):
    head, tail = state_dict['head.weight'], state_dict['tail.0.weight']
    if head.ndim != 4 or tail.ndim != 4 or not head.shape[0]:
        raise ValueError(
            f'Kernels (out, in, height, width) were expected as head.weight and tail.0.weight, got {list(head.shape)} '
            f'and {list(tail.shape)}: the checkpoint is damaged.'
        )
    num_feat, num_in_ch = head.shape[:2]
    arguments = {
        'num_in_ch': num_in_ch,
        'num_out_ch': num_in_ch,
        'num_feat': num_feat,
        'num_blocks': count_blocks(state_dict),
        'upscale': 4 if 'tail.4.weight' in state_dict else math.isqrt(tail.shape[0] // num_feat),
        'attention': _detect_attention(state_dict),
        'large_field': any('.large_field.' in name for name in state_dict),
    }
    if arguments['large_field']:
        if dilations := _partial_dilations(state_dict):
            arguments |= {'padding': 'partial', 'dilations': dilations}
        else:
            _check_dilations(state_dict)
    return arguments


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


def _partial_dilations(state_dict):
    matches = [re.fullmatch(rf'{BRANCHES}(\d+)\.far_partial_([1-9]\d?)\.weight', name) for name in state_dict]
    return [int(match[2]) for match in sorted(filter(None, matches), key=lambda match: int(match[1]))]


def _check_dilations(state_dict):
    names = sorted(name for name in state_dict if re.fullmatch(rf'{BRANCHES}\d+\.near\.weight', name))
    sides = [state_dict[name].shape[-1] for name in names]  # in their order: safetensors keep none
    if sides != PUBLISHED_SIDES:
        raise InputError(
            f'This network has other dilations than the published 2, 4, 6 (its dense kernels have the sides {sides}), '
            'and shapes do not tell which. ' + USE_METADATA
        )
