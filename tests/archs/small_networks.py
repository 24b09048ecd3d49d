"""Networks of 16 channels and one block a stage, in which every part matters, and what is asked of all networks."""

import onnxruntime
import plain
import torch
from torch import nn

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet

SMALL = {'num_feat': 16, 'num_blocks': (1, 1, 1, 1, 1, 1), 'upscale': 2}


def labnet(**arguments):
    """With randomised weights, in eval mode."""
    return plain.randomise(LabNet(**{**SMALL, **arguments})).eval()


def opened_labnet(**arguments):
    """Results are near 1 as after a start, but ``beta`` is not 0, which would hide attention and large field."""
    network = LabNet(**{**SMALL, **arguments}).eval()
    for name, parameter in network.named_parameters():
        if name.endswith('beta'):
            nn.init.normal_(parameter, 0.5, 0.1)
    return network


def two_streams(**arguments):
    """A RealNet with randomised weights, in eval mode."""
    return plain.randomise(RealNet(streams=2, **{**SMALL, **arguments})).eval()


def keep_one_block(network, kept='enc1'):
    """Leave a LabNet all of its own operations and a single block, for tools that take minutes to trace six."""
    for stage in {'enc1', 'enc2', 'latent', 'dec1', 'dec2', 'refine'} - {kept}:
        setattr(network, stage, nn.Sequential())
    return network


def assert_exports_to_onnx(network, folder, shapes):
    """Exported with free sizes on the first of ``shapes``, it computes the same in ONNX Runtime on all of them."""
    free, path = torch.export.Dim.DYNAMIC, str(folder / 'network.onnx')
    sizes = ({0: free, 2: free, 3: free},)
    torch.onnx.export(network, (torch.rand(shapes[0]),), path, dynamo=True, dynamic_shapes=sizes, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    for shape in shapes:
        x = torch.rand(shape)
        (onnx,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(onnx), network(x), rtol=0, atol=1e-5)
