"""How the training model saves, loads, prunes and resumes."""

import random
import re
from pathlib import Path

import numpy as np
import torch
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only

from stea_arch.models.resumed_options import follow_options
from stea_arch.resume import Pipeline
from stea_arch.system.errors import InputError
from stea_arch.system.launch import gather
from stea_arch.system.stopping import Stopped, request
from stea_arch.weights.authors_naming import from_published, is_published
from stea_arch.weights.files import (
    check_weights,
    find_param_key,
    read_checkpoint,
    unwrap_state_dict,
    write_checkpoint,
)


class CheckpointMixin:
    """Replaces the file side of ``BaseModel``: complete files only, errors that name keys, exact continuation."""

    def save(self, epoch, current_iter):
        """Save network and state of an iteration, then remove old ones. Called on every process.

        The state is written after the network, and removed before it: where a state is, its network is too.
        """
        self.random_states = gather(get_random_state())
        self.extra = self.extra_state()
        super().save(epoch, current_iter)
        self._prune()

    def stop_if_asked(self, done):
        """Between two steps: where this process (or, at every ``print_freq``, another one) was asked to, save and end.

        Args:
            done (int): Steps that are done.

        Raises:
            Stopped: With the state that is saved now.
        """
        request.armed = True
        if self.opt['dist'] and done % self.opt['logger']['print_freq']:
            return  # all processes must see it at the same step
        if not any(gather(request.signal)):
            return
        state = Path(self.opt['path']['training_states'], f'{done}.state')
        if done and not state.is_file():
            self.save(Pipeline.sampler.epoch, done)
        raise Stopped(state if done else None)

    def extra_state(self):
        """What a model adds to the training state, ``{name: plain values and tensors}``; called on every process."""
        return {}

    def load_extra_state(self, state):
        """Take over what :meth:`extra_state` added to the training state."""

    @master_only
    def save_network(self, net, net_label, current_iter, param_key='params'):
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        content = {key: _cpu_state_dict(self.get_bare_model(net_)) for net_, key in zip(nets, keys, strict=True)}
        label = 'latest' if current_iter == -1 else current_iter
        write_checkpoint(content, Path(self.opt['path']['models'], f'{net_label}_{label}.pth'))

    @master_only
    def save_training_state(self, epoch, current_iter):
        if current_iter == -1:  # the end of the run: there is nothing to continue
            return
        state = {
            'epoch': epoch,
            'iter': current_iter,
            'optimizers': [o.state_dict() for o in self.optimizers],
            'schedulers': [s.state_dict() for s in self.schedulers],
            'scaler': self.scaler.state_dict(),
            'bad_steps': self.bad_steps,
            'random_states': self.random_states,
            **self.extra,
        }
        write_checkpoint(state, Path(self.opt['path']['training_states'], f'{current_iter}.state'))

    def resume_training(self, resume_state):
        """Continue where ``resume_state`` was saved: optimiser, schedule, loss scale, random state, best metrics.

        Raises:
            ValueError: It is of a model with another number of optimisers, such as another stage.
        """
        held, needed = len(resume_state['optimizers']), len(self.optimizers)
        if held != needed:
            raise InputError(
                f'The training state holds {held} optimiser(s) and {self.opt["model_type"]} has {needed}: it is of '
                'another stage or model. Start from its network: path.pretrain_network_g, with resume_state: ~.'
            )
        for group in [group for state in resume_state['optimizers'] for group in state['param_groups']]:
            group.update(fused=True, foreach=None)  # also those of a state that another model saved
        written = [(o.state_dict()['param_groups'], s.state_dict()) for o, s in zip(self.optimizers, self.schedulers)]
        try:
            super().resume_training(resume_state)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f'The optimisers of the training state do not fit the networks of the option file ({error}). Use the '
                'options it was trained with, or start from its network: path.pretrain_network_g.'
            ) from error
        for optimizer, scheduler, saved, options in zip(
            self.optimizers, self.schedulers, resume_state['schedulers'], written
        ):
            follow_options(optimizer, scheduler, saved, *options)
        self.step = resume_state['iter']
        if 'random_states' not in resume_state:
            get_root_logger().warning('The state was saved by another model: it continues, but not exactly.')
            return
        self.scaler.load_state_dict(resume_state['scaler'])
        self.guard.in_a_row.fill_(resume_state['bad_steps'])
        states = resume_state['random_states']
        if len(states) == self.opt['world_size']:
            set_random_state(states[self.opt['rank']])
        else:
            get_root_logger().warning(
                f'The state was saved by {len(states)} processes, and this run has {self.opt["world_size"]}: it '
                'continues, but not exactly.'
            )
        self.load_extra_state(resume_state)
        self.replay_validations(self.step)
        self.resumed = True

    @master_only
    def save_best_network(self):
        """Keep the present weights as ``net_g_best.pth``, in the format of every other checkpoint."""
        nets, keys = [self.net_g], ['params']
        if hasattr(self, 'net_g_ema'):
            nets, keys = [self.net_g, self.net_g_ema], ['params', 'params_ema']
        self.save_network(nets, 'net_g', 'best', keys)

    @master_only
    def _prune(self):
        keep = self.opt['logger'].get('keep_checkpoints')
        if not keep:
            return
        states, models = Path(self.opt['path']['training_states']), Path(self.opt['path']['models'])
        for folder, start in ((states, ''), (models, 'net_g_'), (models, 'net_d_')):
            pattern = rf'{start}(\d+)\.(?:state|pth)'
            numbered = {int(m.group(1)): p for p in folder.iterdir() if (m := re.fullmatch(pattern, p.name))}
            for iteration in sorted(numbered)[:-keep]:
                numbered[iteration].unlink()

    def load_network(self, net, load_path, strict=True, param_key='params'):
        """Load weights; those in the authors' naming are renamed on the way.

        Args:
            net (nn.Module): Filled in place.
            load_path (str): ``.pth`` or ``.safetensors``.
            strict (bool): Every name and shape must agree; else what agrees is loaded and the rest reported.
            param_key (str): ``params`` or ``params_ema``; where the file has only the other, that is loaded with a
                warning, and ``loaded_keys`` has it by the file's path.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is damaged, unsafe, or belongs to another network; or its weights are not finite.
        """
        logger = get_root_logger()
        net = self.get_bare_model(net)
        checkpoint = read_checkpoint(load_path)
        key = find_param_key(checkpoint, param_key)
        logger.info(f'Loading {type(net).__name__} from {load_path} [{key or "bare weights"}].')
        if key != param_key and (key or param_key != 'params'):
            logger.warning(f'{load_path} has no {param_key}: its {key or "bare weights"} are loaded in their place.')
        self.loaded_keys = {**getattr(self, 'loaded_keys', {}), str(load_path): key}
        loaded = unwrap_state_dict(checkpoint, param_key)
        if is_published(loaded):
            loaded, _ = from_published(loaded)
        wanted = net.state_dict()
        fits = {k: v for k, v in loaded.items() if k in wanted and _shape(v) == _shape(wanted[k])}
        if len(fits) < len(wanted) or len(fits) < len(loaded):
            report = _difference(wanted, loaded)
            if strict:
                raise InputError(
                    f'{load_path} does not fit {type(net).__name__} as network_g describes it. {report} Use the '
                    'options the checkpoint was trained with, or path.strict_load_g: false to load what fits.'
                )
            logger.warning(f'{load_path}: {len(fits)} of {len(wanted)} parameters fit and are loaded. {report}')
        check_weights(fits, net, load_path)
        net.load_state_dict(fits, strict=False)


def _difference(wanted, loaded):
    def some(names):
        return f'{len(names)} ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'

    parts = []
    if missing := [name for name in wanted if name not in loaded]:
        parts.append(f'Missing in the file: {some(missing)}.')
    if extra := [name for name in loaded if name not in wanted]:
        parts.append(f'Unknown to the network: {some(extra)}.')
    if other := [name for name in wanted if name in loaded and _shape(wanted[name]) != _shape(loaded[name])]:
        name = other[0]
        parts.append(
            f'Of another shape: {some(other)}, the first {_shape(loaded[name])} in the file and '
            f'{_shape(wanted[name])} in the network.'
        )
    return ' '.join(parts)


def _shape(value):
    return tuple(getattr(value, 'shape', ()))


def _cpu_state_dict(net):
    return {name: value.detach().cpu() for name, value in net.state_dict().items()}


def get_random_state():
    """State of the global generators (Python, NumPy, torch, CUDA) as plain values and tensors."""
    version, keys, gauss = random.getstate()
    _, np_keys, np_pos, np_has_gauss, np_gauss = np.random.get_state()  # noqa: NPY002  (BasicSR's datasets use it)
    return {
        'python': [version, list(keys), gauss],
        'numpy': [torch.from_numpy(np_keys.astype(np.int64)), int(np_pos), int(np_has_gauss), float(np_gauss)],
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state):
    """Restore what :func:`get_random_state` returned."""
    version, keys, gauss = state['python']
    random.setstate((version, tuple(keys), gauss))
    np_keys, *rest = state['numpy']
    np.random.set_state(('MT19937', np_keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state['torch'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])
