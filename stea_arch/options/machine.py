"""What an option file needs from this machine: a device, data, weights."""

import contextlib
import functools
import importlib.util
import os
from pathlib import Path

import torch

from stea_arch.data.image_source import ImageSource
from stea_arch.data.lmdb_store import check_length
from stea_arch.data.pairs import pair_problems
from stea_arch.models.vgg import URL as VGG19_URL
from stea_arch.options.kinds import is_integer
from stea_arch.options.problems import join, part
from stea_arch.options.schema import DATASETS_OF_OURS

CUDA_ONLY_MODELS = ('RealESRNetModel', 'RealESRGANModel')
SAMPLE = './quickstart.sh makes the sample data'
PREPARE = 'docs/data.md says where data come from and how stea-data prepares them; link it there, or write where it is'


def check_devices(problems, opt):
    """Note what asks for a CUDA device where there is none.

    Args:
        problems (Problems): Gets the entries.
        opt (dict): The option file's content.
    """
    cuda = torch.cuda.is_available()
    gpus = opt.get('num_gpu')
    if isinstance(gpus, int) and gpus > 0 and not cuda:
        problems.add('num_gpu', f'{gpus} asked for, but torch finds no CUDA device: write num_gpu: 0 or auto')
    elif is_integer(gpus) and gpus > torch.cuda.device_count():
        problems.add('num_gpu', f'{gpus} asked for, but torch finds {torch.cuda.device_count()}: write auto')
    model = str(opt.get('model_type')).removesuffix('_basicsr')
    if model in CUDA_ONLY_MODELS and not cuda:
        problems.add('model_type', f"BasicSR's {model} runs on CUDA only, and torch finds no CUDA device")
    several = torch.cuda.device_count() > 1 if gpus == 'auto' else is_integer(gpus) and gpus > 1
    if several and part(opt, 'train').get('cuda_graph') is True:
        text = f'{gpus} takes several GPUs here, and train.cuda_graph: true is for one: write num_gpu: 1'
        problems.add('num_gpu', text)
    train = part(opt, 'datasets', 'train')
    if train.get('prefetch_mode') == 'cuda':
        if train.get('pin_memory') is not True:
            problems.add('datasets.train.pin_memory', 'prefetch_mode: cuda needs pin_memory: true')
        if not cuda or gpus == 0:
            problems.add('datasets.train.prefetch_mode', 'cuda needs a CUDA device: write cpu or ~')


def check_paths(problems, opt):
    """Note data, weights and packages that are not on the disk, and LMDBs that are none.

    Args:
        problems (Problems): Gets the entries.
        opt (dict): The option file's content. Relative paths count from the working directory.
    """
    for name in part(opt, 'datasets'):
        path, section = join('datasets', name), part(opt, 'datasets', name)
        backend = part(section, 'io_backend').get('type')
        for key in ('dataroot_gt', 'dataroot_lq'):
            for root in _each(section.get(key)):
                _data(problems, join(path, key), root, backend)
        for key in ('meta_info', 'meta_info_file'):
            for file in _each(section.get(key)):
                _file(problems, join(path, key), file, 'a text file that lists images was expected there')
        if str(name).split('_')[0] != 'train' and not any(where.startswith(path) for where, _ in problems.found):
            _pairs(problems, path, section, opt.get('scale'))
    for key, value in part(opt, 'path').items():
        if str(key).startswith('pretrain_network_'):
            advice = 'train it first, or write where the checkpoint is'
            _file(problems, join('path', key), value, advice)
    if part(opt, 'logger', 'wandb').get('project') and importlib.util.find_spec('wandb') is None:
        problems.add('logger.wandb', 'needs the package wandb: pip install wandb, or write project: ~')
    _file(problems, 'path.vgg19', part(opt, 'path').get('vgg19'), f'get it from {VGG19_URL}')
    _file(problems, 'path.resume_state', part(opt, 'path').get('resume_state'), 'write ~, or use --auto_resume')


def roots_of(section):
    """What a dataset reads, a root at a time.

    Args:
        section (dict): Of an option file, with values of any kind.

    Returns:
        list[tuple]: Ground truth, low-quality images, and the list of those that are used; each a text or None.
    """
    listed = section.get('meta_info') or section.get('meta_info_file')
    if part(section, 'io_backend').get('type') == 'lmdb' and section.get('type') not in DATASETS_OF_OURS:
        listed = None  # BasicSR's datasets take the LMDB's own list then
    gt, lq = section.get('dataroot_gt'), section.get('dataroot_lq')
    roots = gt if isinstance(gt, list) else [gt]
    lists = listed if isinstance(listed, list) and len(listed) == len(roots) else [listed] * len(roots)
    found = zip(roots, [lq] * len(roots), lists, strict=True)
    return [tuple(os.path.expanduser(value) if isinstance(value, str) else None for value in root) for root in found]


def _pairs(problems, path, section, scale):
    """Sizes of the pairs that a run is validated or tested with, from their headers."""
    for gt, lq, listed in roots_of(section):
        if not (gt and lq and is_integer(scale) and scale > 0):
            continue
        backend, template = part(section, 'io_backend').get('type'), section.get('filename_tmpl', '{}')
        try:
            sides = ImageSource(gt, backend, listed, True), ImageSource(lq, backend, None, True)
            found = pair_problems(*sides, scale, False, template, bool(listed))
        except (ValueError, OSError) as error:
            found = [str(error)]
        if found:
            more = f' ({len(found) - 1} more such problems; stea-data check FILE lists them)' if len(found) > 1 else ''
            problems.add(path, f'{found[0]}{more}')


def _each(value):
    """The texts in an option that is one or a list of them."""
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def _reachable(look):
    """A path that the system refuses (too long, say, or not to be read) is a problem like one that is not there.

    What is no text is left out: it is noted with the other types.
    """

    @functools.wraps(look)
    def looked(problems, path, written, *more):
        if not isinstance(written, str):
            return
        try:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.stat(os.path.expanduser(written))  # from Python 3.14 on is_file() says no to every error
            look(problems, path, written, *more)
        except (OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            problems.add(path, f'{str(written)[:60]!r} cannot be looked at: {reason}')

    return looked


@_reachable
def _data(problems, path, written, backend):
    root = Path(os.path.expanduser(written))
    if not root.exists():
        advice = SAMPLE if 'datasets/sample/' in root.as_posix() else PREPARE
        problems.add(path, f'{written} does not exist (seen from {Path.cwd()}): {advice}')
    elif not root.is_dir():
        problems.add(path, f'{written} is a file, expected a folder of images or an LMDB')
    elif backend == 'lmdb' and root.suffix != '.lmdb':
        text = f'io_backend is lmdb, so a folder that ends in .lmdb is expected, got {written}'
        problems.add(path, f'{text}: convert it with stea-data lmdb, or write io_backend type: disk')
    elif backend == 'lmdb' and not (root / 'data.mdb').is_file():
        problems.add(path, f'{written} holds no data.mdb, so it is no LMDB: make it anew with stea-data lmdb')
    elif backend == 'lmdb':
        try:
            check_length(root / 'data.mdb')
        except ValueError as error:
            problems.add(path, str(error))
    elif backend == 'disk' and (root.suffix == '.lmdb' or (root / 'data.mdb').is_file()):
        problems.add(path, f'{written} is an LMDB, but io_backend is disk: write io_backend type: lmdb')
    elif backend == 'disk' and next(root.iterdir(), None) is None:
        problems.add(path, f'{written} is empty, expected images')


@_reachable
def _file(problems, path, written, advice):
    if not Path(os.path.expanduser(written)).is_file():
        problems.add(path, f'{written} is not a file (seen from {Path.cwd()}): {advice}')
