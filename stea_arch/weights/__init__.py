"""Networks by name or by file: the shipped weights, checkpoints that stea_arch trained, and the authors' own."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

from stea_arch.system.errors import InputError

FOLDER = Path(__file__).parent
DEFAULT = 'realnet-s-x4'


def shipped():
    """The shipped networks: name -> entry of ``registry.json`` (``purpose``, ``file``, ``sha256``)."""
    return json.loads((FOLDER / 'registry.json').read_text(encoding='utf-8'))


def load_network(model: str | os.PathLike = DEFAULT) -> nn.Module:
    """A network with its weights, in eval mode, on the CPU, in fp32.

    The architecture is what a file of ours says (trainings and ``stea-export`` write it), else it is found from the
    names and shapes of the parameters, in our naming or in the authors', else among the networks of others, see
    :mod:`stea_arch.weights.others`. ``params_ema`` is preferred to ``params``.

    Args:
        model (str | PathLike): the name of a shipped network, or a ``.pth`` or ``.safetensors`` file. Nothing in a file
            is executed.

    Returns:
        nn.Module: ``(B, 3, H, W)`` RGB in [0, 1] -> ``(B, 3, upscale H, upscale W)``; ``upscale`` is its attribute.

    Raises:
        FileNotFoundError: neither a shipped network nor a file has that name.
        ValueError: the file is damaged, or holds another network.
    """
    path = find_weights(model)

    from stea_arch.weights.detect import build_network, identify, is_known
    from stea_arch.weights.files import read_architecture, read_checkpoint

    content = read_checkpoint(path)
    architecture = read_architecture(path, content)
    try:
        if not is_known(content, architecture):
            from stea_arch.weights.others import load_other

            return load_other(content, architecture)
        return build_network(*identify(content, architecture))
    except ValueError as error:
        raise InputError(f'{path}: {error}') from error


def mix_networks(start: nn.Module, end: nn.Module, share: float) -> nn.Module:
    """A network whose weights lie between those of two, as Real-ESRGAN weighs two by its strength of denoising.

    Args:
        start (nn.Module), end (nn.Module): of one architecture; the second was best trained from the first.
        share (float): 0 is ``start``, 1 is ``end``.

    Returns:
        nn.Module: A third one.

    Raises:
        ValueError: their architectures differ.
    """
    mixed, weights, others = copy.deepcopy(end), end.state_dict(), start.state_dict()
    shapes = [{name: value.shape for name, value in each.items()} for each in (weights, others)]
    differing = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
    if type(start) is not type(end) or differing:
        raise InputError(
            f'Weights can be mixed between networks of one architecture, got a {type(start).__name__} and a '
            f'{type(end).__name__} that differ in {differing[0] if differing else "their class"}.'
        )
    mixed.load_state_dict({name: others[name].lerp(value, share) for name, value in weights.items()})
    return mixed


def read_network(path, architecture=None):
    """What a checkpoint holds.

    Args:
        path (str | PathLike): a ``.pth`` or ``.safetensors`` file.
        architecture (tuple[str, dict] | None): class and arguments, where they are known; None: see
            :func:`load_network`.

    Returns:
        tuple[str, dict, dict[str, Tensor]]: class, arguments, and the weights in our naming.

    Raises:
        FileNotFoundError, ValueError: see :func:`load_network`.
    """
    from stea_arch.weights.detect import identify
    from stea_arch.weights.files import read_architecture, read_checkpoint

    content = read_checkpoint(path)
    architecture = architecture or read_architecture(path, content)
    try:
        return identify(content, architecture)
    except ValueError as error:
        raise InputError(f'{path}: {error}') from error


def find_weights(model):
    """The file of ``model``, a shipped name or a path.

    Raises:
        FileNotFoundError: there is neither; the message lists the shipped names.
        ValueError: a shipped file is not the one that was shipped.
    """
    known = shipped()
    if str(model) not in known:
        if not os.path.isfile(Path(model).expanduser()):  # also where the system refuses the name
            folder = 'a folder, ' if os.path.isdir(model) else ''
            raise FileNotFoundError(
                f'{model!s:.200} is {folder}neither a file (.pth or .safetensors) nor one of the shipped networks: '
                f'{", ".join(known) or "there are none in this version"}.'
            )
        return Path(model).expanduser()
    entry = known[str(model)]
    path = FOLDER / entry['file']
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry['sha256']:
        raise InputError(
            f'The weights of {model} at {path} are missing or not those that were shipped (another SHA-256). Install '
            'stea_arch again.'
        )
    return path
