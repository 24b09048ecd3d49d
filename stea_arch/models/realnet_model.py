"""RealNet's first stage: second-order degradation and a pixel loss."""

from basicsr.utils.registry import MODEL_REGISTRY

from stea_arch.models.labnet_model import LabNetModel
from stea_arch.models.second_order import SecondOrderMixin
from stea_arch.registry import register


@register(MODEL_REGISTRY)
class RealNetModel(SecondOrderMixin, LabNetModel):
    """Trains any ``network_g`` as BasicSR's RealESRNetModel does, on CPU and CUDA; L1 on the sharpened target.

    RealESRNetModel itself is bound to CUDA in every method it adds to SRModel, so this is built on SRModel. Option keys
    beyond those of ``LabNetModel`` and ``SecondOrderMixin``:

    - ``gt_usm`` (bool, default true): sharpen the ground truth by unsharp masking before it is degraded.
    """
