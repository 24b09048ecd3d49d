"""LabNet and RealNet for spandrel, and so for the programs that load their networks with it.

::

    import stea_arch.weights.spandrel
    from spandrel import ModelLoader

    stea_arch.weights.spandrel.install()
    model = ModelLoader().load_from_file('labnet.safetensors')  # an ImageModelDescriptor
    sr = model(lq)  # (1, 3, H, W) in [0, 1] -> (1, 3, 4 H, 4 W)

A file in our naming or in the authors' is recognised by its names and shapes alone. Source of the interface: spandrel
0.4, ``ArchRegistry`` and ``ModelLoader``.
"""

try:
    from spandrel import MAIN_REGISTRY, Architecture, ArchRegistry, ArchSupport, ImageModelDescriptor, ModelTiling
except ImportError as error:
    raise ImportError(f"{error}. Install spandrel with pip install 'stea_arch[spandrel]'.") from error

from stea_arch.weights.authors_naming import is_published
from stea_arch.weights.detect import build_network, has_two_streams, identify, is_ours


class _Ours(Architecture):
    def load(self, state_dict):
        """The descriptor of a state dict that ``detect`` knows; ValueError where it is incomplete or ambiguous."""
        name, arguments, weights = identify(state_dict)
        network = build_network(name, arguments, weights)
        return ImageModelDescriptor(
            network,
            weights,
            architecture=self,
            purpose='SR',
            tags=[f'{arguments["num_feat"]}nf', f'{sum(arguments["num_blocks"])}nb', arguments['attention']],
            supports_half=True,
            supports_bfloat16=True,
            scale=network.upscale,
            input_channels=arguments['num_in_ch'],
            output_channels=arguments['num_out_ch'],
            tiling=ModelTiling.DISCOURAGED,  # the gates average over the whole image; any size is taken
        )


class LabNetArch(_Ours):
    """LabNet, also as the one-stream generator of RealNet that we trained: names do not tell these two apart."""

    def __init__(self):
        super().__init__(
            id='LabNet',
            detect=lambda state: not _is_realnet(state) and (is_ours(state) or is_published(state)),
        )


class RealNetArch(_Ours):
    """RealNet with two streams, and the authors' one-stream generator for real photographs."""

    def __init__(self):
        super().__init__(id='RealNet', detect=_is_realnet)


def _is_realnet(state_dict):
    published = is_published(state_dict) and any('.enla.' in name for name in state_dict)
    return has_two_streams(state_dict) or published


REGISTRY = ArchRegistry()
REGISTRY.add(ArchSupport.from_architecture(LabNetArch()), ArchSupport.from_architecture(RealNetArch()))


def install():
    """Add both to spandrel's main registry, which its ``ModelLoader`` uses. Doing it twice is harmless.

    Returns:
        list[ArchSupport]: those that were not there yet.
    """
    return MAIN_REGISTRY.add(*REGISTRY, ignore_duplicates=True)
