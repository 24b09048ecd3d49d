"""How much a film flickers that was upscaled picture by picture.

The camera moves over photographs by one pixel of the large picture a time, and the small pictures (bicubic, a quarter)
are compressed as a film (H.264 at a `crf`), so that noise and position differ in each. As the movement is known, each
upscaled picture can be laid on the one before: the mean difference of what both show, in levels of 255, is the flicker.
That of the pictures that the film was made from is 0; PSNR says what was paid for it.

    python benchmarks/flicker.py labnet-s-x4 realnet-s-x4 --images datasets/benchmark/Set14
"""

import argparse
import io
import json
from itertools import pairwise
from pathlib import Path
from statistics import mean

import av
import numpy as np
import torch
from real_psnr import bicubic

from stea_arch.data.image_io import decode, list_images
from stea_arch.system.versions import get_versions
from stea_arch.upscaling.upscaler import Upscaler

SCALE, BORDER = 4, 8


def film(pictures, crf):
    """Pictures as they come out of a film: ``[(H, W, 3) uint8]`` -> the same."""
    file = io.BytesIO()
    with av.open(file, 'w', format='matroska') as out:
        stream = out.add_stream('libx264', rate=30, options={'crf': str(crf)})
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], 'yuv420p'
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as stored:
        return [frame.to_ndarray(format='rgb24') for frame in stored.decode(video=0)]


def flicker(pictures):
    """Mean difference of neighbours, of which the second shows what lies one pixel to the right."""
    inner = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    pairs = pairwise(pictures)
    return mean(float(np.abs(a[inner][:, 1:].astype(int) - b[inner][:, :-1]).mean()) for a, b in pairs)


def psnr(pictures, truth):
    errors = [np.mean((a.astype(float) - b)[BORDER:-BORDER, BORDER:-BORDER] ** 2) for a, b in zip(pictures, truth)]
    return 10 * float(np.log10(255**2 / np.mean(errors)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('networks', nargs='+', help='names of shipped networks or checkpoints, x4')
    parser.add_argument('--images', type=Path, required=True, help='folder of photographs')
    parser.add_argument('--size', type=int, default=192, help='side of the large pictures')
    parser.add_argument('--pictures', type=int, default=9)
    parser.add_argument('--crf', type=int, default=23)
    parser.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.json'))
    args = parser.parse_args()
    torch.set_num_threads(1)

    ways = {'bicubic': (args.networks[0], 0)}
    ways |= {f'{name} --strength {part}': (name, part) for name in args.networks for part in (0.5, 1)}
    ways = {name: Upscaler(network, 'cpu', strength=part) for name, (network, part) in ways.items()}
    found = {name: {'flicker': [], 'psnr': []} for name in ways}
    names = list_images(str(args.images))
    for name in names:
        photo = decode((args.images / name).read_bytes(), name, allow_gray=True)
        top, left = ((side - args.size) // 2 for side in photo.shape[:2])
        shown = photo[top : top + args.size, left - args.pictures // 2 :]
        truth = [shown[:, number : number + args.size] for number in range(args.pictures)]
        small = film([bicubic(picture, 1 / SCALE) for picture in truth], args.crf)
        for way, upscaler in ways.items():
            large = [upscaler(picture) for picture in small]
            found[way]['flicker'].append(flicker(large))
            found[way]['psnr'].append(psnr(large, truth))
    report = {
        'protocol': f'{len(names)} photographs of {args.images.name}, {args.pictures} pictures of {args.size} pixels '
        f'moved by one each, a quarter of the size, H.264 at crf {args.crf}; levels of 255, and dB',
        'versions': get_versions(),
        'networks': {way: {key: round(mean(v), 3) for key, v in both.items()} for way, both in found.items()},
    }
    args.out.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    print(json.dumps(report, indent=2))


if __name__ == '__main__':
    main()
