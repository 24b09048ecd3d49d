"""The networks that benchmarks/gpu.py compares, and the forms that a step of them takes.

A form is written as parts joined by ``+``, e.g. ``ours+kernels+compile+graph``:

    plain      the authors' operations: dilated 9x9 kernels left to the library, 1x1 convolutions one after the other
    ours       LabNet as it is: each dilated 9x9 as an undilated one on interleaved sub-images, 1x1 convolutions merged
    fused      LabNet.fuse(), for inference
    first      channels first instead of channels-last, for networks that are not LabNet
    last       channels-last, for those
    kernels    with the Triton kernels (stea_arch/triton_ops)
    planes     with the kernels, the depthwise group on the matrix units
    compile    every block through torch.compile
    graph      the whole step as one CUDA graph

A training step is forward, L1 loss, backward and fused Adam; bf16 and fp16 mean such weights in inference and autocast
in training. fp32 is PyTorch's default: TF32 in convolutions.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from gpu_timing import capture
from plain_form import make_labnet, make_plain

from stea_arch import triton_ops
from stea_arch.archs.labnet_arch import LabNet

SWINIR = {
    'upscale': 4, 'img_size': 64, 'img_range': 1.0, 'depths': [6] * 6, 'embed_dim': 180, 'num_heads': [6] * 6,
    'upsampler': 'pixelshuffle', 'resi_connection': '1conv',
}  # fmt: skip
SMALL = {'num_feat': 32, 'num_blocks': (2, 2, 4, 2, 1, 1), 'dilations': (2, 3), 'padding': 'partial'}
NETWORKS = {
    'LabNet': ('LabNet', {}),
    'LabNet-S': ('LabNet', SMALL),
    'EDSR-L': ('EDSR', {'num_feat': 256, 'num_block': 32, 'res_scale': 0.1}),
    'EDSR': ('EDSR', {'num_feat': 64, 'num_block': 16}),
    'RCAN': ('RCAN', {'num_feat': 64, 'num_group': 10, 'num_block': 20}),
    'SwinIR': ('SwinIR', {**SWINIR, 'window_size': 8, 'mlp_ratio': 2}),
    'SwinIR, window 16, of the size of HAT': ('SwinIR', {**SWINIR, 'window_size': 16, 'mlp_ratio': 4}),
}
TOY = {
    'LabNet': ('LabNet', {'num_feat': 16, 'num_blocks': (1, 1, 1, 1, 1, 1), 'dilations': (1,)}),
    'EDSR': ('EDSR', {'num_feat': 8, 'num_block': 1}),
}
BLOCKS = ('LabBlock', 'FusedBlock', 'ResidualBlockNoBN', 'RCAB', 'SwinTransformerBlock')
DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16, 'fp32': torch.float32}


@dataclass(frozen=True)
class Case:
    """One network on one size of input; ``network`` is a key of ``NETWORKS`` or ``TOY``."""

    network: str
    batch: int
    height: int
    width: int
    dtype: str
    train: bool

    def __str__(self):
        mode = 'training step' if self.train else 'inference'
        return f'{self.network} {mode} {self.batch}x{self.height}x{self.width} {self.dtype}'


def make_network(name, device, toy=False, short=False):
    """One of the networks, its ``beta`` and norms random: at its start value of 0, ``beta`` hides the large field.

    ``short`` leaves out all blocks of a LabNet but two a stage.
    """
    kind, arguments = (TOY if toy else NETWORKS)[name]
    arguments = {'upscale': 4, **arguments}
    if short and kind == 'LabNet':
        arguments['num_blocks'] = (2, 2, 2, 2, 2, 2)
    if kind == 'LabNet':
        return make_labnet(**arguments).to(device)
    import basicsr.archs  # noqa: F401 (fills the registry)
    from basicsr.utils.registry import ARCH_REGISTRY

    if kind != 'SwinIR':
        arguments |= {'num_in_ch': 3, 'num_out_ch': 3}
    return ARCH_REGISTRY.get(kind)(**arguments).to(device)


def compile_blocks(network, backend='inductor'):
    """Compile every block by itself; those of one size share the result."""
    torch._dynamo.config.cache_size_limit = 64  # one for each size of block, with and without kernels
    for module in [module for module in network.modules() if type(module).__name__ in BLOCKS]:
        module.compile(backend=backend, dynamic=False)


def switched(function, on, planes=False):
    """``function`` with the kernels on or off."""

    def run():
        if on:
            triton_ops.enable(planes)
        else:
            triton_ops.disable()
        return function()

    return run


def make_input(case, device):
    """Images of a ``case``, as bytes would give them, and what the network is to make of them."""
    generator = torch.Generator().manual_seed(0)
    lq = torch.randint(0, 256, (case.batch, 3, case.height, case.width), generator=generator).float() / 255
    return lq.to(device), F.interpolate(lq, scale_factor=4).to(device)


def make_step(case, form, device, toy=False, short=False):
    """One inference or training step as a function without arguments: the output, or the loss.

    Raises:
        RuntimeError: a graph is asked for on a CPU, or kernels are where there is no Triton.
    """
    parts = form.split('+')
    torch.manual_seed(0)
    network = make_network(case.network, device, toy, short)
    if 'plain' in parts:
        network = make_plain(network)
    if 'fused' in parts:
        network = network.fuse()
    lq, gt = make_input(case, device)
    if isinstance(network, LabNet) or 'last' in parts:
        network = network.to(memory_format=torch.channels_last)
        lq = lq.contiguous(memory_format=torch.channels_last)
    if not case.train:
        network, lq = network.to(DTYPES[case.dtype]).eval(), lq.to(DTYPES[case.dtype])
    if 'compile' in parts:
        compile_blocks(network, 'eager' if toy else 'inductor')
    make = make_training_step if case.train else make_inference_step
    step = make(network, lq, gt, DTYPES[case.dtype])
    step = switched(step, 'kernels' in parts or 'planes' in parts, 'planes' in parts)
    if 'graph' not in parts:
        return step
    if device.type != 'cuda':
        raise RuntimeError('a CUDA graph needs CUDA')
    return capture(step)


def make_inference_step(network, lq, gt, dtype):
    def infer():
        with torch.inference_mode():
            return network(lq)

    return infer


def make_training_step(network, lq, gt, dtype):
    on_gpu = lq.device.type == 'cuda'
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=True, capturable=on_gpu)

    def step():
        optimizer.zero_grad(set_to_none=True)
        # a cast kept from one call to the next would be missing from the graph's replays
        with torch.autocast(lq.device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False):
            output = network(lq)
        loss = F.l1_loss(output.float(), gt)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
