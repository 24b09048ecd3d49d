"""Find the last complete training state, and start the data where that state left it."""

import math
import random
import re
import sys
import warnings
from pathlib import Path

import torch

from stea_arch.system.errors import InputError
from stea_arch.system.launch import gather
from stea_arch.weights.files import read_checkpoint, unwrap_state_dict


class Pipeline:
    """What BasicSR's training pipeline keeps to itself, and a model needs to stop or to catch up in the midst of it.

    Attributes:
        sampler (ResumableSampler | None): Of the training data; knows the epoch.
        val_loaders (list[DataLoader]): Of the validation sets.
    """

    sampler = None
    val_loaders = ()


class DrawnSeed(int):
    """A ``manual_seed`` that the option file leaves open: drawn for a run, of which it is a part from then on."""

    @classmethod
    def draw(cls):
        """One in [1, 10000], as BasicSR draws it, but the same on all processes."""
        return cls(gather(random.SystemRandom().randint(1, 10000))[0])


def load_resume_state(opt):
    """Load what a run continues from; the counterpart of ``basicsr.train.load_resume_state`` for any device.

    With ``--auto_resume`` it is the newest state under ``experiments/<name>/training_states`` that is complete: it
    and its networks' files are there and read without error. An older one is taken, with a warning, where the newest
    is not. Of several processes the first one chooses. Where there is none, and otherwise, it is ``path.resume_state``.

    Args:
        opt (dict): All options. ``path.resume_state``, ``path.pretrain_network_*`` and ``resume`` are set in it, and
            ``manual_seed`` where the option file has none.

    Returns:
        dict | None: The training state on the CPU, or None for a fresh run.

    Raises:
        ValueError: ``path.resume_state`` is not a training state; or a process does not see the one that is chosen.
        FileNotFoundError: It, or a network that was saved with it, does not exist.
    """
    from basicsr.train import check_resume, make_exp_dirs  # here: BasicSR's own import needs this module, see plugin
    from basicsr.utils import set_random_seed

    if opt['manual_seed'] is None:  # by --force_yml, which BasicSR follows after it has drawn
        opt['manual_seed'] = DrawnSeed.draw()
        set_random_seed(opt['manual_seed'] + opt['rank'])
    path, state, given = None, None, opt['path'].get('resume_state')
    if opt['auto_resume']:
        networks = [key.replace('network_', 'net_') for key in opt if key.startswith('network_')]
        states, models = Path(opt['path']['training_states']), Path(opt['path']['models'])
        path, state = _newest_complete_state(states, models, networks)
        chosen = gather(path and path.name)[0]
        if chosen != (path and path.name):  # this node sees the folder as it was, or has another one
            path = chosen and states / chosen
            if path and not path.is_file():
                raise InputError(
                    f'The first process continues from {chosen}, but process {opt["rank"]} does not find {path}. Start '
                    'every node in the same folder, on a disk that all of them share.'
                )
            state = path and _read_state(path)
        if state and given:
            warnings.warn(f'--auto_resume continues from {path}, not from path.resume_state: {given}.', stacklevel=2)
    if state is None and given:
        path, state = given, _read_state(given)
    if state is None:
        return None
    if isinstance(opt['manual_seed'], DrawnSeed):
        opt['manual_seed'] = state.get('seed', opt['manual_seed'])
    opt['path']['resume_state'] = str(path)
    opt['resume'] = {'epoch': state['epoch'], 'iter': state['iter']}
    own, home = Path(opt['path']['models']), Path(path).expanduser().resolve().parent.parent / 'models'
    opt['path']['models'] = str(own if own.resolve() == home else home)  # networks lie beside their state
    check_resume(opt, state['iter'])
    opt['path']['models'] = str(own)
    if own.resolve() != home:  # the state of another experiment: this one begins, as a fresh run does
        make_exp_dirs(opt)
    return state


def _read_state(path):
    state = read_checkpoint(path)
    numbers, lists = ([state.get(key) for key in keys] for keys in (('epoch', 'iter'), ('optimizers', 'schedulers')))
    sound = all(type(number) is int and number >= 0 for number in numbers)
    sound &= all(isinstance(one, list) and all(isinstance(entry, dict) for entry in one) for one in lists)
    if not sound or not all('param_groups' in entry and 'state' in entry for entry in state['optimizers']):
        raise InputError(
            f'{path} is not a training state: expected a file experiments/<name>/training_states/<iter>.state with '
            f'epoch, iter, optimizers and schedulers in it. Network weights belong in path.pretrain_network_g.'
        )
    return state


def _newest_complete_state(states, models, networks):
    numbered = {int(p.stem): p for p in states.glob('*.state') if re.fullmatch(r'\d+', p.stem)}
    for iteration in sorted(numbered, reverse=True):
        path = numbered[iteration]
        files = [models / f'{network}_{iteration}.pth' for network in networks]
        if missing := [f'models/{file.name}' for file in files if not file.is_file()]:
            warnings.warn(f'{path} is left out: its network {missing[0]} is missing.', stacklevel=2)
            continue
        try:
            for file in files:
                unwrap_state_dict(read_checkpoint(file))
            return path, _read_state(path)
        except ValueError as error:
            warnings.warn(f'{path} is left out: {error}', stacklevel=2)
    return None, None


def with_resumable_data(create_train_val_dataloader):
    """Wrap ``basicsr.train.create_train_val_dataloader`` so that data are replayed and resumed exactly.

    The sampler gets the run's seed and, on resume, the position within the epoch. The loaders draw their workers'
    seeds from generators of their own, so the global random state belongs to the model alone. The number of epochs
    is counted in full batches (BasicSR rounds a part of a batch up, which ends a run on a small dataset too early).

    Raises:
        ValueError: The training set does not fill one batch.
    """

    from stea_arch.data.loading import TrainingLoader  # here: see stea_arch.plugin

    def create(opt, logger):
        if opt['auto_resume'] and 'resume' not in opt:
            states = opt['path']['training_states']
            logger.warning(f'--auto_resume found no complete state in {states}: the run starts from the beginning.')
        train_loader, sampler, val_loaders, _, total_iters = create_train_val_dataloader(opt, logger)
        iters_per_epoch = len(train_loader)
        if iters_per_epoch == 0:
            raise InputError(
                f'datasets.train: {len(sampler)} samples an epoch on each process do not fill one batch of '
                f'{train_loader.batch_size}. Lower batch_size_per_gpu or raise dataset_enlarge_ratio.'
            )
        if (done := opt.get('resume', {}).get('iter', 0)) > total_iters:
            logger.warning(
                f'The state is of iteration {done}, and train.total_iter is {total_iters}: nothing is left to do.'
            )
        Pipeline.sampler, Pipeline.val_loaders = sampler, val_loaders
        sampler.seed = opt['manual_seed']
        for loader in [train_loader, *val_loaders]:
            loader.generator = torch.Generator().manual_seed(opt['manual_seed'])
        if sys.platform == 'linux' and train_loader.num_workers:
            train_loader.multiprocessing_context = 'fork'  # not the default any more from Python 3.14 on, where workers
            # would import torch and BasicSR anew in every epoch, without what compat.py mends
        if 'resume' in opt:
            position = opt['resume']['iter'] - opt['resume']['epoch'] * iters_per_epoch
            if 0 <= position <= iters_per_epoch:
                sampler.start_at(opt['resume']['epoch'], position * train_loader.batch_size)
            else:
                logger.warning(
                    'Dataset, batch size or number of processes changed since the state was saved: '
                    f'epoch {opt["resume"]["epoch"]} starts over, and the run is not the one it would have been.'
                )
        device = torch.device('cuda' if opt['num_gpu'] else 'cpu')
        train_loader = TrainingLoader(train_loader, device if opt['datasets']['train'].get('device_images') else None)
        # an epoch more than needed never runs: the loop stops at total_iter
        total_epochs = max(math.ceil(total_iters / iters_per_epoch), opt.get('resume', {}).get('epoch', 0) + 1)
        return train_loader, sampler, val_loaders, total_epochs, total_iters

    return create
