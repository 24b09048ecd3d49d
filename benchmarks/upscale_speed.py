"""What stea-upscale costs beside the network: its start, and what it adds to every image.

    start     `stea-upscale photo --skip-existing` where the result is there: imports, weights, arguments, nothing to do
    command   the same command on the photo, from start to end
    forward   the network's own forward on the same pixels, and
    image     reading, upscaling and writing it in the same process, in turn with the forward, round by round

`beside` is the median over the rounds of image / forward: 1 would be no cost at all. Every time is given as passed and
as spent by processors (`cpu`), which other programs on the machine change less.

    python benchmarks/upscale_speed.py --out benchmarks/upscale_speed.json
    python benchmarks/upscale_speed.py --model labnet-s-x4 --image photo.png --size 512
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stea_arch.system.versions import get_versions
from stea_arch.upscaling.batch import Job, run
from stea_arch.upscaling.upscaler import Upscaler


def measure(function):
    """Seconds that pass, and seconds that processors spend on it, in this process and in those it starts."""
    passed, spent = time.perf_counter(), sum(os.times()[:4])
    function()
    return time.perf_counter() - passed, sum(os.times()[:4]) - spent


def median(values):
    return round(statistics.median(values), 3)


def make_photo(image, size, folder):
    """A PNG of ``size`` pixels a side, cut from ``image`` or from one of scikit-image's photographs."""
    from skimage import data

    pixels = np.asarray(Image.open(image).convert('RGB')) if image else data.astronaut()
    path = Path(folder, 'photo.png')
    Image.fromarray(pixels[:size, :size]).save(path)
    return path


def command(photo, model, device, *flags):
    program = [sys.executable, '-m', 'stea_arch.commands.upscale']
    subprocess.run(
        [*program, str(photo), '--model', model, '--device', device, *flags], check=True, capture_output=True
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/upscale_speed.json'))
    parser.add_argument('--model', default='realnet-s-x4')
    parser.add_argument('--image')
    parser.add_argument('--size', type=int, default=512)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        photo = make_photo(args.image, args.size, folder)
        target = Path(folder, 'result.png')
        flags = (photo, args.model, args.device, '-o', str(target))
        upscaler = Upscaler(args.model, args.device)
        lq = torch.from_numpy(np.asarray(Image.open(photo)).copy()).to(upscaler.device)
        lq = lq.permute(2, 0, 1)[None].float() / 255

        def forward():
            with torch.no_grad():
                upscaler.network(lq)
            if lq.is_cuda:
                torch.cuda.synchronize()

        times = {'forward': [], 'image': [], 'command': [], 'start': []}
        for _ in range(args.rounds + 1):
            times['forward'].append(measure(forward))
            times['image'].append(measure(lambda: run([Job(photo, target)], upscaler)))
            times['command'].append(measure(lambda: command(*flags)))
            times['start'].append(measure(lambda: command(*flags, '--skip-existing')))
    passed, spent = ({name: [pair[i] for pair in pairs[1:]] for name, pairs in times.items()} for i in (0, 1))
    report = {
        'protocol': f'interleaved, 1 round to warm up, median of {args.rounds} rounds, fp32, '
        f'{args.size}x{args.size} PNG, {args.device}',
        'model': args.model,
        'versions': get_versions(),
        'seconds': {name: median(values) for name, values in passed.items()},
        'cpu_seconds': {name: median(values) for name, values in spent.items()},
        'beside': median(i / f for i, f in zip(passed['image'], passed['forward'])),
        'beside_cpu': median(i / f for i, f in zip(spent['image'], spent['forward'])),
    }
    print(json.dumps(report, indent=2))
    args.out.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
