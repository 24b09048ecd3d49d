"""The files of a training run: networks and states, saved, loaded and pruned; and the global random state."""

import itertools
import random
import re
from pathlib import Path

import numpy as np
import torch
from basicsr.utils import get_root_logger, get_time_str
from basicsr.utils.dist_util import master_only

from stea_arch.system.errors import InputError
from stea_arch.weights.authors_naming import from_published, is_published
from stea_arch.weights.detect import contradiction
from stea_arch.weights.files import (
    check_weights,
    find_param_key,
    read_architecture,
    read_checkpoint,
    unwrap_state_dict,
    write_checkpoint,
)
from stea_arch.weights.shapes import difference


class CheckpointStore:
    """Where a run's networks and training states lie: complete files, or none; errors name keys and shapes.

    Args:
        model (BaseModel): Of ours; its options say where.

    Attributes:
        loaded_keys (dict[str, str]): Which weights of each file were loaded: ``params`` or ``params_ema``.
    """

    def __init__(self, model):
        self.model = model
        self.loaded_keys = {}

    def _folder(self, name):
        return Path(self.model.opt['path'][name])

    def state_path(self, iteration):
        """The file of the training state of an iteration."""
        return self._folder('training_states') / f'{iteration}.state'

    @master_only
    def save_network(self, nets, label, keys):
        """Write ``<label>.pth``; beside the weights of a LabNet or RealNet what they are of, as ``network_g``.

        Args:
            nets (list[nn.Module]), keys (list[str]): Each network's weights are kept under its key.
            label (str): Such as ``net_g_5000``.
        """
        states = [self.model.get_bare_model(net).state_dict() for net in nets]
        states = [{name: value.detach().cpu() for name, value in state.items()} for state in states]
        content = dict(zip(keys, states, strict=True))
        if arguments := getattr(self.model.get_bare_model(nets[0]), 'hyperparameters', None):
            content['network_g'] = {'type': 'RealNet' if 'streams' in arguments else 'LabNet', **arguments}
        write_checkpoint(content, self._folder('models') / f'{label}.pth')

    @master_only
    def save_state(self, state):
        """Write the training state of the iteration ``state['iter']``."""
        write_checkpoint(state, self.state_path(state['iter']))

    @master_only
    def prune(self, keep):
        """Remove all but the newest ``keep`` states, and of each network all but as many numbered files."""
        for numbered in self._numbered():
            for iteration in sorted(numbered)[:-keep]:
                numbered[iteration].unlink()

    @master_only
    def set_aside(self, iteration):
        """Move states that are later than that of an iteration, and their networks, out of the way of a run that goes
        on from there: the newest of them would pass for its own.

        Returns:
            Path | None: ``experiments/<name>_archived_<time>``, with their folders in it; None: there is no such state.
        """
        states, *networks = ([p for n, p in found.items() if n > iteration] for found in self._numbered())
        if not states:
            return None
        root = self._folder('experiments_root')
        aside = root.with_name(f'{root.name}_archived_{get_time_str()}')
        for path in itertools.chain(states, *networks):
            (aside / path.parent.name).mkdir(parents=True, exist_ok=True)
            path.rename(aside / path.parent.name / path.name)
        names = ', '.join(sorted(path.name for path in states))
        get_root_logger().warning(
            f'The run goes on from iteration {iteration}. What it leaves behind ({names}, and their networks) is now '
            f'in {aside}.'
        )
        return aside

    def _numbered(self):
        """The files of states, and of each network, by their iteration."""
        states, models = self._folder('training_states'), self._folder('models')
        for folder, start in ((states, ''), (models, 'net_g_'), (models, 'net_d_')):
            pattern = rf'{start}(\d+)\.(?:state|pth)'
            yield {int(m.group(1)): p for p in folder.iterdir() if (m := re.fullmatch(pattern, p.name))}

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
        net = self.model.get_bare_model(net)
        checkpoint = read_checkpoint(load_path)
        key = find_param_key(checkpoint, param_key)
        logger.info(f'Loading {type(net).__name__} from {load_path} [{key or "bare weights"}].')
        if key != param_key and (key or param_key != 'params'):
            logger.warning(f'{load_path} has no {param_key}: its {key or "bare weights"} are loaded in their place.')
        self.loaded_keys[str(load_path)] = key
        loaded = unwrap_state_dict(checkpoint, param_key)
        if is_published(loaded):
            loaded, _ = from_published(loaded)
        wanted = {name: value.shape for name, value in net.state_dict().items()}
        if report := difference(wanted, {name: value.shape for name, value in loaded.items()}):
            if strict:
                raise InputError(
                    f'{load_path} does not fit {type(net).__name__} as network_g describes it: {report}. Use the '
                    'options the checkpoint was trained with, or path.strict_load_g: false to load what fits.'
                )
            loaded = {name: value for name, value in loaded.items() if value.shape == wanted.get(name)}
            logger.warning(f'{load_path}: {len(loaded)} of {len(wanted)} parameters fit and are loaded; {report}.')
        elif report := contradiction(read_architecture(load_path, checkpoint), net):
            if strict:
                raise InputError(
                    f'{load_path} fits {type(net).__name__}, but says that it was trained with {report}. Use the '
                    'options it was trained with, or path.strict_load_g: false to go on from it all the same.'
                )
            logger.warning(f'{load_path} was trained with {report}.')
        check_weights(loaded, net, load_path)
        net.load_state_dict(loaded, strict=False)


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
