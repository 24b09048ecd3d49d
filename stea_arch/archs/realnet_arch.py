"""RealNet, the generator for real photographs: LabNet alone, or a deblur and a denoise stream of its blocks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from stea_arch.archs.labnet_arch import LabNet, fuse_parts
from stea_arch.archs.layers import ChannelGate, Pointwise, average, cut, fill_up
from stea_arch.registry import register

STAGES = {'enc1': 1, 'enc2': 2, 'latent': 4, 'dec1': 2, 'dec2': 2, 'refine': 2}  # LabNet's, and their width over C
LARGEST = 1.5  # of a strength that is set by hand


@register('ARCH_REGISTRY')
def RealNet(
    streams: int = 1,
    num_in_ch: int = 3,
    num_out_ch: int = 3,
    num_feat: int = 64,
    num_blocks: Sequence[int] = (6, 8, 10, 6, 8, 8),
    upscale: int = 4,
    attention: str | None = 'stea',
    large_field: bool = True,
    dilations: Sequence[int] = (2, 4, 6),
    padding: str = 'zeros',
    init_scale: float = 1.0,
    deblur: float | None = None,
    denoise: float | None = None,
) -> nn.Module:
    """Build the generator that is trained on second-order degradations.

    With one stream this is the published one, which is LabNet itself (arXiv 2408.00470, section on real images): the
    result is a ``LabNet``, its weights are LabNet's, and what ``load_published`` returns is one. Two streams are the
    authors' unpublished variant, see ``TwoStreams``.

    Args:
        streams (int): 1, the published generator, or 2, a deblur and a denoise stream.
        num_in_ch, num_out_ch, num_feat, num_blocks, upscale, attention, large_field, dilations, padding, init_scale: as
            ``LabNet``'s, of each stream.
        deblur (float | None): strength of the deblur stream after training; only with two streams, see
            ``TwoStreams.set_strengths``.
        denoise (float | None): the same of the denoise stream.

    Returns:
        LabNet | TwoStreams: takes and gives ``(B, 3, H, W)`` in [0, 1].

    Raises:
        ValueError: an argument is outside of what is listed.
    """
    if streams not in (1, 2):
        raise ValueError(f'streams must be 1 (the published generator) or 2 (deblur and denoise), got {streams!r}.')
    arguments = {
        'num_in_ch': num_in_ch,
        'num_out_ch': num_out_ch,
        'num_feat': num_feat,
        'num_blocks': num_blocks,
        'upscale': upscale,
        'attention': attention,
        'large_field': large_field,
        'dilations': dilations,
        'padding': padding,
        'init_scale': init_scale,
    }
    if streams == 2:
        return TwoStreams(deblur=deblur, denoise=denoise, **arguments)
    if deblur is not None or denoise is not None:
        raise ValueError(
            f'got deblur={deblur!r} and denoise={denoise!r}, but one stream has no strengths. Leave them out, or '
            'build (and train) the network with streams=2.'
        )
    return LabNet(**arguments)


class Exchange(nn.Module):
    """What two streams tell each other after a stage.

    With learned strengths b and n, which start at 0.5::

        y = P[2C->C] [b * blur, n * noise]
        e = y * gate(avg y)

    Args:
        num_feat (int): channels C of a stream, at least 16.
    """

    def __init__(self, num_feat):
        super().__init__()
        self.deblur = nn.Parameter(torch.full((1,), 0.5))
        self.denoise = nn.Parameter(torch.full((1,), 0.5))
        self.mix = Pointwise(2 * num_feat, num_feat)
        self.gate = ChannelGate(num_feat)

    def forward(self, blur, noise, deblur=None, denoise=None):
        """``e``, ``(B, C, H, W)``, of two of that shape; a strength that is given takes the learned one's place."""
        b = self.deblur.to(blur.dtype) if deblur is None else deblur
        n = self.denoise.to(noise.dtype) if denoise is None else denoise
        y = self.mix(torch.cat([b * blur, n * noise], dim=1))
        return y * self.gate(average(y))


class TwoStreams(nn.Module):
    """Two LabNets side by side, one against blur and one against noise, that exchange features after every stage.

    ::

        blur, noise = stage of each stream             enc1, enc2, latent, dec1, dec2, refine
        e           = Exchange(blur, noise)
        blur, noise = blur + e, noise + e              goes on as in LabNet
        sr          = tail(fusion(e of refine)) + clamp(bicubic((blur_lq + noise_lq) / 2), 0, 1)

    In training the deblur stream gets a version of the image that is only blurred, the denoise stream one that is only
    noisy (noise and JPEG); afterwards both get the same image. The strengths b and n of all exchanges can then be set,
    which weighs one stream's work against the other's: at 0 a stream is not heard. The authors' code has this variant
    without a description; that ``e`` is added to both streams, that the last ``e`` alone makes the image, and that the
    skip is the mean of the inputs are our reading.

    Sizes, skip and the averages over the whole image are as in ``LabNet``. Costs a little more than two LabNets.

    Args:
        deblur (float | None), denoise (float | None): see :meth:`set_strengths`.
        **arguments: those of each LabNet.

    Raises:
        ValueError: an argument of LabNet or a strength is out of range.
    """

    def __init__(self, deblur=None, denoise=None, **arguments):
        super().__init__()
        self.blur = LabNet(**arguments)
        self.noise = LabNet(**arguments)
        del self.noise.fusion, self.noise.tail  # one image comes out, through those of the other
        num_feat = self.blur.head.out_channels
        self.exchanges = nn.ModuleDict({stage: Exchange(width * num_feat) for stage, width in STAGES.items()})
        self.num_in_ch, self.upscale = self.blur.num_in_ch, self.blur.upscale
        self.hyperparameters = {'streams': 2, **{name: self.blur.hyperparameters[name] for name in arguments}}
        self.set_strengths(deblur, denoise)

    def set_strengths(self, deblur=None, denoise=None):
        """Set how strongly the streams are heard in eval mode; in training the learned strengths count.

        Args:
            deblur (float | None): 0 to 1.5, in every exchange; None: what each has learned (which began at 0.5).
            denoise (float | None): the same of the other stream.

        Returns:
            TwoStreams: self.

        Raises:
            ValueError: a strength is out of range.
        """
        for name, value in (('deblur', deblur), ('denoise', denoise)):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 <= value <= LARGEST):
                raise ValueError(
                    f'The strength {name} must be a number from 0 to {LARGEST}, or None for the learned ones, got '
                    f'{value!r}.'
                )
        self.deblur, self.denoise = deblur, denoise
        return self

    def forward(self, lq, noise_lq=None):
        """Upscale a batch of images.

        Args:
            lq (Tensor): ``(B, C, H, W)`` in [0, 1], any H, W >= 1; what the deblur stream gets.
            noise_lq (Tensor | None): the same shape; what the denoise stream gets. Default: ``lq``.

        Returns:
            Tensor: ``(B, C, upscale H, upscale W)``, about [0, 1], not clamped.

        Raises:
            ValueError: a shape is not that of images, or the two differ.
        """
        noise_lq = lq if noise_lq is None else noise_lq
        if lq.ndim != 4 or lq.shape[1] != self.num_in_ch or lq.shape != noise_lq.shape:
            raise ValueError(
                f'RealNet expects a batch of images (B, {self.num_in_ch}, H, W), or two of one shape, got tensors '
                f'of shape {tuple(lq.shape)} and {tuple(noise_lq.shape)}.'
            )
        enc1 = self._stage('enc1', self._each('head', [fill_up(lq), fill_up(noise_lq)]))
        enc2 = self._stage('enc2', self._each('down1', enc1))
        latent = self._stage('latent', self._each('down2', enc2))
        dec1 = self._stage('dec1', self._each('merge', _join(enc2, self._each('up1', latent))))
        dec2 = self._stage('dec2', _join(enc1, self._each('up2', dec1)))
        sr = self.blur.tail(self.blur.fusion(self._exchange('refine', self._each('refine', dec2))))

        skip = F.interpolate((lq + noise_lq) / 2, scale_factor=self.upscale, mode='bicubic', align_corners=False)
        return cut(sr, lq, self.upscale) + skip.clamp(0, 1)

    def fuse(self):
        """An equivalent network for inference, see ``LabNet.fuse``; its strengths can still be set."""
        return fuse_parts(self)

    def _each(self, name, pair):
        return [getattr(stream, name)(x) for stream, x in zip((self.blur, self.noise), pair, strict=True)]

    def _exchange(self, name, pair):
        strengths = (None, None) if self.training else (self.deblur, self.denoise)
        return self.exchanges[name](*pair, *strengths)

    def _stage(self, name, pair):
        pair = self._each(name, pair)
        e = self._exchange(name, pair)
        return [x + e for x in pair]


def _join(first, second):
    return [torch.cat(both, dim=1) for both in zip(first, second, strict=True)]
