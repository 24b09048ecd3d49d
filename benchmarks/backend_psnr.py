"""What the backends' rounding costs in PSNR, with trained weights.

Every image of a folder is blurred and reduced as in the evaluation "Gaussian8" and enlarged by each backend; the mean
PSNR (Y channel, the scale's number of pixels cut off at the border, outputs rounded to 8 bits) stands beside that of
the network itself in fp32.

    pip install -e '.[openvino]'
    python benchmarks/backend_psnr.py --images datasets/benchmark/Set5      # the shipped LabNet-S
"""

import argparse
import importlib
import json
from pathlib import Path

import torch
from fused_speed import BACKENDS

from stea_arch.backends import load_backend
from stea_arch.data.classical_dataset import ClassicalDegradationDataset
from stea_arch.system.versions import get_versions
from stea_arch.weights import load_network

# after the plugin, which mends what basicsr needs to be imported
calculate_psnr = importlib.import_module('basicsr.metrics').calculate_psnr
tensor2img = importlib.import_module('basicsr.utils').tensor2img


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='labnet-s-x4', help='a shipped network or a checkpoint')
    parser.add_argument('--images', type=Path, required=True)
    parser.add_argument('--kernels', type=int, default=8, help='blurs an image')
    parser.add_argument('--backends', nargs='*', choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.json'))
    args = parser.parse_args()

    network = load_network(args.model).requires_grad_(False)
    scale = network.upscale
    forms = {'labnet': network, **{name: load_backend(network, *BACKENDS[name]) for name in args.backends}}
    options = {'name': 'images', 'dataroot_gt': str(args.images), 'phase': 'val', 'scale': scale}
    pairs = ClassicalDegradationDataset({**options, 'num_kernels': args.kernels})
    psnr = {name: [] for name in forms}
    for pair in pairs:
        truth = tensor2img(pair['gt'])
        for name, form in forms.items():
            with torch.inference_mode():
                image = tensor2img(form(pair['lq'][None]))
            psnr[name].append(calculate_psnr(image, truth, crop_border=scale, test_y_channel=True))
    mean = {name: sum(values) / len(values) for name, values in psnr.items()}
    report = {
        'protocol': f'{len(pairs)} pairs of {args.images.name}, {args.kernels} blurs an image, x{scale}, Y channel',
        'model': args.model,
        'versions': get_versions(),
        'psnr': {name: round(value, 4) for name, value in mean.items()},
        'difference': {name: round(value - mean['labnet'], 5) for name, value in mean.items()},
        'largest_difference_of_an_image': {
            name: round(max(abs(a - b) for a, b in zip(values, psnr['labnet'])), 5) for name, values in psnr.items()
        },
    }
    args.out.write_text(json.dumps(report, indent=2) + '\n')
    print(json.dumps(report, indent=2))


if __name__ == '__main__':
    main()
