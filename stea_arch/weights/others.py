"""Networks that are not ours, for upscaling: EDSR and RCAN by BasicSR's own classes, and those that spandrel knows."""

import itertools
import math
import re

from torch import nn

from stea_arch.system.errors import InputError
from stea_arch.system.packages import require_for_file
from stea_arch.weights.files import unwrap_state_dict

BASICSR = ('EDSR', 'RCAN')  # of BasicSR's networks; spandrel knows others
SQUEEZE = 'body.0.residual_group.0.rcab.3.attention.1.weight'


class Other(nn.Module):
    """A network of spandrel's, which sees that any size works.

    Args:
        descriptor (spandrel.ImageModelDescriptor): ``(1, 3, H, W)`` -> ``(1, 3, s H, s W)``, both in [0, 1].
    """

    def __init__(self, descriptor):
        super().__init__()
        self.network, self.upscale = descriptor.model.float().eval(), descriptor.scale
        self.run = descriptor

    def forward(self, lq):
        """``(1, 3, H, W)`` in [0, 1] -> ``(1, 3, s H, s W)``."""
        # a copy: spandrel's result is of PyTorch's inference mode, in which alone it may be changed
        return self.run(lq).clone()


def load_other(checkpoint, architecture=None):
    """A network of another project with its weights, in eval mode.

    Args:
        checkpoint (dict): as read: the state dict, or under ``params_ema`` or ``params``.
        architecture (tuple[str, dict] | None): class and arguments, where the file says them.

    Returns:
        nn.Module: ``(1, 3, H, W)`` RGB in [0, 1] -> ``(1, 3, s H, s W)``, of any size; ``upscale`` is s.

    Raises:
        ValueError: spandrel is not installed or does not know it, or it does not enlarge RGB images.
    """
    weights = unwrap_state_dict(checkpoint, 'params_ema')
    name, arguments = architecture or _detect_basicsr(weights)
    try:
        return _build_basicsr(name, arguments, weights) if name in BASICSR else Other(_describe(weights))
    except InputError:
        raise
    except Exception as error:  # of any kind: their classes meet whatever a damaged file holds
        reason = ' '.join(str(error).split())
        raise InputError(f'its parameters do not fit the network that they seem to be of: {reason:.200}') from error


def _describe(weights):
    purpose = 'it is neither a LabNet nor a RealNet. For those of others, e.g. SwinIR, HAT, Real-ESRGAN'
    spandrel = require_for_file('spandrel', 'spandrel', purpose)
    try:
        found = spandrel.ModelLoader('cpu').load_from_state_dict(weights)
    except spandrel.UnsupportedModelError as error:
        names = ', '.join(list(weights)[:3]) or 'nothing'
        raise InputError(
            'A checkpoint of LabNet, RealNet, EDSR, RCAN or a network that spandrel knows was expected, but the '
            f'parameters found ({names}, ...) belong to another network.'
        ) from error
    if not isinstance(found, spandrel.ImageModelDescriptor) or found.scale < 2 or found.input_channels != 3:
        raise InputError(
            f'a network that enlarges RGB images was expected, got {found.architecture.name} for {found.purpose}.'
        )
    return found


def _detect_basicsr(weights):
    """Class and arguments of an EDSR or RCAN of BasicSR, from names and shapes; None and none for others.

    The scale of EDSR's residuals leaves no trace: it is 0.1 in the published one of 256 channels, 1 in the others.
    """
    if not {'conv_first.weight', 'conv_after_body.weight', 'upsample.0.weight'} <= weights.keys():
        return None, {}
    num_feat, channels = weights['conv_first.weight'].shape[:2]
    steps = [len(value) // num_feat for name, value in weights.items() if re.fullmatch(r'upsample\.\d\.weight', name)]
    arguments = {'num_in_ch': channels, 'num_out_ch': channels, 'num_feat': num_feat}
    arguments['upscale'] = math.isqrt(math.prod(steps))
    if 'body.0.conv1.weight' in weights:
        arguments['num_block'] = _count(weights, 'body.{}.conv1.weight')
        return 'EDSR', {**arguments, 'res_scale': 0.1 if num_feat == 256 else 1}
    if SQUEEZE in weights:
        arguments['num_group'] = _count(weights, 'body.{}.conv.weight')
        arguments['num_block'] = _count(weights, 'body.0.residual_group.{}.rcab.0.weight')
        return 'RCAN', {**arguments, 'squeeze_factor': num_feat // len(weights[SQUEEZE])}
    return None, {}


def _build_basicsr(name, arguments, weights):
    import basicsr.archs

    network = basicsr.archs.build_network({'type': name, **arguments})
    network.load_state_dict(weights)
    network.upscale = arguments.get('upscale', 4)  # the default of both
    return network.float().eval()


def _count(weights, pattern):
    return next(number for number in itertools.count() if pattern.format(number) not in weights)
