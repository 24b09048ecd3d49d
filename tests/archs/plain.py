"""LabNet written down once more, straight from the published equations, with nothing but ``F.conv2d`` and sums.

Weights are looked up in our own networks' state dicts; the order of operations, the padding and the dilation are
spelled out here again and share no code with stea_arch.
"""

import math

import torch
import torch.nn.functional as F


def randomise(module, seed=0):
    """Give every parameter a value that matters: beta and the norms far from 0, where nothing could be told apart."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if name.endswith('beta') or 'norm' in name:
                parameter.copy_(0.5 + 0.2 * noise)
            else:
                parameter.copy_(noise / math.sqrt(max(1, parameter[0].numel())))
    return module


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


class Weights:
    """A state dict with the convolutions that the equations are made of."""

    def __init__(self, weights, start=''):
        self.weights, self.start = weights, start

    def at(self, start):
        return Weights(self.weights, f'{self.start}{start}.')

    def __getitem__(self, name):
        return self.weights[self.start + name]

    def conv(self, name, x, dilation=1):
        weight = self[f'{name}.weight']
        padding = dilation * (weight.shape[-1] // 2)
        groups = x.shape[1] // weight.shape[1]
        bias = self.weights.get(f'{self.start}{name}.bias')
        return F.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=groups)

    def squeeze(self, name, x):
        return self.conv(f'{name}.2', gelu(self.conv(f'{name}.0', x)))

    def gate(self, name, x):
        return 1 / (1 + torch.exp(-self.squeeze(f'{name}.body', x.mean(3, keepdim=True).mean(2, keepdim=True))))

    def norm(self, name, x):
        x = x - x.mean(1, keepdim=True)
        x = x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-6)
        return x * self[f'{name}.weight'].view(1, -1, 1, 1) + self[f'{name}.bias'].view(1, -1, 1, 1)


def stea(p, x):
    v = p.conv('value', x)
    t1 = p.squeeze('phi2', x + p.gate('gate1', x) * p.squeeze('phi1', x))
    t2 = p.squeeze('phi3', x + v + p.gate('gate2', x) * t1)
    return t1 + t2 + p.conv('local', v) + x * gelu(p.conv('self_gate.project', x)) + x


def ttea(p, x):
    v = p.conv('value', x)
    p1 = p.gate('gate1', x) * p.squeeze('phi1', x)
    p2 = p.gate('gate2', x) * p.squeeze('phi2', p1)
    p3 = p.gate('gate3', x) * p.squeeze('phi2', p2)
    t = sum(p.squeeze('phi3', x + v + power) for power in (p1, p2, p3))
    return t + p.conv('local', v) + x * gelu(p.conv('self_gate.project', x)) + x


def partial(p, name, t, dilation):
    """Partial convolution (Liu et al., arXiv 1811.11718): sum of the taps inside, times all taps, by taps inside."""
    far = p.at(name)
    size = far['weight'].shape[-1]
    how = {'padding': dilation * (size // 2), 'dilation': dilation}
    inside = F.conv2d(torch.ones_like(t[:1, :1]), torch.ones(1, 1, size, size, dtype=t.dtype), **how)
    sums = F.conv2d(t, far['weight'], groups=t.shape[1], **how)
    return sums * size**2 / inside + far['bias'].view(1, -1, 1, 1)


def mlfr(p, t, dilations=(2, 4, 6), padding='zeros'):
    branches = []
    for i, d in enumerate(dilations):
        if padding == 'zeros':
            wide = p.conv(f'branches.{i}.far', t, dilation=d)
        else:
            wide = partial(p, f'branches.{i}.far_partial_{d}', t, d)
        near = p.conv(f'branches.{i}.near', t)
        branches.append(p.conv(f'branches.{i}.merge', torch.cat([wide, near], 1)))
    return p.conv('merge', torch.cat([*branches, p.conv('bypass', t)], 1)) + t


def block(p, f, attention=stea, large_field=mlfr):
    x = p.norm('norm1', f)
    u = large_field(p.at('large_field'), attention(p.at('attention'), x))
    a = p['beta'] * u + x * gelu(p.conv('self_gate.project', x)) + x
    local = p.conv('local.2', gelu(p.conv('local.0', x)))
    y = p.conv('merge', torch.cat([a, local], 1))
    z = f + y * p.gate('channel_attention', y)
    q = p.conv('feed_forward.spatial', p.conv('feed_forward.expand', p.norm('norm2', z)))
    q1, q2 = q[:, : q.shape[1] // 2], q[:, q.shape[1] // 2 :]
    return z + p.conv('feed_forward.reduce', gelu(q1) * q2)


def network(weights, lq, num_blocks, upscale, attention=stea, large_field=mlfr):
    """The whole network for H and W that are multiples of 4."""
    p = Weights(weights)
    depths = dict(zip(('enc1', 'enc2', 'latent', 'dec1', 'dec2', 'refine'), num_blocks))

    def stage(name, x):
        for i in range(depths[name]):
            x = block(p.at(f'{name}.{i}'), x, attention, large_field)
        return x

    enc1 = stage('enc1', p.conv('head', lq))
    enc2 = stage('enc2', F.pixel_unshuffle(p.conv('down1.0', enc1), 2))
    latent = stage('latent', F.pixel_unshuffle(p.conv('down2.0', enc2), 2))
    dec1 = stage('dec1', p.conv('merge', torch.cat([enc2, F.pixel_shuffle(p.conv('up1.0', latent), 2)], 1)))
    dec2 = stage('dec2', torch.cat([enc1, F.pixel_shuffle(p.conv('up2.0', dec1), 2)], 1))
    x = p.conv('fusion', stage('refine', dec2))
    for i, s in enumerate((2, 2) if upscale == 4 else (upscale,)):
        x = F.pixel_shuffle(p.conv(f'tail.{2 * i}', x), s)
    size = [n * upscale for n in lq.shape[-2:]]
    skip = F.interpolate(lq, size=size, mode='bicubic', align_corners=False, antialias=False).clamp(0, 1)
    return p.conv(f'tail.{4 if upscale == 4 else 2}', x) + skip
