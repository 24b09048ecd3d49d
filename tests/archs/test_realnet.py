"""RealNet: one stream is LabNet; two are written down once more, and their strengths do what they say."""

import itertools

import plain
import pytest
import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from skimage import data as skimage_data
from small_networks import SMALL, two_streams

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.mlfr import MLFR
from stea_arch.archs.realnet_arch import STAGES, RealNet

CHEAP = {'attention': 'none', 'large_field': False}  # for tests in which the blocks do not matter


@pytest.fixture(scope='module')
def network():
    return two_streams()


def test_one_stream_is_labnet():
    assert ARCH_REGISTRY.get('RealNet') is RealNet
    assert type(RealNet(streams=1, **SMALL)) is LabNet
    with torch.device('meta'):
        assert {n: p.shape for n, p in RealNet().named_parameters()} == {
            n: p.shape for n, p in LabNet().named_parameters()
        }


@pytest.mark.parametrize(('streams', 'millions'), [(1, 3.33), (2, 6.64)])
def test_small_preset(streams, millions):
    with torch.device('meta'):
        network = RealNet(streams=streams, num_feat=32, num_blocks=(2, 2, 4, 2, 1, 1))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize('streams', [1, 2])
def test_every_stream_has_the_large_field_asked_for(streams):
    network = RealNet(streams=streams, **SMALL, dilations=(1, 3), padding='partial')
    fields = [module.fields() for module in network.modules() if isinstance(module, MLFR)]
    assert len(fields) == 6 * streams
    for wide1, _, wide3, _ in fields:
        assert (wide1.dilation, wide3.dilation) == ((1, 1), (3, 3)) and wide1.partial and wide3.partial


def equation(network, blur_lq, noise_lq, strengths=None):
    """The network from its equations, with the parts of ``plain``; strengths (b, n) or None for the learned ones."""
    weights = plain.Weights(network.state_dict())
    blur_w, noise_w = weights.at('blur'), weights.at('noise')

    def exchange(stage, blur, noise):
        w = weights.at(f'exchanges.{stage}')
        b, n = strengths or (w['deblur'], w['denoise'])
        y = w.conv('mix', torch.cat([b * blur, n * noise], 1))
        return y * w.gate('gate', y)

    def blocks(stage, blur, noise):
        return [
            plain.block(w.at(f'{stage}.0'), x, plain.stea, plain.mlfr) for w, x in ((blur_w, blur), (noise_w, noise))
        ]

    def after(stage, *pair):
        pair = blocks(stage, *pair)
        e = exchange(stage, *pair)
        return [x + e for x in pair]

    def conv(name, pair):
        return [w.conv(name, x) for w, x in zip((blur_w, noise_w), pair, strict=True)]

    enc1 = after('enc1', *conv('head', [blur_lq, noise_lq]))
    enc2 = after('enc2', *(F.pixel_unshuffle(x, 2) for x in conv('down1.0', enc1)))
    latent = after('latent', *(F.pixel_unshuffle(x, 2) for x in conv('down2.0', enc2)))
    up = [F.pixel_shuffle(x, 2) for x in conv('up1.0', latent)]
    dec1 = after('dec1', *conv('merge', [torch.cat(pair, 1) for pair in zip(enc2, up, strict=True)]))
    up = [F.pixel_shuffle(x, 2) for x in conv('up2.0', dec1)]
    dec2 = after('dec2', *(torch.cat(pair, 1) for pair in zip(enc1, up, strict=True)))
    e = exchange('refine', *blocks('refine', *dec2))
    learned = blur_w.conv('tail.2', F.pixel_shuffle(blur_w.conv('tail.0', blur_w.conv('fusion', e)), 2))
    skip = F.interpolate((blur_lq + noise_lq) / 2, scale_factor=2, mode='bicubic', align_corners=False)
    return learned + skip.clamp(0, 1)


@pytest.mark.parametrize('strengths', [None, (0, 1.5), (0.7, 0.2)])
def test_two_streams_compute_their_equation(strengths):
    network = two_streams().double()
    blur_lq, noise_lq = torch.rand(2, 2, 3, 12, 8, dtype=torch.float64)
    if strengths:
        network.set_strengths(*strengths)
    with torch.no_grad():
        expected = equation(network, blur_lq, noise_lq, strengths)
        torch.testing.assert_close(network(blur_lq, noise_lq), expected, rtol=0, atol=1e-9)
        same = network(blur_lq)
        torch.testing.assert_close(same, network(blur_lq, blur_lq), rtol=0, atol=0)


def test_strengths_start_at_one_half_are_learned_and_count_only_when_testing(network):
    fresh = RealNet(streams=2, **SMALL, deblur=1, **CHEAP)
    assert {s: e.deblur.item() for s, e in fresh.exchanges.items()} == dict.fromkeys(STAGES, 0.5)
    assert {s: e.denoise.item() for s, e in fresh.exchanges.items()} == dict.fromkeys(STAGES, 0.5)
    lq = torch.rand(1, 3, 9, 6)
    trained = fresh.train()(lq)
    tested = fresh.eval()(lq)
    assert torch.equal(fresh.set_strengths()(lq), trained) and not torch.allclose(tested, trained, atol=1e-5)

    network(torch.rand(1, 3, 12, 10)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
    network.zero_grad()


@pytest.mark.parametrize('upscale', [2, 3, 4])
@pytest.mark.parametrize('size', [(1, 1), (1, 9), (3, 4), (6, 2)])
def test_any_size(size, upscale):
    h, w = size
    with torch.no_grad():
        sr = two_streams(upscale=upscale, **CHEAP)(torch.rand(2, 3, h, w))
    assert sr.shape == (2, 3, h * upscale, w * upscale) and sr.isfinite().all()


class Photograph:
    """Patches of one photograph, sharp and reduced by 2; ``blur`` and ``noise`` are what the streams are to undo."""

    def __init__(self):
        self.image = torch.from_numpy(skimage_data.astronaut()[:256, 100:356]).permute(2, 0, 1).float() / 255
        self.generator = torch.Generator().manual_seed(0)
        gauss = torch.exp(-(torch.arange(-5.0, 6) ** 2) / (2 * 1.6**2))
        self.kernel = (gauss[:, None] * gauss / gauss.sum() ** 2).expand(3, 1, 11, 11)

    def patches(self, count, size):
        corners = torch.randint(0, 256 - size, (count, 2), generator=self.generator).tolist()
        return torch.stack([self.image[:, y : y + size, x : x + size] for y, x in corners])

    def blur(self, gt):
        return F.avg_pool2d(F.conv2d(F.pad(gt, (5,) * 4, mode='reflect'), self.kernel, groups=3), 2)

    def noise(self, like):
        return 0.1 * torch.randn(like.shape, generator=self.generator)


@pytest.fixture(scope='module')
def trained():
    """Some seconds of training on blur for one stream and noise for the other."""
    photograph = Photograph()
    torch.manual_seed(0)
    network = RealNet(streams=2, **SMALL, **CHEAP)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(50):
        gt = photograph.patches(4, 32)
        sharp = F.avg_pool2d(gt, 2)
        loss = (network(photograph.blur(gt), sharp + photograph.noise(sharp)) - gt).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval(), photograph


def share(part, of):
    """How much of a known signal is in an image: 1 all of it, 0 nothing, negative its opposite."""
    return ((part * of).sum() / (of * of).sum()).item()


def test_strengths_act_monotonically(trained):
    """On an image with both blur and noise, more ``denoise`` leaves less noise, more ``deblur`` more of the detail."""
    network, photograph = trained
    gt = photograph.patches(6, 48)
    blurred = photograph.blur(gt)
    noise = photograph.noise(blurred)

    def enlarged(x):
        return F.interpolate(x, scale_factor=2, mode='bicubic')

    left, detail, strengths = [], [], (0, 0.3, 0.6, 0.9, 1.2, 1.5)
    with torch.no_grad():
        for strength in strengths:
            network.set_strengths(denoise=strength)
            left.append(share(network(blurred + noise) - network(blurred), enlarged(noise)))
            network.set_strengths(deblur=strength)
            detail.append(share(network(blurred) - enlarged(blurred), gt - enlarged(blurred)))
    assert all(more > less for more, less in itertools.pairwise(left)), left
    assert all(less < more for less, more in itertools.pairwise(detail)), detail
    assert left[0] - left[-1] > 0.1 and detail[-1] - detail[0] > 0.01


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'streams': 3}, r'streams must be 1 .* or 2 .* got 3'),
        ({'streams': 1, 'deblur': 1.0}, r'got deblur=1\.0 and denoise=None, but one stream has no strengths'),
        ({'streams': 2, 'denoise': 1.6}, r'strength denoise must be a number from 0 to 1\.5, .* got 1\.6'),
        ({'streams': 2, 'deblur': -0.1}, r'strength deblur must be .* got -0\.1'),
        ({'streams': 2, 'deblur': True}, r'strength deblur must be .* got True'),
        ({'streams': 2, 'num_feat': 40}, r'num_feat must be .* multiple of 16'),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RealNet(**{**SMALL, **arguments})


@pytest.mark.parametrize('shapes', [[(1, 1, 8, 8)], [(3, 8, 8)], [(1, 3, 8, 8), (1, 3, 8, 9)]])
def test_wrong_input_is_refused(network, shapes):
    with pytest.raises(ValueError, match=r'RealNet expects .*\(B, 3, H, W\), or two of one shape, .*got'):
        network(*(torch.rand(shape) for shape in shapes))
