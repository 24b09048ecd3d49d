"""Reading and writing checkpoint files: nothing in them is executed, and none is ever half-written."""

import json
import pickle
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from stea_arch.system.errors import InputError
from stea_arch.system.files import whole_or_nothing

PARAM_KEYS = ('params', 'params_ema')
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class CheckpointNotWritten(RuntimeError):
    """A checkpoint could not be saved; those that were saved before are as they were."""


def read_checkpoint(path):
    """Load a ``.pth``, ``.state`` or ``.safetensors`` file onto the CPU without executing anything in it.

    Args:
        path (str | Path): The file.

    Returns:
        dict: What the file holds.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, not a checkpoint, or holds objects other than tensors and plain values.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f'{path} is a folder, expected a file of weights (.pth or .safetensors).')
    if not path.is_file():
        raise FileNotFoundError(f'Checkpoint {path} does not exist (working directory: {Path.cwd()}).')
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        with open(path, 'rb') as file:
            is_torchs = file.read(2).startswith((b'PK', b'\x80'))  # a zip, or a pickle
        if not is_torchs:
            raise InputError(f'{path} is not a checkpoint: expected a .pth or .safetensors file.') from error
        raise InputError(
            f'{path} is refused: expected a checkpoint of tensors and plain values, and found other objects in it, '
            'whose loading could execute code. If you trust its origin, save it again as a plain state dict with the '
            f'program that made it. ({_refused_object(error)})'
        ) from error
    except Exception as error:  # of any kind: torch's unpickler meets whatever a damaged file holds
        raise InputError(
            f'{path} could not be read as a checkpoint: it is damaged, cut short or of another format. Copy or '
            f'download it again. ({_first_line(error)})'
        ) from error
    if not isinstance(content, dict):
        raise InputError(f'{path} is not a checkpoint: expected a dict in it, got a {type(content).__name__}.')
    return content


def read_architecture(path, content):
    """The network that a file says it is of: in the metadata of safetensors, or as ``network_g`` beside the weights.

    Args:
        path (str | Path): The file.
        content (dict): What :func:`read_checkpoint` read from it.

    Returns:
        tuple[str, dict] | None: Class and arguments; None where the file does not say.

    Raises:
        ValueError: The metadata are damaged.
    """
    if Path(path).suffix != '.safetensors':
        arguments = content.get('network_g')
        if not isinstance(arguments, dict) or not isinstance(arguments.get('type'), str):
            return None
        return arguments['type'], {name: value for name, value in arguments.items() if name != 'type'}
    with safe_open(Path(path).expanduser(), 'pt') as file:
        metadata = file.metadata() or {}
    if 'architecture' not in metadata:
        return None
    try:
        arguments = json.loads(metadata.get('arguments', '{}'))
    except (ValueError, RecursionError) as error:
        arguments = error
    if not isinstance(arguments, dict):
        raise InputError(
            f'{path}: the metadata should hold the arguments of a network as JSON, got {arguments!r:.200}.'
        )
    return metadata['architecture'], arguments


def _refused_object(error):
    lines = [line.strip() for line in str(error).splitlines() if 'Unsupported' in line]
    return lines[0][:200] if lines else 'not a file of torch.save'


def _first_line(error):
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0][:200]}' if lines else type(error).__name__


def write_checkpoint(content, path):
    """Save so that ``path`` holds either what it held before or all of ``content``, whenever the process is killed.

    The bytes go to a neighbouring file whose name no reader looks for, are flushed to the disk, and take the name in
    one step.

    Args:
        content (dict): Tensors and plain values.
        path (str | Path): Target; replaced if it exists.

    Raises:
        CheckpointNotWritten: The disk is full, say.
    """
    path = Path(path)
    try:
        with whole_or_nothing(path) as partial, open(partial, 'wb') as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:  # torch's writer makes the latter of the former
        free = shutil.disk_usage(path.parent).free / 1e6
        reason = getattr(error, 'strerror', None) or str(error).partition('\n')[0]
        raise CheckpointNotWritten(
            f'{path} could not be saved: {reason} ({free:,.0f} MB are free there). What was saved '
            'before is intact. Make room there (logger.keep_checkpoints limits how many stay) and continue with '
            '--auto_resume.'
        ) from error


def write_safetensors(state_dict, path, architecture, arguments, **about):
    """Save weights together with what is needed to build their network, as text in the file's metadata.

    Args:
        state_dict (dict[str, Tensor]): In our naming; half precision is kept.
        path (str | Path): Target, ``.safetensors``; replaced if it exists.
        architecture (str): The network's class, e.g. 'LabNet'.
        arguments (dict): Its arguments: plain values that JSON can hold.
        **about (str): Further entries of the metadata.
    """
    metadata = {'format': 'pt', 'architecture': architecture, 'arguments': json.dumps(arguments), **about}
    # as bytes: safetensors' own files can be read by nobody but their owner
    data = save({name: value.contiguous() for name, value in state_dict.items()}, metadata)
    size = 8 + int.from_bytes(data[:8], 'little')
    header = json.loads(data[8:size])
    header['__metadata__'] = metadata  # safetensors shuffles it, and the same weights would have another SHA-256
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    data = len(text).to_bytes(8, 'little') + text + data[size:]
    with whole_or_nothing(path) as partial:
        partial.write_bytes(data)


def find_param_key(checkpoint, param_key='params'):
    """Which entry of a checkpoint holds the weights.

    Args:
        checkpoint (dict): As read: ``{'params': ..., 'params_ema': ...}`` or the bare state dict.
        param_key (str | None): The wanted entry; None: ``params``.

    Returns:
        str | None: ``param_key`` where it is there, else the other one of the two; None for a bare state dict.

    Raises:
        ValueError: ``param_key`` is not ``params`` or ``params_ema``.
    """
    if param_key not in (*PARAM_KEYS, None):
        raise InputError(f'param_key must be {" or ".join(PARAM_KEYS)}, got {param_key!r}.')
    return next((key for key in (param_key, *PARAM_KEYS) if isinstance(checkpoint.get(key), dict)), None)


def unwrap_state_dict(checkpoint, param_key='params'):
    """The weights of a checkpoint, without the ``module.`` that DataParallel leaves on names.

    Args, raises: as for :func:`find_param_key`.

    Returns:
        dict[str, Tensor]: Names as the network has them.

    Raises:
        ValueError: It holds something else than names and tensors.
    """
    key = find_param_key(checkpoint, param_key)
    weights = checkpoint[key] if key else checkpoint
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(
                f'Weights were expected, that is names with tensors, bare or under params or params_ema, got a '
                f'{type(value).__name__} as {name!r}. Pass the file of a network, not that of a training state.'
            )
        plain = value.layout is torch.strided and not value.is_quantized
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(
                f'Plain tensors with all their values were expected, but {name} of shape {tuple(value.shape)} is '
                'sparse, quantised or expanded. Save a plain state dict.'
            )
    return {name.removeprefix('module.'): value for name, value in weights.items()}


def check_weights(weights, network, where):
    """Refuse what loading would cast without a word, and what makes every result black.

    Args:
        weights (Mapping[str, Tensor]): By the network's names; others are not looked at.
        network (nn.Module): What they are for.
        where (str | Path): Where they come from, for the message.

    Raises:
        ValueError: A parameter that is floating in the network is whole numbers, Boolean or complex here; or
            one is not finite.
    """
    floating = [name for name, value in network.state_dict().items() if value.is_floating_point() and name in weights]
    other = [name for name in floating if weights[name].dtype not in FLOATING]
    if other:
        raise InputError(
            f'{where}: floating-point weights were expected (fp16, bf16, fp32 or fp64), got '
            f'{weights[other[0]].dtype} in {len(other)} of {len(floating)} parameters, the first {other[0]}. Save the '
            'network in floating point; quantised weights need their scales, which are not known here.'
        )
    broken = [name for name in floating if not weights[name].isfinite().all()]
    if broken:
        raise InputError(
            f'{where}: {len(broken)} of {len(floating)} parameters hold values that are not finite (NaN or infinite), '
            f'the first {broken[0]}. The training had diverged or the file is damaged: take an earlier checkpoint.'
        )
