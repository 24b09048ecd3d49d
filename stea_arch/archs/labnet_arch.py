"""LabNet, "Image Super-Resolution with Taylor Expansion Approximation and Large Field Reception" (arXiv 2408.00470)."""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from stea_arch.archs.block import ATTENTIONS, FusedBlock, LabBlock
from stea_arch.archs.fused import FusedTail
from stea_arch.archs.layers import Pointwise, Unshuffle, conv3x3, cut, fill_up
from stea_arch.registry import register


@register('ARCH_REGISTRY')
class LabNet(nn.Module):
    """LabNet: a three-level encoder-decoder of ``LabBlock``s over a bicubic skip.

    ::

        head    3x3, in -> C
        enc1    at C, full size        down1: 3x3 C -> C/2, pixel-unshuffle 2
        enc2    at 2C, half size       down2: 3x3 2C -> C, pixel-unshuffle 2
        latent  at 4C, quarter size    up1: 3x3 4C -> 8C, pixel-shuffle 2
        dec1    at 2C on P[4C->2C] [enc2, up1]
                                       up2: 3x3 2C -> 4C, pixel-shuffle 2
        dec2    at 2C on [enc1, up2]
        refine  at 2C
        fusion  3x3, 2C -> C
        tail    x4: (3x3 C -> 4C, pixel-shuffle 2) twice; x2, x3: 3x3 C -> s^2 C, pixel-shuffle s; then 3x3 C -> out
        sr      = tail + clamp(bicubic(lq), 0, 1)

    Any H, W >= 1 is taken: the features need multiples of 4, so the right and lower edges are repeated up to there and
    the result is cropped; the bicubic skip sees the input as it came. The bicubic is the one without antialiasing
    (a = -0.75) that the published weights were trained with. The gates average over the whole image, so the output of
    a tile is close to, not equal to, that part of the output of the whole.

    Args:
        num_in_ch (int): channels of the input.
        num_out_ch (int): channels of the output; equal to ``num_in_ch``, because the skip adds one to the other.
        num_feat (int): width C, a multiple of 16 (the gates squeeze C channels into C/16).
        num_blocks (sequence of six int): blocks in enc1, enc2, latent, dec1, dec2, refine; each at least 1.
        upscale (int): 2, 3 or 4.
        attention (str | None): 'stea' (learned gates, second order: published) or 'ttea' (third order, the paper's
            ablation), 'taylor' (softmax attention expanded to ``taylor_order``), 'softmax' (its O(N^2) reference) or
            'none', as which ``--force_yml`` gives None.
        large_field (bool): False leaves the MLFR out of every block, for ablations (see ``LabBlock``).
        dilations (sequence of int): of the MLFR's branches, each at least 1.
        padding (str): of the wide fields at the border of the image: 'zeros', as published, or 'partial', by which
            their sums do not shrink towards it, so that a small training patch looks like a part of a large image.
        taylor_order (int): 1, 2 or 3; only 'taylor' reads it.
        num_heads (int): heads, a divisor of ``num_feat``; only 'taylor' and 'softmax' read it.
        key_dim (int): dimension of queries and keys in one head; only 'taylor' and 'softmax' read it.
        init_scale (float): factor, above 0, on the initial weights of the last convolution: a small one starts close to
            the bicubic skip, which short trainings gain by.

    Attributes:
        hyperparameters (dict): all of these arguments, as spandrel keeps them; sequences as lists.

    Raises:
        ValueError: an argument is outside of what is listed here.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_blocks: Sequence[int] = (6, 8, 10, 6, 8, 8),
        upscale: int = 4,
        attention: str | None = 'stea',
        large_field: bool = True,
        dilations: Sequence[int] = (2, 4, 6),
        padding: str = 'zeros',
        taylor_order: int = 2,
        num_heads: int = 4,
        key_dim: int = 4,
        init_scale: float = 1.0,
    ):
        super().__init__()
        attention = 'none' if attention is None else attention
        _check_arguments(num_in_ch, num_out_ch, num_feat, num_blocks, upscale)
        _check_ablations(attention, dilations, padding, taylor_order, num_heads, key_dim, num_feat)
        if not 0 < init_scale < math.inf:
            raise ValueError(f'init_scale must be a number above 0, got {init_scale!r}. Published: 1.')
        self.num_in_ch = num_in_ch
        self.upscale = upscale
        self.hyperparameters = {
            'num_in_ch': num_in_ch,
            'num_out_ch': num_out_ch,
            'num_feat': num_feat,
            'num_blocks': list(num_blocks),
            'upscale': upscale,
            'attention': attention,
            'large_field': large_field,
            'dilations': list(dilations),
            'padding': padding,
            'taylor_order': taylor_order,
            'num_heads': num_heads,
            'key_dim': key_dim,
            'init_scale': init_scale,
        }
        c = num_feat

        heads = {'num_heads': num_heads, 'key_dim': key_dim}
        arguments = {'softmax': heads, 'taylor': {'order': taylor_order, **heads}}.get(attention, {})

        def stage(width, depth):
            blocks = (LabBlock(width, attention, large_field, dilations, padding, **arguments) for _ in range(depth))
            return nn.Sequential(*blocks)

        self.head = conv3x3(num_in_ch, c)
        self.enc1 = stage(c, num_blocks[0])
        self.down1 = nn.Sequential(conv3x3(c, c // 2, bias=False), Unshuffle(2))
        self.enc2 = stage(2 * c, num_blocks[1])
        self.down2 = nn.Sequential(conv3x3(2 * c, c, bias=False), Unshuffle(2))
        self.latent = stage(4 * c, num_blocks[2])
        self.up1 = nn.Sequential(conv3x3(4 * c, 8 * c, bias=False), nn.PixelShuffle(2))
        self.merge = Pointwise(4 * c, 2 * c)
        self.dec1 = stage(2 * c, num_blocks[3])
        self.up2 = nn.Sequential(conv3x3(2 * c, 4 * c, bias=False), nn.PixelShuffle(2))
        self.dec2 = stage(2 * c, num_blocks[4])
        self.refine = stage(2 * c, num_blocks[5])
        self.fusion = conv3x3(2 * c, c)
        steps = (2, 2) if upscale == 4 else (upscale,)
        layers = [layer for s in steps for layer in (conv3x3(c, s * s * c), nn.PixelShuffle(s))]
        self.tail = nn.Sequential(*layers, conv3x3(c, num_out_ch))
        with torch.no_grad():
            self.tail[-1].weight.mul_(init_scale)

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        """Upscale a batch of images.

        Args:
            lq (Tensor): ``(B, num_in_ch, H, W)`` in [0, 1], any H, W >= 1.

        Returns:
            Tensor: ``(B, num_out_ch, upscale H, upscale W)``, about [0, 1], not clamped.

        Raises:
            ValueError: ``lq`` has another number of dimensions or channels.
        """
        if lq.ndim != 4 or lq.shape[1] != self.num_in_ch:
            raise ValueError(
                f'LabNet expects a batch of images (B, {self.num_in_ch}, H, W), got a tensor of shape '
                f'{tuple(lq.shape)}. Convert the images, or build the network with a matching num_in_ch.'
            )
        x = fill_up(lq)
        enc1 = self.enc1(self.head(x))
        enc2 = self.enc2(self.down1(enc1))
        latent = self.latent(self.down2(enc2))
        dec1 = self.dec1(self.merge(torch.cat([enc2, self.up1(latent)], dim=1)))
        dec2 = self.dec2(torch.cat([enc1, self.up2(dec1)], dim=1))
        sr = self.tail(self.fusion(self.refine(dec2)))

        bicubic = F.interpolate(lq, scale_factor=self.upscale, mode='bicubic', align_corners=False).clamp(0, 1)
        return cut(sr, lq, self.upscale) + bicubic

    def fuse(self) -> nn.Module:
        """An equivalent network for inference, which is faster and takes less memory.

        Its blocks are ``FusedBlock``s, its tail a ``FusedTail``, everything else is as it was, and so are the arguments
        and the result of ``forward``. It differs by rounding, about 1e-6 in fp32. It is a copy in eval mode, without
        gradients, that does not follow this network's training; its weights are not for saving.

        Returns:
            LabNet: on the device and in the type of this network.
        """
        return fuse_parts(self)


def compile_blocks(network):
    """Let ``torch.compile`` compile every ``LabBlock`` of a network in place; blocks of one size share the code.

    Parameters, their names and everything outside of the blocks stay as they are. The first pass with each size of
    input compiles, which takes a minute or so.

    Raises:
        ValueError: The network has no such block.
    """
    blocks = [module for module in network.modules() if isinstance(module, LabBlock)]
    if not blocks:
        raise ValueError(f'Blocks of LabNet or RealNet were expected to compile, got a {type(network).__name__}.')
    # for the sizes of one run; called recompile_limit from torch 2.7 on, which knows the older name too
    torch._dynamo.config.cache_size_limit = max(16, torch._dynamo.config.cache_size_limit)
    for block in blocks:
        block.compile(dynamic=False)


def fuse_parts(network):
    """A copy of any network for inference: a ``FusedBlock`` for every ``LabBlock``, a ``FusedTail`` for every tail."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, LabBlock):
                setattr(parent, name, FusedBlock(child))
            elif name == 'tail' and isinstance(parent, LabNet) and not isinstance(child, FusedTail):
                parent.tail = FusedTail(child)
    return network.eval().requires_grad_(False)


def _check_arguments(num_in_ch, num_out_ch, num_feat, num_blocks, upscale):
    if num_in_ch != num_out_ch or num_in_ch < 1:
        raise ValueError(
            f'LabNet adds the enlarged input to its output, so num_in_ch and num_out_ch must be the same positive '
            f'number, got num_in_ch={num_in_ch} and num_out_ch={num_out_ch}. Set both to the channels of your '
            'images.'
        )
    if type(num_feat) is not int or num_feat < 16 or num_feat % 16:
        raise ValueError(
            'num_feat must be a whole positive multiple of 16, because the gates squeeze it by 16, got '
            f'{num_feat!r}. Use 16, 32, 48 or 64, the published width.'
        )
    whole = isinstance(num_blocks, Sequence) and all(type(n) is int and n >= 1 for n in num_blocks)
    if not whole or len(num_blocks) != 6:
        raise ValueError(
            'num_blocks must be six whole numbers of at least 1, for enc1, enc2, latent, dec1, dec2 and refine, got '
            f'{num_blocks!r}. The published network has [6, 8, 10, 6, 8, 8].'
        )
    if upscale not in (2, 3, 4):
        raise ValueError(f'upscale must be 2, 3 or 4, got {upscale!r}. Set network_g.upscale to the scale.')


def _check_ablations(attention, dilations, padding, taylor_order, num_heads, key_dim, num_feat):
    if attention not in ATTENTIONS:
        raise ValueError(
            "attention must be 'stea' (learned gates, published), 'ttea' (the same, third order), 'taylor' (softmax "
            f"expanded), 'softmax' or 'none', got {attention!r}."
        )
    whole = isinstance(dilations, Sequence) and all(type(d) is int and d >= 1 for d in dilations)
    if not whole or not dilations:
        raise ValueError(
            'dilations must be one or more whole numbers of at least 1, a branch of the large field for each, got '
            f'{dilations!r}. The published network has [2, 4, 6]; large_field=False leaves all of them out.'
        )
    if padding not in ('zeros', 'partial'):
        raise ValueError(f"padding must be 'zeros' (published) or 'partial', got {padding!r}.")
    if taylor_order not in (1, 2, 3):
        raise ValueError(f'taylor_order must be 1, 2 or 3, got {taylor_order!r}.')
    if type(num_heads) is not int or num_heads < 1 or num_feat % num_heads:
        raise ValueError(
            f'num_heads must be a divisor of num_feat, which is {num_feat}, as the heads share its channels out, got '
            f'{num_heads!r}. Use 1, 2, 4, 8 or 16.'
        )
    if type(key_dim) is not int or key_dim < 1:
        raise ValueError(f'key_dim must be a whole number of at least 1, got {key_dim!r}. Use e.g. 4.')
