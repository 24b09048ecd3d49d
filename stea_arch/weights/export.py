"""Networks for other programs: ONNX, safetensors that say what they are, and the authors' own naming."""

import copy
import logging
from contextlib import contextmanager

from stea_arch.system.errors import InputError
from stea_arch.system.files import whole_or_nothing
from stea_arch.system.packages import require

TOLERANCE, HALF_TOLERANCE = 1e-4, 0.02  # largest difference in an image of [0, 1] between ONNX and PyTorch
SHAPES = ((1, 3, 24, 20), (1, 3, 17, 30), (2, 3, 5, 8))  # of the images it is checked on


def write_onnx(network, path, opset=None, half=False):
    """Write a network as ONNX, its weights inside, with free batch size, height and width; see :func:`export_onnx`.

    Raises:
        ImportError: The packages of the extra ``export`` are missing.
        ValueError: There is no such opset, or the network cannot be written with it.
    """
    import torch

    require_exporter()
    channels, s, free = network.num_in_ch, network.upscale, torch.export.Dim.DYNAMIC
    example = torch.rand(2, channels, 13, 10)
    if half:
        network, example = copy.deepcopy(network).half(), example.half()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=opset,
            dynamic_shapes={'lq': {0: free, 2: free, 3: free}},
            input_names=['lq'],
            output_names=['sr'],
            verbose=False,
        )
    written = program.model.opset_imports['']
    if opset not in (None, written):
        raise ValueError(f'The exporter writes this network with opset {written}, and {opset} was asked for.')
    (lq,), (sr,) = program.model.graph.inputs, program.model.graph.outputs
    lq.shape = type(lq.shape)(['batch', channels, 'height', 'width'])  # torch 2.6 takes no names
    sr.shape = type(sr.shape)(['batch', channels, f'{s}*height', f'{s}*width'])
    colours = {1: 'gray', 3: 'RGB'}.get(channels, str(channels))
    program.model.metadata_props.update(scale=str(s), channels=colours, range='[0, 1]')
    program.save(path, external_data=False)


def export_onnx(network, path, fuse=False, opset=None, half=False):
    """Write a network as ONNX with free batch size, height and width, and check it against PyTorch.

    Input ``lq``: ``(batch, 3, height, width)`` RGB in [0, 1]; output ``sr``: ``(batch, 3, upscale height, upscale
    width)``, not clamped. The file's metadata have ``scale``, ``channels`` and ``range``.

    Args:
        network (nn.Module): In eval mode, on the CPU.
        path (str | Path): Target; it appears only if the check holds.
        fuse (bool): Merge what is linear first: the same function, faster where the program that runs it does not do
            so itself.
        opset (int | None): Version of ONNX's operators; None: the exporter's own.
        half (bool): Weights, input and output in fp16 instead of fp32.

    Returns:
        float: The largest difference from ``network`` that was found, on images of noise.

    Raises:
        ImportError: The packages of the extra ``export`` are missing.
        ValueError: The difference is above 1e-4, or 0.02 in fp16; or there is no such opset.
    """
    import torch

    onnxruntime = require('onnxruntime', 'export')
    allowed = HALF_TOLERANCE if half else TOLERANCE
    with whole_or_nothing(path) as partial:
        write_onnx(network.fuse() if fuse else network, partial, opset, half)
        session = onnxruntime.InferenceSession(partial, providers=['CPUExecutionProvider'])
        largest = 0
        for shape in SHAPES:
            lq = torch.rand(shape, generator=torch.Generator().manual_seed(0))
            (sr,) = session.run(None, {'lq': (lq.half() if half else lq).numpy()})
            with torch.no_grad():
                largest = max(largest, float((torch.from_numpy(sr) - network(lq)).abs().max()))
        if not largest <= allowed:
            raise ValueError(
                f'{path} was not written: its output differs from that of PyTorch by up to {largest:.1e}, and at most '
                f'{allowed:.0e} was expected. Try other versions of torch and onnxscript.'
            )
    return largest


def require_exporter():
    """Raise an ImportError that says what to install where ONNX cannot be written."""
    for package in ('onnx', 'onnxscript'):
        require(package, 'export')


@contextmanager
def _quiet():
    """The exporter warns about what it is about to handle well."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def export_safetensors(source, path, half=False, architecture=None):
    """Write a checkpoint as safetensors whose metadata name the network, so that ``load_network`` needs nothing else.

    Args:
        source (str | PathLike): Any checkpoint that ``load_network`` reads, or one whose ``architecture`` is given.
        path (str | Path): Target, ``.safetensors``.
        half (bool): Store in fp16, half the size. It is loaded as fp32.
        architecture (tuple[str, dict] | None): Class and arguments, where names and shapes do not tell them.

    Raises:
        ValueError: The weights do not fit the network, or say that they are of another, or are too large for fp16.
    """
    import torch

    from stea_arch.weights import read_network
    from stea_arch.weights.detect import build_network, contradiction
    from stea_arch.weights.files import read_architecture, read_checkpoint, write_safetensors

    name, arguments, weights = read_network(source, architecture)
    network = build_network(name, arguments, weights)
    if architecture and (report := contradiction(read_architecture(source, read_checkpoint(source)), network)):
        raise InputError(f'{source} says that it was trained with {report}: leave --opt out.')
    if half:
        largest = max(float(value.abs().max()) for value in weights.values())
        if not largest <= torch.finfo(torch.float16).max:
            raise ValueError(f'fp16 holds up to 65504, but a weight of {source} is {largest:.0f}: leave --half out.')
        weights = {key: value.half() for key, value in weights.items()}
    write_safetensors(weights, path, name, arguments)


def export_published(source, path, module=None):
    """Write a checkpoint of ours in the authors' naming, as their code loads it: under ``params``, in a ``.pth`` file.

    Args:
        source (str | PathLike): Any checkpoint that ``load_network`` reads.
        path (str | Path): Target.
        module (str | None): See :func:`stea_arch.weights.authors_naming.to_published`.

    Raises:
        ValueError: The authors' code has no such network.
    """
    from stea_arch.weights import read_network
    from stea_arch.weights.authors_naming import to_published
    from stea_arch.weights.files import write_checkpoint

    _, arguments, weights = read_network(source)
    dilations = arguments.get('dilations', [2, 4, 6])
    if list(dilations) != [2, 4, 6]:  # which names and shapes do not always tell
        raise InputError(f"{source} has the dilations {dilations}, and the authors' code knows 2, 4, 6 alone.")
    write_checkpoint({'params': to_published(weights, module)}, path)


def read_option_file(path):
    """Class and arguments of ``network_g`` in a training's option file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not an option file, or has no network_g.
    """
    from stea_arch.options import OptionError
    from stea_arch.options.reading import read_file

    try:
        network = dict(read_file(path)[0].get('network_g') or {})
    except OptionError as error:
        raise ValueError(f'{path}: {error}') from error
    if 'type' not in network:
        raise ValueError(f'{path} has no network_g with a type: expected the option file of a training.')
    return network.pop('type'), network
