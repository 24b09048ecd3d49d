"""Hostile files, thousands of them: option files, checkpoints, LMDBs and images, each mutated from a sound one.

    python benchmarks/fuzz.py --minutes 10
    python benchmarks/fuzz.py --cases 5000 --kinds options checkpoints
    python benchmarks/fuzz.py --replay checkpoints:1234567      # one case again, with its traceback

Every case runs in a child process, so that one that hangs or dies by a signal is seen. It ends well (``accepted``), in
a documented error (``refused``), or in a fault: ``wrong error``, ``hang`` or ``died``. The seed of each fault is
printed, for --replay. The exit status is 1 where there was a fault.

A kind is a class with ``errors`` (what may be raised), ``__init__(folder)`` (make the sound files, once a process) and
``run(rng)`` (mutate one of them with a ``random.Random``, and use it); ``KINDS`` lists them.
"""

import argparse
import copy
import json
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

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SLOW = 60  # seconds after which a case hangs; on a machine with other work, a sound one takes a few
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

    from stea_arch.options.problems import OptionError

    errors = (OptionError,)
    VALUES = (
        *(None, True, 0, -1, 1, 2, 3.5, 1e-9, 1e308, float('inf'), float('nan'), 10**6, 10**12, 10**40, -(2**70)),
        *('', ' ', 'x', '~', '1e-4', 'none', '../x', '/', '\n', 'ä', 'x' * 5000, '{', '%s', '[1]'),
        *([], [[]], [None], [1, 'a'], [-1, 1e99], {}, {'type': 'x'}, {'type': None}, {'a': {'b': {}}}, {1: 2}),
    )

    def __init__(self, folder):
        import yaml

        from stea_arch.compare.options import read_compare_options
        from stea_arch.options import check, read_options  # check: it loads PyTorch, which counts for no case

        assert check
        self.readers = read_options, read_compare_options
        files = [
            file for name in ('train', 'test', 'compare', 'sample') for file in (ROOT / 'options' / name).glob('*.yml')
        ]
        self.texts = [file.read_bytes() for file in sorted(files)]
        self.contents = [yaml.safe_load(text) for text in self.texts]
        self.file = Path(folder, 'options.yml')

    def run(self, rng):
        import yaml

        number = rng.randrange(len(self.texts))
        if rng.random() < 0.3:
            self.file.write_bytes(mutated_bytes(rng, self.texts[number]))
        else:
            content = copy.deepcopy(self.contents[number])
            for _ in range(rng.choice([1, 1, 1, 2, 4])):
                self._change(rng, content)
            self.file.write_text(yaml.safe_dump(content, sort_keys=False), encoding='utf-8')
        if 'networks' in self.contents[number]:
            self.readers[1](self.file, check_files=False)
        else:
            force = [rng.choice(['train:total_iter=x', 'a=b', '=', 'name=', 'scale=1e9', 'path={}'])] * (
                rng.random() < 0.1
            )
            self.readers[0](self.file, force, is_train=None, check_files=rng.random() < 0.3)

    def _change(self, rng, content):
        places = list(self._places(content))
        holder, key = rng.choice(places)
        way = rng.randrange(4)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, dict):
            holder[rng.choice(['type', 'name', 'gt_size', 'x', 1, 'dataroot_gt', ''])] = copy.deepcopy(
                rng.choice(self.VALUES)
            )
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
        import torch

        from stea_arch.archs.labnet_arch import LabNet
        from stea_arch.archs.realnet_arch import RealNet
        from stea_arch.weights.authors_naming import to_published
        from stea_arch.weights.files import write_safetensors

        self.folder, small = Path(folder), {'num_feat': 16, 'num_blocks': [1, 1, 1, 1, 1, 1], 'upscale': 2}
        one, two = LabNet(**small).state_dict(), RealNet(streams=2, **small).state_dict()
        state = {
            'epoch': 1,
            'iter': 4,
            'optimizers': [{'state': {}, 'param_groups': [{'lr': 1.0}]}],
            'schedulers': [{}],
        }
        self.contents = [{'params': one}, {'params': two, 'params_ema': two}, one, to_published(one), state]
        torch.save(self.contents[0], self.folder / 'zip.pth')
        torch.save(self.contents[0], self.folder / 'old.pth', _use_new_zipfile_serialization=False)
        torch.save(self.contents[3], self.folder / 'published.pth', _use_new_zipfile_serialization=False)
        torch.save(state, self.folder / '4.state', _use_new_zipfile_serialization=False)
        write_safetensors(one, self.folder / 'ours.safetensors', 'LabNet', small)
        self.files = {file.name: file.read_bytes() for file in sorted(self.folder.iterdir())}

    def run(self, rng):
        import torch

        from stea_arch import load_network, load_published
        from stea_arch.resume import _read_state
        from stea_arch.weights.files import read_checkpoint, unwrap_state_dict, write_safetensors

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
                arguments[rng.choice([*arguments, 'dilations', 'attention', 'streams', 'key_dim'])] = rng.choice(
                    Options.VALUES
                )
                inner = {
                    key: value.clone()
                    for key, value in inner.items()
                    if value.layout is torch.strided and value.numel() < 10**6
                }
                write_safetensors(inner, path, rng.choice(['LabNet', 'LabNet', 'RealNet', 'x']), arguments)
            else:
                path = self.folder / 'mutated.pth'
                torch.save(content, path)
        weights = (load_network, load_network, load_published, lambda path: unwrap_state_dict(read_checkpoint(path)))
        rng.choice([*weights, _read_state])(path)

    def _change(self, rng, state):
        import torch

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
            state[rng.choice([1, '', 'x', 'module.', None, 'enc1.9999.beta', f'enc1.{rng.randrange(5000)}.beta'])] = (
                state[key]
            )
        elif way == 5:
            for number in range(rng.choice([3, 2000])):
                state[f'enc1.{number}.beta'] = torch.zeros(1)
        elif isinstance(state[key], torch.Tensor) and 0 < state[key].numel() < 10**6:
            state[key] = rng.choice(
                [state[key].to_sparse(), state[key].double(), state[key].flatten()[0], state[key].T]
            )


class Lmdbs:
    """Databases of images, and the lists beside them."""

    errors = (ValueError, FileNotFoundError)

    def __init__(self, folder):
        import numpy as np
        from PIL import Image

        from data_prep.check import check_images
        from data_prep.lmdb_writer import write_lmdb
        from stea_arch.data.training_images import TrainingImages

        self.check, self.images = check_images, TrainingImages
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
                self.check(str(path), workers=1, progress=False)
            else:
                images = self.images(str(path), 'lmdb', max_bad_images=100)
                images.check(8, 'as in a training')
                for number in range(len(images)):
                    images.read(number, 8)
        finally:
            shutil.rmtree(path)


def _images(folder):
    from fuzz_images import Images  # here: it loads torch and the whole decoder, which the others need not

    return Images(folder)


KINDS = {'options': Options, 'checkpoints': Checkpoints, 'lmdbs': Lmdbs, 'images': _images}


def outcome_of(kind, rng):
    """``accepted``, ``refused`` or ``wrong error``, and the traceback of the latter."""
    try:
        kind.run(rng)
    except kind.errors as error:
        return ('refused', '') if str(error).strip() else ('wrong error', 'an error without a message')
    except BaseException:
        return 'wrong error', traceback.format_exc()
    return 'accepted', ''


def child(name, seeds, pipe):
    """Run cases one after the other, and report each."""
    os.environ['OMP_NUM_THREADS'] = '1'
    sys.stdout = sys.stderr = open(os.devnull, 'w')  # noqa: SIM115
    warnings.simplefilter('ignore')
    folder = tempfile.mkdtemp(prefix='fuzz')
    try:
        os.chdir(folder)
        kind = KINDS[name](folder)
        pipe.send('ready')
        for seed in seeds:
            pipe.send((seed, *outcome_of(kind, random.Random(seed))))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_batch(name, seeds):
    """Yield (seed, outcome, detail) of each case; those after one that hangs or dies are begun in a new process."""
    while seeds:
        receive, send = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context('spawn').Process(target=child, args=(name, seeds, send))
        process.start()
        send.close()
        try:
            if not receive.poll(10 * SLOW):
                raise RuntimeError(f'The sound files of {name} were not made within {10 * SLOW} seconds.')
            receive.recv()  # an EOFError here is a fault of this program
            while seeds:
                if not receive.poll(SLOW):
                    yield seeds[0], 'hang', f'over {SLOW} seconds'
                    seeds = seeds[1:]
                    break
                try:
                    report = receive.recv()
                except EOFError:
                    process.join()
                    yield seeds[0], 'died', f'exit code {process.exitcode}'
                    seeds = seeds[1:]
                    break
                yield report
                seeds = seeds[1:]
        finally:
            process.kill()
            process.join()


def main(argv=None):
    """Run cases until the time is over; 1 where one was a fault."""
    parser = argparse.ArgumentParser(description='Run hostile files through everything that reads files.')
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--cases', type=int, help='stop after so many instead')
    parser.add_argument('--kinds', nargs='+', choices=[*KINDS], default=[*KINDS])
    parser.add_argument(
        '--seed', type=int, default=time.time_ns() % 10**9, help='of the first case (default: the time)'
    )
    parser.add_argument('--replay', metavar='KIND:SEED', help='one case again, in this process')
    parser.add_argument('--out', type=Path, metavar='JSON', help='also write the counts and the faults')
    args = parser.parse_args(argv)
    if args.replay:
        name, _, seed = args.replay.partition(':')
        with tempfile.TemporaryDirectory() as folder:
            outcome, detail = outcome_of(KINDS[name](folder), random.Random(int(seed)))
        print(outcome, detail)
        return int(outcome not in ('accepted', 'refused'))

    print(f'first seed {args.seed}', flush=True)
    counts, faults, seed = {name: Counter() for name in args.kinds}, [], args.seed
    end = time.monotonic() + args.minutes * 60
    while time.monotonic() < end if args.cases is None else seed - args.seed < args.cases:
        name = args.kinds[(seed - args.seed) // BATCH % len(args.kinds)]
        for number, outcome, detail in run_batch(name, range(seed, seed + BATCH)):
            counts[name][outcome] += 1
            if outcome not in ('accepted', 'refused'):
                faults.append({'case': f'{name}:{number}', 'outcome': outcome, 'detail': detail})
                last = detail.strip().splitlines()[-1] if detail else ''
                print(f'{outcome}: --replay {name}:{number}  {last}', flush=True)
            if args.cases is None and time.monotonic() > end:
                break
        seed += BATCH
    for name, found in counts.items():
        print(f'{name}: {sum(found.values())} cases, {", ".join(f"{count} {what}" for what, count in found.items())}')
    if args.out:
        content = {'first_seed': args.seed, 'counts': counts, 'faults': faults}
        args.out.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    return int(bool(faults))


if __name__ == '__main__':
    sys.exit(main())
