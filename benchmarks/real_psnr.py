"""What networks restore of photographs under strong and under mild faults, where truth is known.

The middle square of every image of a folder is degraded, with a seed of its own, and upscaled: PSNR and SSIM on Y
against the image before, a border of the scale left out, results rounded to 8 bits, means over the images. Strong
faults: it is sharpened, and gets a second-order degradation of Real-ESRGAN's ranges. Mild ones: it is made smaller by
MATLAB's bicubic, gets Gaussian noise of 0 to 8 (of 255) and becomes a JPEG of quality 70 to 95. Photographs without
truth only allow NIQE, which hardly tells such networks apart.

    python benchmarks/real_psnr.py realnet-s-x4 labnet-s-x4 --base labnet-s-x4 --images datasets/benchmark/BSD100
"""

import argparse
import io
import json
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from PIL import Image

from stea_arch.compare.evaluate import metric_options
from stea_arch.data.image_io import decode, list_images
from stea_arch.degradations.resize import imresize
from stea_arch.degradations.second_order import SecondOrderSampler
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.results.contact_sheet import apply_sample, draw_samples, middle
from stea_arch.results.summary import measure
from stea_arch.system.versions import get_versions
from stea_arch.upscaling.upscaler import Upscaler


def bicubic(image, scale):
    """8-bit ``(H, W, 3)`` -> the same, larger, as MATLAB does it."""
    return (imresize(image.astype(np.float32) / 255, scale).clip(0, 1) * 255).round().astype(np.uint8)


def squares(folder, size, scale, seed):
    """For each image of a folder its name, its middle square, (S, S, 3), uint8, and a seed of its own."""
    for number, name in enumerate(list_images(folder)):
        yield name, middle(decode(Path(folder, name).read_bytes(), name, allow_gray=True), size, scale), seed + number


def degraded(folder, size, scale, seed):
    """For each image of a folder its name, the degraded middle square and the square itself, (S, S, 3), uint8."""
    sampler, kernel_sampler = SecondOrderSampler(scale), KernelSampler()
    for name, gt, own_seed in squares(folder, size, scale, seed):
        (sample,) = draw_samples(1, len(gt), sampler, kernel_sampler, own_seed)
        yield name, apply_sample(gt, *sample), gt


def mildly_degraded(folder, size, scale, seed):
    """As :func:`degraded`, with mild faults."""
    for name, gt, own_seed in squares(folder, size, scale, seed):
        rng = np.random.default_rng(own_seed)
        yield name, reduced(gt, scale, rng.uniform(0, 8), int(rng.integers(70, 96)), own_seed), gt


def reduced(gt, scale, noise, quality, seed=0):
    """8-bit ``(H, W, 3)`` -> smaller by ``scale``, with Gaussian noise of this sigma, through a JPEG."""
    lq = imresize(gt.astype(np.float32), 1 / scale)
    lq += np.random.default_rng(seed).normal(0, noise, lq.shape)
    file = io.BytesIO()
    Image.fromarray(lq.clip(0, 255).round().astype(np.uint8)).save(file, 'JPEG', quality=quality)
    return np.asarray(Image.open(file))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('networks', nargs='+', help='names of shipped networks or checkpoints, of one scale')
    parser.add_argument('--base', help='also the first network with weights halfway to those of this one')
    parser.add_argument('--images', type=Path, required=True, help='folder of sharp photographs')
    parser.add_argument('--size', type=int, default=320, help='largest side of the square that is used')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.json'))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    networks = {name: Upscaler(name, 'cpu') for name in args.networks}
    if args.base:
        first = args.networks[0]
        networks[f'{first}, halfway to {args.base}'] = Upscaler(first, 'cpu', base=args.base, strength=0.5)
    scales = {network.scale for network in networks.values()}
    if len(scales) > 1:
        parser.error(f'the networks have the scales {sorted(scales)}: compare those of one scale')
    (scale,) = scales
    networks = {'bicubic': partial(bicubic, scale=scale), **networks}
    metrics = metric_options(['psnr', 'ssim'], scale, has_truth=True)
    report = {
        'protocol': f'images of {args.images.name}, the middle {args.size} pixels, x{scale}, seeds from {args.seed}',
        'versions': get_versions(),
    }
    for faults, pairs in (('strong', degraded), ('mild', mildly_degraded)):
        found = {name: [] for name in networks}
        for _, lq, gt in pairs(args.images, args.size, scale, args.seed):
            for name, network in networks.items():
                found[name].append(measure(network(lq)[..., ::-1], gt[..., ::-1], metrics))
        report[faults] = {
            name: {'images': len(values), **{key: round(mean(value[key] for value in values), 4) for key in metrics}}
            for name, values in found.items()
        }
    args.out.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    print(json.dumps(report, indent=2))


if __name__ == '__main__':
    main()
