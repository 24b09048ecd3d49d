"""The published networks without their weights: names and shapes from tests/reference, values by a fixed rule."""

import json
import re
import zlib
from pathlib import Path

import numpy as np
import torch

REFERENCES = Path(__file__).parents[1] / 'reference'
WIDTH_OF_STAGE = {
    'encoder_block1': 1, 'encoder_block2': 2, 'latent_block': 4, 'decoder_block1': 2, 'decoder_block2': 2,
    'refine_block': 2,
}  # fmt: skip


def fill(name, shape):
    """The values with which the reference outputs were computed: normal noise seeded by the parameter's full name.

    Scales are centred on 1 and beta on 0.5, so that no branch is hidden; kernels shrink with their fan-in.
    """
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if re.search(r'norm[12]\.weight$', name):
        values = 1 + 0.1 * noise
    elif name.endswith('beta'):
        values = 0.5 + 0.1 * noise
    elif len(shape) == 1:
        values = 0.02 * noise
    else:
        values = noise * np.float32(0.6 / np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def load_reference(name):
    """``(arrays, published state dict)`` of one file in tests/reference."""
    with np.load(REFERENCES / f'{name}.npz') as file:
        arrays = {key: file[key] for key in file.files}
    names = [str(entry) for entry in arrays.pop('names')]
    shapes = [json.loads(str(entry)) for entry in arrays.pop('shapes')]
    weights = {entry: fill(entry, shape) for entry, shape in zip(names, shapes)}
    return {key: torch.from_numpy(array) for key, array in arrays.items()}, weights


def published_weights(name='labnet_x4', num_feat=16, num_blocks=(1, 1, 1, 1, 1, 1), upscale=4):
    """A published state dict of another size, without the prefix ``Restorer.``.

    Names and shapes come from the reference file (C = 16, x4), whose stages at 16 and 32 channels say how every
    dimension grows with the width.
    """
    with np.load(REFERENCES / f'{name}.npz') as file:
        known = {
            str(key).removeprefix('Restorer.'): json.loads(str(shape))
            for key, shape in zip(file['names'], file['shapes'])
        }
    shapes = {}
    for (stage, factor), depth in zip(WIDTH_OF_STAGE.items(), num_blocks):
        width = num_feat * factor
        for key, narrow in known.items():
            if key.startswith('encoder_block1.0.'):
                rest = key.removeprefix('encoder_block1.0.')
                wide = known[f'encoder_block2.0.{rest}']
                shape = [n + (w - n) * (width - 16) // 16 for n, w in zip(narrow, wide)]
                if 'gdfn' in rest:
                    hidden = int(2.66 * width)
                    channels = {
                        'project_in': (2 * hidden, width),
                        'dwconv': (2 * hidden, 1),
                        'project_out': (width, hidden),
                    }
                    shape[:2] = channels[rest.split('.')[1]]
                shapes.update({f'{stage}.{block}.{rest}': shape for block in range(depth)})
    for key, shape in known.items():
        if key.split('.')[0] not in WIDTH_OF_STAGE:
            channels = [n if n == 3 else n * num_feat // 16 for n in shape[:2]]
            shapes[key] = channels + shape[2:]
    if upscale != 4:
        shapes['upscale.0.weight'][0] = shapes['upscale.0.bias'][0] = upscale**2 * num_feat
        for part in ('weight', 'bias'):
            shapes[f'upscale.2.{part}'] = shapes.pop(f'upscale.4.{part}')
    return {key: fill(key, shape) for key, shape in shapes.items()}
