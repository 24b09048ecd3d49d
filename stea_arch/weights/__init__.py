"""Networks by name or by file: the shipped weights, checkpoints that stea_arch trained, and the authors' own."""

from __future__ import annotations

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
    names and shapes of the parameters, in our naming or in the authors'. ``params_ema`` is preferred to ``params``.

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

    from stea_arch.weights.detect import build_network

    found = read_network(path)
    try:
        return build_network(*found)
    except ValueError as error:
        raise InputError(f'{path}: {error}') from error


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
            raise FileNotFoundError(
                f'{model!s:.200} is neither a file (.pth or .safetensors) nor one of the shipped networks: '
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
