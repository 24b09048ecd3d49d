"""Hostile files, thousands of them: option files, checkpoints, LMDBs and images, each mutated from a sound one.

    python benchmarks/fuzz.py --minutes 10 --kinds options checkpoints
    python benchmarks/fuzz.py --replay checkpoints:1234567      # one case again, with its traceback

Every case runs in another process, so that one that hangs or dies by a signal is seen. It ends well (``accepted``), in
a documented error (``refused``), or in a fault: ``wrong error`` or ``lost``. The seed of each fault is printed, for
--replay. The exit status is 1 where there was a fault.

A kind is a class with ``errors`` (what may be raised), ``__init__(folder)`` (make the sound files, once a process) and
``run(rng)`` (mutate one of them with a ``random.Random``, and use it); ``KINDS`` lists them.
"""

import argparse
import copy
import functools
import itertools
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import yaml
from fuzz_images import Images
from PIL import Image

from data_prep.check import check_images
from data_prep.lmdb_writer import write_lmdb
from stea_arch import load_network, load_published
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.compare.options import read_compare_options
from stea_arch.data.training_images import TrainingImages
from stea_arch.options import read_options
from stea_arch.options.problems import OptionError
from stea_arch.resume import _read_state
from stea_arch.weights.authors_naming import to_published
from stea_arch.weights.files import read_checkpoint, unwrap_state_dict, write_safetensors

OPTION_FILES = sorted(Path(__file__).resolve().parents[1].glob('options/*/*.yml'))
SLOW = 60  # seconds after which a case is lost; on a machine with other work, a sound one takes a few
SOUND = ('accepted', 'refused')
BATCH = 500  # cases of one kind; a new process takes long to load PyTorch


def mutated_bytes(rng, data):
    """Some bytes changed, cut, doubled, or filled with one value."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        if not data:
            break
        # half of them at the beginning, where formats keep what they are
        at = rng.randrange(min(len(data), 512) if rng.random() < 0.5 else len(data))
        length = rng.choice([1, 1, 2, 4, 8, 64, 4096])
        way = rng.randrange(6)
        if way == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            data[at : at + length] = bytes([rng.choice([0, 1, 127, 128, 255])]) * length
        elif way == 2:
            data[at : at + length] = rng.randbytes(length)
        elif way == 3:
            del data[at : at + length]
        elif way == 4:
            data[at:at] = data[at : at + length]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


class Options:
    """Option files, mutated key by key or byte by byte."""

    errors = (OptionError,)
    VALUES = (
        *(None, True, 0, -1, 1, 2, 3.5, 1e-9, 1e308, float('inf'), float('nan'), 10**6, 10**12, 10**40, -(2**70)),
        *('', ' ', 'x', '~', '1e-4', 'none', '../x', '/', '\n', 'ä', 'x' * 5000, '{', '%s', '[1]'),
        *([], [[]], [None], [1, 'a'], [-1, 1e99], {}, {'type': 'x'}, {'type': None}, {'a': {'b': {}}}, {1: 2}),
    )

    def __init__(self, folder):
        self.texts = [file.read_bytes() for file in OPTION_FILES]
        self.contents = [yaml.safe_load(text) for text in self.texts]
        self.file = Path(folder, 'options.yml')

    def run(self, rng):
        number = rng.randrange(len(self.texts))
        if rng.random() < 0.3:
            self.file.write_bytes(mutated_bytes(rng, self.texts[number]))
        else:
            content = copy.deepcopy(self.contents[number])
            for _ in range(rng.choice([1, 1, 1, 2, 4])):
                self._change(rng, content)
            self.file.write_text(yaml.safe_dump(content, sort_keys=False), encoding='utf-8')
        if 'networks' in self.contents[number]:
            read_compare_options(self.file, check_files=False)
        else:
            forced = rng.choice(['train:total_iter=x', 'a=b', '=', 'name=', 'scale=1e9', 'path={}'])
            force = [forced] * (rng.random() < 0.1)
            read_options(self.file, force, is_train=None, check_files=rng.random() < 0.3)

    def _change(self, rng, content):
        places = list(self._places(content))
        holder, key = rng.choice(places)
        way = rng.randrange(4)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, dict):
            key = rng.choice(['type', 'name', 'gt_size', 'x', 1, 'dataroot_gt', ''])
            holder[key] = copy.deepcopy(rng.choice(self.VALUES))
        elif way == 2:
            other, name = rng.choice(places)
            holder[key] = copy.deepcopy(other.get(name) if isinstance(other, dict) else None)
        else:
            holder[key] = copy.deepcopy(rng.choice(self.VALUES))

    def _places(self, content):
        entries = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in entries:
            yield content, key
            if isinstance(value, (dict, list)):
                yield from self._places(value)


class Checkpoints:
    """Weights in both namings and formats, and training states."""

    errors = (ValueError, FileNotFoundError)

    def __init__(self, folder):
        self.folder, small = Path(folder), {'num_feat': 16, 'num_blocks': [1, 1, 1, 1, 1, 1], 'upscale': 2}
        one, two = LabNet(**small).state_dict(), RealNet(streams=2, **small).state_dict()
        optimizer = {'state': {}, 'param_groups': [{'lr': 1.0}]}
        state = {'epoch': 1, 'iter': 4, 'optimizers': [optimizer], 'schedulers': [{}]}
        self.contents = [{'params': one}, {'params': two, 'params_ema': two}, one, to_published(one), state]
        torch.save(self.contents[0], self.folder / 'zip.pth')
        torch.save(self.contents[0], self.folder / 'old.pth', _use_new_zipfile_serialization=False)
        torch.save(self.contents[3], self.folder / 'published.pth', _use_new_zipfile_serialization=False)
        torch.save(state, self.folder / '4.state', _use_new_zipfile_serialization=False)
        write_safetensors(one, self.folder / 'ours.safetensors', 'LabNet', small)
        self.files = {file.name: file.read_bytes() for file in sorted(self.folder.iterdir())}

    def run(self, rng):
        if rng.random() < 0.5:
            name = rng.choice(sorted(self.files))
            path = self.folder / f'mutated_{name}'
            path.write_bytes(mutated_bytes(rng, self.files[name]))
        else:
            content = dict(rng.choice(self.contents))
            inner = rng.choice([content, *(value for value in content.values() if isinstance(value, dict))])
            inner = dict(inner) if inner is not content else content
            for _ in range(rng.choice([1, 1, 3])):
                self._change(rng, inner)
            if inner is not content:
                content[rng.choice(['params', 'params_ema'])] = inner
            tensors = all(isinstance(value, torch.Tensor) and isinstance(key, str) for key, value in inner.items())
            if tensors and rng.random() < 0.3:
                path = self.folder / 'mutated.safetensors'
                arguments = {'num_feat': 16, 'num_blocks': [1] * 6, 'upscale': 2}
                changed = rng.choice([*arguments, 'dilations', 'attention', 'streams', 'key_dim'])
                arguments[changed] = rng.choice(Options.VALUES)
                plain = {k: v for k, v in inner.items() if v.layout is torch.strided and v.numel() < 10**6}
                plain = {key: value.clone() for key, value in plain.items()}
                write_safetensors(plain, path, rng.choice(['LabNet', 'LabNet', 'RealNet', 'x']), arguments)
            else:
                path = self.folder / 'mutated.pth'
                torch.save(content, path)
        weights = (load_network, load_network, load_published, lambda path: unwrap_state_dict(read_checkpoint(path)))
        rng.choice([*weights, _read_state])(path)

    def _change(self, rng, state):
        if not state:
            return
        key = rng.choice(list(state))
        way = rng.randrange(7)
        if way == 0:
            del state[key]
        elif way == 1:
            state[key] = rng.choice([None, 1, -1, 'x', [], {}, 1.5, [[]], {'a': 1}, 10**30])
        elif way == 2:
            shape = [rng.choice([0, 1, 2, 3, 16, 17]) for _ in range(rng.randrange(6))]
            state[key] = torch.zeros(shape, dtype=rng.choice([torch.float32, torch.float16, torch.int64, torch.bool]))
        elif way == 3:
            state[key] = torch.zeros(1).expand(rng.choice([10**3, 10**9]), *[rng.choice([1, 3])] * rng.randrange(4))
        elif way == 4:
            other = rng.choice([1, '', 'x', 'module.', None, 'enc1.9999.beta', f'enc1.{rng.randrange(5000)}.beta'])
            state[other] = state[key]
        elif way == 5:
            for number in range(rng.choice([3, 2000])):
                state[f'enc1.{number}.beta'] = torch.zeros(1)
        elif isinstance(state[key], torch.Tensor) and 0 < state[key].numel() < 10**6:
            value = state[key]
            state[key] = rng.choice([value.to_sparse(), value.double(), value.flatten()[0], value.T])


class Lmdbs:
    """Databases of images, and the lists beside them."""

    errors = (ValueError, FileNotFoundError)

    def __init__(self, folder):
        self.folder, images = Path(folder), Path(folder, 'images')
        images.mkdir()
        generator = np.random.default_rng(0)
        for number in range(12):
            pixels = generator.integers(0, 255, (24 + number, 30, 3), np.uint8)
            Image.fromarray(pixels).save(images / f'image{number}.png')
        write_lmdb([str(images)], str(self.folder / 'sound.lmdb'), progress=False)
        self.files = {name: (self.folder / 'sound.lmdb' / name).read_bytes() for name in ('data.mdb', 'meta_info.txt')}

    def run(self, rng):
        path = self.folder / f'{rng.randrange(10**9)}.lmdb'  # a process keeps a database open under its name
        path.mkdir()
        try:
            mutated = rng.choice(['data.mdb', 'data.mdb', 'data.mdb', 'meta_info.txt'])
            for name, data in self.files.items():
                (path / name).write_bytes(mutated_bytes(rng, data) if name == mutated else data)
            if rng.random() < 0.5:
                check_images(str(path), workers=1, progress=False)
            else:
                images = TrainingImages(str(path), 'lmdb', max_bad_images=100)
                images.check(8, 'as in a training')
                for number in range(len(images)):
                    images.read(number, 8)
        finally:
            shutil.rmtree(path)


KINDS = {'options': Options, 'checkpoints': Checkpoints, 'lmdbs': Lmdbs, 'images': Images}


@functools.cache
def make_kind(name):
    """With its sound files, made once in a process, in the working directory."""
    folder = Path(name).resolve()
    folder.mkdir()
    return KINDS[name](folder)


def run_case(name, seed):
    """``accepted``, ``refused`` or ``wrong error``, and the traceback of the latter."""
    kind = make_kind(name)
    try:
        kind.run(random.Random(seed))
    except kind.errors as error:
        return ('refused', '') if str(error).strip() else ('wrong error', 'an error without a message')
    except BaseException:
        return 'wrong error', traceback.format_exc()
    return 'accepted', ''


def begin_process(folder):
    """On one thread, in a folder of its own below ``folder``, and silent."""
    torch.set_num_threads(1)
    os.chdir(tempfile.mkdtemp(dir=folder))
    sys.stdout = sys.stderr = open(os.devnull, 'w')  # noqa: SIM115
    warnings.simplefilter('ignore')


def run_cases(kinds, first, folder):
    """Yield (kind, seed, outcome, detail) without end: a batch of each kind in turn, from the seed ``first`` on."""
    context = multiprocessing.get_context('spawn')
    for name, start in zip(itertools.cycle(kinds), itertools.count(first, BATCH)):
        seeds = range(start, start + BATCH)
        while seeds:  # a new process for each batch, and after a case that is lost
            with context.Pool(1, begin_process, (folder,)) as pool:
                patience = 10 * SLOW  # the first case waits for PyTorch and for the sound files
                for seed in seeds:
                    seeds = seeds[1:]
                    try:
                        yield name, seed, *pool.apply_async(run_case, (name, seed)).get(patience)
                    except multiprocessing.TimeoutError:
                        yield name, seed, 'lost', f'It hung for {patience} seconds, or its process died.'
                        break
                    patience = SLOW


def main(argv=None):
    """Run cases until the time is over; 1 where one was a fault."""
    parser = argparse.ArgumentParser(description='Run hostile files through everything that reads files.')
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--kinds', nargs='+', choices=[*KINDS], default=[*KINDS])
    parser.add_argument('--seed', type=int, default=time.time_ns() % 10**9, help='of the first case (default: by time)')
    parser.add_argument('--replay', metavar='KIND:SEED', help='one case again, in this process')
    args = parser.parse_args(argv)
    counts, end = Counter(), time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        if args.replay:
            name, _, seed = args.replay.partition(':')
            os.chdir(folder)
            outcome, detail = run_case(name, int(seed))
            counts[name, outcome] += 1
            print(outcome, detail)
        else:
            print(f'first seed {args.seed}', flush=True)
            for name, seed, outcome, detail in run_cases(args.kinds, args.seed, folder):
                counts[name, outcome] += 1
                if outcome not in SOUND:
                    print(f'{outcome}: --replay {name}:{seed}  {detail.strip().splitlines()[-1]}', flush=True)
                if time.monotonic() > end:
                    break
            for (name, outcome), count in sorted(counts.items()):
                print(f'{name}: {count} {outcome}')
    return int(any(outcome not in SOUND for _, outcome in counts))


if __name__ == '__main__':
    sys.exit(main())
