"""``python -m stea_arch.commands.strengths -opt FILE IMAGE --out PNG``: what deblur and denoise do.

The option file is one that tests (options/test/RealNet-S-2streams_x4.yml, say); its network_g and weights are used.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from basicsr.archs import build_network
from PIL import Image, ImageDraw, ImageFont

from stea_arch.archs.realnet_arch import TwoStreams
from stea_arch.data.image_io import decode
from stea_arch.options import OptionError, read_options
from stea_arch.weights.files import check_weights, read_checkpoint, unwrap_state_dict

VALUES = (0.0, 0.5, 1.0, 1.5)
GAP, LABEL = 6, 24  # pixels: between crops, of the text above a row


def make_grid(network, lq, values=VALUES, side=128):
    """The middle of an image under every pair of strengths.

    Args:
        network (TwoStreams): In eval mode; its strengths are the learned ones afterwards.
        lq (Tensor): (1, 3, H, W) in [0, 1].
        values (sequence of float): Strengths: deblur from left to right, denoise from top to bottom.
        side (int): Of the part that is shown, in pixels of ``lq``; smaller images are shown whole.

    Returns:
        list[list[tuple[str, Tensor]]]: Rows of captions and crops (3, h, w) in [0, 1]: input (enlarged pixel by
        pixel) and result with the learned strengths, then a row for each denoise.
    """
    scale = network.upscale
    top, left = (max(0, (length - side) // 2) for length in lq.shape[-2:])
    window = (slice(top * scale, (top + side) * scale), slice(left * scale, (left + side) * scale))

    def crop(image):
        return image[0][:, window[0], window[1]].clamp(0, 1)

    def result(**strengths):
        with torch.inference_mode():
            return crop(network.set_strengths(**strengths)(lq))

    enlarged = lq.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    rows = [[('input', crop(enlarged)), ('as learned', result())]]
    for denoise in values:
        captions = [f'deblur {deblur:g}, denoise {denoise:g}' for deblur in values]
        rows.append([(c, result(deblur=b, denoise=denoise)) for c, b in zip(captions, values, strict=True)])
    network.set_strengths()
    return rows


def draw(rows):
    """A picture of captioned crops, all of one size: rows as :func:`make_grid` returns them -> PIL image."""
    height, width = rows[0][0][1].shape[-2:]
    columns = max(len(row) for row in rows)
    step_x, step_y = width + GAP, height + LABEL
    canvas = Image.new('RGB', (columns * step_x + GAP, len(rows) * step_y + GAP), 'white')
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for y, row in enumerate(rows):
        for x, (caption, crop) in enumerate(row):
            corner = GAP + x * step_x, LABEL + y * step_y
            pen.text((corner[0], corner[1] - LABEL // 2), caption, 'black', font, anchor='lm')
            pixels = (crop.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
            canvas.paste(Image.fromarray(np.ascontiguousarray(pixels)), corner)
    return canvas


def load_network(opt):
    """The two-stream network of a test option file, with its weights, in eval mode on the CPU.

    Raises:
        ValueError: The file is about another network, or the weights are those of another one.
    """
    network = build_network(opt['network_g'])
    if not isinstance(network, TwoStreams):
        raise ValueError('Strengths are those of a RealNet with streams: 2, and network_g describes another network.')
    path = opt['path']['pretrain_network_g']
    weights = unwrap_state_dict(read_checkpoint(path), opt['path'].get('param_key_g', 'params'))
    check_weights(weights, network, path)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f'{path} does not fit the network that network_g describes: {len(network.state_dict())} parameters of a '
            'RealNet with streams: 2 were expected. Use the options it was trained with.'
        ) from error
    return network.eval()


def main(argv=None):
    """Write the picture; 0, or 1 after an error in a paragraph."""
    parser = argparse.ArgumentParser(
        prog='python -m stea_arch.commands.strengths', description='Draw one photograph under several strengths.'
    )
    parser.add_argument('image', metavar='IMAGE', help='a low-quality photograph')
    parser.add_argument('-opt', required=True, metavar='FILE', help='option file that tests a two-stream RealNet')
    parser.add_argument('--out', required=True, metavar='PNG', help='picture to write')
    parser.add_argument('--values', nargs='+', type=float, default=VALUES, metavar='X', help='default: 0 0.5 1 1.5')
    parser.add_argument('--side', type=int, default=128, metavar='N', help='pixels of the input to show (default: 128)')
    args = parser.parse_args(argv)
    try:
        network = load_network(read_options(args.opt, is_train=False))
        image = decode(Path(args.image).read_bytes(), args.image, allow_gray=True)
        lq = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        draw(make_grid(network, lq, args.values, args.side)).save(args.out)
    except (OptionError, ValueError, OSError) as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: deblur from left to right, denoise from top to bottom')
    return 0


if __name__ == '__main__':
    sys.exit(main())
