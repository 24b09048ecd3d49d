"""What a batch of second-order degradation costs beside the network step that it feeds, and beside BasicSR's own.

python benchmarks/second_order_speed.py --out benchmarks/second_order_speed.json
python benchmarks/second_order_speed.py --device cuda --batch 12 --rounds 40 --amp --out speed_cuda.json
"""

import argparse
import json
import os
import random
import statistics
import time
from pathlib import Path
from unittest import mock

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
import yaml

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.degradations.batch_steps import paired_crop, usm_sharpen
from stea_arch.degradations.pair_pool import PairPool
from stea_arch.degradations.second_order import SecondOrderSampler, degrade
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.system.versions import get_versions

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = (
    'Each round takes a new batch of regions, drawn kernels included, already on the device, and times in turn: ours '
    '(sharpen, degrade, crop, pair pool, sharpen again), feed_data of BasicSR 1.4.2 (its RealESRGANModel, moved to the '
    'device and its filter2D given contiguous tensors where it fails otherwise), and one training step (forward, L1, '
    'backward, Adam) of RealNet-S on the batch that ours made. kernels: drawing and computing the kernels, which the '
    "loader's workers do. Both ways draw Real-ESRGAN's ranges. As draws differ in cost, times are means over the "
    'rounds after two of warming up; share: ours / (ours + network).'
)
OPTIONS = yaml.safe_load(ROOT.joinpath('options/train/RealNet_x4.yml').read_text(encoding='utf-8'))  # Real-ESRGAN's


def basicsr_way(args, device):
    """A function of a batch: feed_data of RealESRGANModel without its networks, on any device."""
    from basicsr.models import realesrgan_model
    from basicsr.utils import DiffJPEG, USMSharp
    from basicsr.utils.img_process_util import filter2D

    model = realesrgan_model.RealESRGANModel.__new__(realesrgan_model.RealESRGANModel)
    model.opt = {**OPTIONS, 'scale': args.scale, 'gt_size': args.gt_size}
    model.device, model.is_train, model.queue_size = device, True, 4 * args.batch
    model.jpeger, model.usm_sharpener = DiffJPEG(differentiable=False).to(device), USMSharp().to(device)
    blur = mock.patch.object(realesrgan_model, 'filter2D', lambda img, kernel: filter2D(img.contiguous(), kernel))
    cuda = mock.patch.object(torch.Tensor, 'cuda', lambda tensor: tensor.to(device))

    def run(batch):
        with blur, cuda:
            model.feed_data(batch)

    return run


def our_way(args):
    """A function of a batch: the same steps, which give input and target."""
    sampler, rng = SecondOrderSampler.from_options(OPTIONS, args.scale), np.random.default_rng(0)
    pool = PairPool(4 * args.batch, seed=0)

    def run(batch):
        gt, *kernels = batch.values()
        params = sampler.draw(len(gt), args.gt_size, rng)
        lq = degrade(usm_sharpen(gt), *kernels, params)
        (lq,), (gt,) = paired_crop([lq], [gt], params)
        lq, gt = pool.exchange(lq, gt)
        return lq, usm_sharpen(gt)

    return run


def network_step(args, device):
    """A function of input and target: a training step of RealNet-S."""
    net = LabNet(num_feat=args.num_feat, num_blocks=[args.num_blocks] * 6, upscale=args.scale).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)

    def run(lq, target):
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):
            loss = (net(lq) - target).abs().mean()
        loss.backward()
        optimizer.step()

    return run


def regions(args, rng):
    """A batch of (3, region, region) crops of scikit-image's photographs."""
    from skimage.data import astronaut, coffee

    crops = []
    for number in range(args.batch):
        photo = (astronaut(), coffee())[number % 2]
        top, left = (int(rng.integers(max(length - args.region, 0) + 1)) for length in photo.shape[:2])
        crops.append(torch.from_numpy(photo[top : top + args.region, left : left + args.region].copy()))
    return torch.stack(crops).permute(0, 3, 1, 2).contiguous().float() / 255


def timed(function, device):
    """Seconds and result, with everything that was queued on the device done before and after."""
    wait = torch.cuda.synchronize if device.type == 'cuda' else lambda: None
    wait()
    start = time.perf_counter()
    result = function()
    wait()
    return time.perf_counter() - start, result


def measure(args):
    """Mean seconds of each part over the rounds; one dictionary."""
    device = torch.device(args.device)
    rng, kernel_sampler = np.random.default_rng(1), KernelSampler()
    ours, basicsr, network = our_way(args), basicsr_way(args, device), network_step(args, device)
    seconds = {'kernels': [], 'ours': [], 'basicsr': [], 'network': []}
    for number in range(args.rounds + 2):
        spent, items = timed(lambda: [kernel_sampler.draw(rng).tensors() for _ in range(args.batch)], device)
        batch = {'gt': regions(args, rng).to(device)}
        batch |= {name: torch.stack([item[name] for item in items]).to(device) for name in items[0]}
        parts = {'kernels': spent}
        parts['ours'], (lq, target) = timed(lambda batch=batch: ours(batch), device)
        parts['basicsr'], _ = timed(lambda batch=batch: basicsr(batch), device)
        parts['network'], _ = timed(lambda lq=lq, target=target: network(lq, target), device)
        if number >= 2:
            for name, value in parts.items():
                seconds[name].append(value)
    means = {name: statistics.mean(values) for name, values in seconds.items()}
    return {
        'device': args.device,
        'batch': args.batch,
        'region': args.region,
        'gt_size': args.gt_size,
        'amp': 'bf16' if args.amp else None,
        **{f'{name}_ms': round(value * 1e3, 2) for name, value in means.items()},
        'ours_over_network': round(means['ours'] / means['network'], 4),
        'basicsr_over_ours': round(means['basicsr'] / means['ours'], 2),
        'share': round(means['ours'] / (means['ours'] + means['network']), 4),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description='Times second-order degradation beside the network and BasicSR.')
    parser.add_argument('--out', type=Path, help='write the numbers and the protocol to this JSON file')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--threads', type=int, default=1, help='of torch on the CPU')
    parser.add_argument('--batch', type=int, default=2, help='samples')
    parser.add_argument('--scale', type=int, default=4)
    parser.add_argument('--region', type=int, default=400, help='side of the regions that are degraded')
    parser.add_argument('--gt-size', type=int, default=256, help='side of the patches cut out of them')
    parser.add_argument('--rounds', type=int, default=8, help='batches')
    parser.add_argument('--num-feat', type=int, default=32, help="the network's width")
    parser.add_argument('--num-blocks', type=int, default=2, help="the network's blocks at each of its six levels")
    parser.add_argument('--amp', action='store_true', help='train in bf16 autocast')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    row = measure(args)
    for name, value in row.items():
        print(f'{name:18} {value}')
    print(PROTOCOL)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        report = {'protocol': f'{PROTOCOL} {args.rounds} rounds.', 'versions': get_versions(), 'rows': [row]}
        args.out.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
