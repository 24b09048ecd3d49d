"""BasicSR's own RealESRGANModel.feed_data on the CPU, free or with given random numbers: what ours is compared with."""

import random

import numpy as np
import torch
from basicsr.data.degradations import add_gaussian_noise_pt, add_poisson_noise_pt
from basicsr.models import realesrgan_model
from basicsr.utils import DiffJPEG
from basicsr.utils.img_process_util import filter2D

JPEGER = DiffJPEG(differentiable=False)
OPTIONS = {  # train_realesrnet_x4plus.yml of Real-ESRGAN
    'resize_prob': [0.2, 0.7, 0.1],
    'resize_range': [0.15, 1.5],
    'gaussian_noise_prob': 0.5,
    'noise_range': [1, 30],
    'poisson_scale_range': [0.05, 3],
    'gray_noise_prob': 0.4,
    'jpeg_range': [30, 95],
    'second_blur_prob': 0.8,
    'resize_prob2': [0.3, 0.4, 0.3],
    'resize_range2': [0.3, 1.2],
    'gaussian_noise_prob2': 0.5,
    'noise_range2': [1, 25],
    'poisson_scale_range2': [0.05, 2.5],
    'gray_noise_prob2': 0.4,
    'jpeg_range2': [30, 95],
}


def plain_blur(img, kernels):
    """filter2D, which cannot view what DiffJPEG returns on the CPU."""
    return filter2D(img.contiguous(), kernels)


def feed(gt, kernels, gt_size, monkeypatch, scale=4, blur=plain_blur):
    """feed_data of a model without networks, sharpening and pool; returns the low-quality batch."""
    monkeypatch.setattr(realesrgan_model, 'filter2D', blur)
    model = realesrgan_model.RealESRGANModel.__new__(realesrgan_model.RealESRGANModel)
    model.opt = {**OPTIONS, 'scale': scale, 'gt_size': gt_size}
    model.device, model.is_train = torch.device('cpu'), True
    model.jpeger, model.usm_sharpener = JPEGER, lambda img: img
    model._dequeue_and_enqueue = lambda: None
    model.feed_data({'gt': gt, **kernels})
    return model.lq


def feed_aligned(gt, kernels, params, monkeypatch):
    """The same with every random number taken from ``params`` instead of BasicSR's sources."""
    passes = (params.first, params.second)
    names = iter(['keep' if one.factor == 1 else 'up' if one.factor > 1 else 'down' for one in passes])
    modes = iter([params.first.mode, params.second.mode, params.final_mode])
    qualities = iter([params.first.qualities, params.second.qualities])
    noises = iter([params.first.noise, params.second.noise])
    size, (height, width) = params.gt_size // params.scale, (length // params.scale for length in gt.shape[-2:])
    places = iter([int(params.top * (height - size + 1)), int(params.left * (width - size + 1))])
    uniforms = []
    for number, one in enumerate(passes):
        uniforms += [] if number == 0 else [0 if one.blur else 0.9999]
        uniforms += [] if one.factor == 1 else [one.factor]
        uniforms += [0 if one.noise.kind == 'gaussian' else 0.9999]
    uniforms = iter([*uniforms, 0 if params.jpeg_last else 0.9999])

    monkeypatch.setattr(random, 'choices', lambda *_: [next(names)])
    monkeypatch.setattr(random, 'choice', lambda _: next(modes))
    monkeypatch.setattr(random, 'randint', lambda *_: next(places))
    monkeypatch.setattr(np.random, 'uniform', lambda *_: next(uniforms))
    monkeypatch.setattr(torch.Tensor, 'uniform_', lambda self, *_: self.copy_(torch.tensor(next(qualities))))
    for kind in ('gaussian', 'poisson'):
        monkeypatch.setattr(realesrgan_model, f'random_add_{kind}_noise_pt', lambda img, **_: _add(img, next(noises)))
    lq = feed(gt, kernels, params.gt_size, monkeypatch, params.scale)
    assert all(next(source, None) is None for source in (names, modes, qualities, noises, places, uniforms))
    return lq


def _add(img, noise):
    """BasicSR's noise with the drawn level; only the last sample may be gray: its random numbers run on differently."""
    torch.manual_seed(noise.seed)
    add, level = {
        'gaussian': (add_gaussian_noise_pt, 'sigma'),
        'poisson': (add_poisson_noise_pt, 'scale'),
    }[noise.kind]
    samples = [
        add(sample[None], **{level: value}, gray_noise=float(gray), clip=True)
        for sample, value, gray in zip(img, noise.levels, noise.gray, strict=True)
    ]
    return torch.cat(samples)
