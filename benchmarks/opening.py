"""The picture at the top of the README: what the shipped networks make of photographs that neither has seen.

The photographs are scikit-image's. The first rows are degraded by kernels of Gaussian8 at x4, the last is made smaller,
gets Gaussian noise and becomes a JPEG. PSNR is taken on Y of the whole image, a border of 4 pixels left out. Of mild
faults, which ours is not always better at, only lines are printed: realnet-s-x4 alone, at strength 0.5, and so with the
base labnet-s-x4.

    python benchmarks/opening.py --out benchmarks/opening.png
"""

import argparse
import importlib
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from real_psnr import bicubic, reduced

from stea_arch.data.gaussian8 import gaussian8
from stea_arch.data.image_io import decode
from stea_arch.degradations.classical import degrade
from stea_arch.results.picture import cut, draw_grid
from stea_arch.upscaling.upscaler import Upscaler

# after the plugin, which mends what basicsr needs to be imported
calculate_psnr = importlib.import_module('basicsr.metrics').calculate_psnr

SCALE, CROP = 4, 120
# photograph, kernel of Gaussian8 or sigma of the noise in 8-bit steps and quality of the JPEG, top and left of the crop
ROWS = (
    ('coffee.png', 'sigma1.80', 20, 240),
    ('chelsea.png', 'sigma2.60', 64, 116),
    ('coffee.png', (20, 40), 40, 240),
)
MILD = (('chelsea.png', (3, 90), 64, 116), ('astronaut.png', (8, 50), 60, 164))


def low_quality(gt, degradation):
    """(H, W, 3), uint8 -> (H / 4, W / 4, 3), uint8."""
    if isinstance(degradation, str):
        lq = degrade(gt.astype(np.float32) / 255, gaussian8(SCALE)[degradation])
        return (lq * 255).round().astype(np.uint8)
    return reduced(gt, SCALE, *degradation)


def row(file, degradation, top, left, networks):
    """Captions and tiles of a row."""
    blurred = isinstance(degradation, str)
    name = 'labnet-s-x4' if blurred else 'realnet-s-x4'
    gt = decode(Path(skimage.data.__file__).with_name(file).read_bytes(), file, allow_gray=False)
    height, width = (length // SCALE * SCALE for length in gt.shape[:2])
    gt = np.ascontiguousarray(gt[:height, :width])
    lq = low_quality(gt, degradation)
    results = [bicubic(lq, SCALE), networks[name](lq)]
    scores = [calculate_psnr(image[..., ::-1], gt[..., ::-1], SCALE, test_y_channel=True) for image in results]
    region = (top, left, CROP)
    tiles = [cut(lq, region, SCALE), *(cut(image, region) for image in results), cut(gt, region)]
    said = f'blur {degradation[5:]}' if blurred else 'noise {}, JPEG {}'.format(*degradation)
    texts = [
        f'input\nx4 smaller, {said}',
        f'bicubic\n{scores[0]:.2f} dB',
        f'ours\n{name}: {scores[1]:.2f} dB',
        'truth\n',
    ]
    return list(zip(texts, tiles, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/opening.png'))
    args = parser.parse_args()
    networks = {name: Upscaler(name) for name in ('labnet-s-x4', 'realnet-s-x4')}
    rows = [row(*entry, networks) for entry in ROWS]
    draw_grid(rows, 240).quantize(256, method=Image.Quantize.MEDIANCUT).save(args.out, optimize=True)
    half = {'realnet-s-x4': Upscaler('realnet-s-x4', strength=0.5)}
    mixed = {'realnet-s-x4': Upscaler('realnet-s-x4', base='labnet-s-x4', strength=0.5)}
    for texts in [*rows, *(row(*entry, how) for entry in MILD for how in (networks, half, mixed))]:
        print(', '.join(' '.join(text.split()) for text, _ in texts))


if __name__ == '__main__':
    main()
