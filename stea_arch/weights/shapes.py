"""What a network's parameters are called and how large they are, before any network of that size is built."""

import re

import torch

from stea_arch.system.errors import InputError

STAGES = ('enc1', 'enc2', 'latent', 'dec1', 'dec2', 'refine')
FIRST_BLOCK = re.compile(rf'((?:\w+\.)?({"|".join(STAGES)}))\.0\.(.+)')
LONGEST_LIST = 64  # of an argument


def expected_shapes(network, arguments):
    """Names and shapes of the parameters of a LabNet or RealNet.

    One block of each stage is built, and that without memory for its parameters; the others are like it. So it costs
    little whatever the arguments, which may be those of a file, ask for.

    Args:
        network (type): The class.
        arguments (dict): Its arguments, ``num_blocks`` among them.

    Returns:
        dict[str, torch.Size]: name -> shape.

    Raises:
        ValueError: The class does not take these arguments.
    """
    try:
        blocks = dict(zip(STAGES, arguments['num_blocks'], strict=True))
        if any(isinstance(value, (list, tuple)) and len(value) > LONGEST_LIST for value in arguments.values()):
            raise InputError(f'a list of more than {LONGEST_LIST} elements')
        with torch.device('meta'):
            small = network(**{**arguments, 'num_blocks': [1] * len(STAGES)}).state_dict()
        shapes = {}
        for name, value in small.items():
            match = FIRST_BLOCK.fullmatch(name)
            numbers = range(blocks[match[2]]) if match else ()
            shapes.update({f'{match[1]}.{number}.{match[3]}': value.shape for number in numbers})
            if not match:
                shapes[name] = value.shape
    except Exception as error:  # of any kind: the arguments are whatever a file holds
        raise InputError(
            f'{network.__name__} cannot be built with the arguments found: {" ".join(str(error).split())}'
        ) from error
    return shapes


def difference(expected, found):
    """What is wrong with parameters, ``{name: shape}`` both, e.g. ``2 missing (a, b)``; empty where nothing is."""
    shared = [name for name in expected if name in found and tuple(found[name]) != tuple(expected[name])]
    groups = {
        'missing': [name for name in expected if name not in found],
        'unknown': [name for name in found if name not in expected],
        'wrongly shaped': [f'{name} {list(found[name])} instead of {list(expected[name])}' for name in shared],
    }
    return '; '.join(
        f'{len(names)} {kind} ({", ".join(names[:4])}{", ..." if len(names) > 4 else ""})'
        for kind, names in groups.items()
        if names
    )


def count_blocks(names):
    """How many blocks each stage has, by the names of the parameters of a LabNet or of one stream."""
    return [len({m[1] for m in (re.match(rf'{stage}\.(\d+)\.', name) for name in names) if m}) for stage in STAGES]
