"""LabNet's forward, walked stage by stage with whole feature maps that are computed in parts."""

import torch
import torch.nn.functional as F

from stea_arch.inference.whole import make_result, put
from stea_arch.system.errors import InputError

PARTS = ('head', 'enc1', 'down1', 'enc2', 'down2', 'latent', 'up1', 'merge', 'dec1', 'up2', 'dec2', 'refine')
HALO_OF_TAIL = 3  # fusion, then at x4: 3x3 at full, half and a quarter of the pixel size, 2.75 in all; else below that
HALO_OF_BICUBIC = 2


def upscale_in_parts(net, lq, run, out=None):
    """What ``net(lq)`` gives, with never more than a few feature maps in memory.

    At most four times C channels of the size of the image exist at once: in the last two stages, which are twice as
    wide, the map and ``y`` of ``LabBlock``. The enlarged features of the tail exist only as strips.

    Args:
        net (nn.Module): a LabNet, or a RealNet of one or two streams; also in its fused form.
        lq (Tensor): ``(B, C, H, W)`` in [0, 1], any H, W >= 1.
        run (Strips): how a stage is computed.
        out (Tensor | ndarray | None): see :func:`stea_arch.inference.upscale.upscale_tensor`.

    Returns:
        Tensor: ``(B, C, upscale H, upscale W)``.

    Raises:
        ValueError: ``net`` is not built of LabNet's parts, or has another number of input channels.
    """
    streams = (net.blur, net.noise) if hasattr(net, 'exchanges') else (net,)
    if not all(hasattr(stream, part) for stream in streams for part in PARTS):
        raise InputError(
            "The method 'strips' follows the parts of a LabNet or RealNet, got a network of type "
            f"{type(net).__name__}. Use 'tiles', which any network can do, or 'whole'."
        )
    if lq.shape[1] != streams[0].num_in_ch:
        raise InputError(
            f'The network expects images of {streams[0].num_in_ch} channels, got {lq.shape[1]}. Convert them.'
        )
    h, w = lq.shape[-2:]
    x = F.pad(lq, (0, -w % 4, 0, -h % 4), mode='replicate').contiguous(memory_format=torch.channels_last)
    return _tail(streams[0], _features(net, streams, x, run), lq, run, out)


def _features(net, streams, x, run):
    """The output of the last stage for the padded image ``x``."""
    quarter = x.shape[run.axis] // 4

    def stage(name, maps):
        maps = [run.stage(getattr(stream, name), f) for stream, f in zip(streams, maps)]
        if len(streams) > 1:
            e = _exchange(net, name, maps, run)
            maps = [e] if name == 'refine' else [f.add_(e) for f in maps]
        return maps

    def down(name, maps, units):
        return [run.map(getattr(stream, name), (f,), 1, units) for stream, f in zip(streams, maps)]

    def join(function, fine, coarse, units):
        return [run.map(lambda a, b, s=s: function(s, a, b), both, 1, units) for s, *both in zip(streams, fine, coarse)]

    enc1 = stage('enc1', [run.map(stream.head, (x,), halo=1) for stream in streams])
    enc2 = stage('enc2', down('down1', enc1, 2 * quarter))
    latent = stage('latent', down('down2', enc2, quarter))
    joined = join(lambda s, a, b: s.merge(torch.cat([a, s.up1(b)], dim=1)), enc2, latent, quarter)
    del enc2, latent
    dec1 = stage('dec1', joined)
    joined = join(lambda s, a, b: torch.cat([a, s.up2(b)], dim=1), enc1, dec1, 2 * quarter)
    del enc1, dec1
    return stage('refine', stage('dec2', joined))[0]


def _exchange(net, name, maps, run):
    """What the two streams of a RealNet tell each other after a stage: ``Exchange`` in parts."""
    exchange = net.exchanges[name]
    b, n = (
        getattr(exchange, strength) if getattr(net, strength) is None else getattr(net, strength)
        for strength in ('deblur', 'denoise')
    )
    return run.gated(lambda x, y: exchange.mix(torch.cat([b * x, n * y], dim=1)), maps, exchange.gate)


def _tail(net, features, lq, run, out):
    """``tail(fusion(features)) + bicubic(lq)``, written to the result strip by strip."""
    axis, scale, length = run.axis, net.upscale, lq.shape[run.axis]
    shape = (*lq.shape[:2], lq.shape[2] * scale, lq.shape[3] * scale)
    result = None
    for start, end in run.spans(length, scale):
        low, high = max(0, start - HALO_OF_TAIL), min(features.shape[axis], end + HALO_OF_TAIL)
        sr = run.cut(net.tail(net.fusion(run.cut(features, low, high))), (start - low) * scale, (end - low) * scale)
        low, high = max(0, start - HALO_OF_BICUBIC), min(length, end + HALO_OF_BICUBIC)
        skip = F.interpolate(run.cut(lq, low, high), scale_factor=scale, mode='bicubic', align_corners=False)
        skip = run.cut(skip, (start - low) * scale, (end - low) * scale).clamp(0, 1)
        strip = sr.narrow(5 - axis, 0, shape[5 - axis]) + skip
        if result is None:
            result = make_result(out, shape, strip)
        put(run.cut(result, start * scale, end * scale), strip)
    return result
