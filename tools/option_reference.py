"""``python tools/option_reference.py``: the page of all option keys of ours, options/REFERENCE.md.

Nothing is written down for it: which keys there are and what they may be comes from the tables of the strict check,
defaults from signatures, meanings from the docstrings of what reads them. A key without a meaning is an error.
"""

import argparse
import inspect
import re
import sys
from pathlib import Path

from stea_arch.archs.bicubic_arch import Bicubic
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet, TwoStreams
from stea_arch.compare import options as compare
from stea_arch.data.classical_dataset import ClassicalDegradationDataset
from stea_arch.data.realworld_dataset import RealWorldDataset
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.degradations.second_order_sampling import SecondOrderSampler
from stea_arch.inference.upscale import METHODS, upscale_tensor
from stea_arch.models.realgan_model import RealGANModel
from stea_arch.models.realnet_model import RealNetModel
from stea_arch.models.second_order import SecondOrderMixin
from stea_arch.models.training import TrainingMixin
from stea_arch.options import schema, schema_data
from stea_arch.options.signatures import argument_kind

# One or several names, each with what it is in brackets, a colon, and the meaning, as all our docstrings have it.
ENTRY = re.compile(r'(?:- )?((?:`*[\w.]+`*(?: \([^()]*\))?, )*`*[\w.]+`* \([^()]*\)): (.*)')
NO_DEFAULT = inspect.Parameter.empty


def described(text):
    """What a docstring says about each name: ``{name: meaning}``, on one line each.

    Args:
        text (str | None): A docstring with entries ``name (kind): meaning`` or ``- ``name`` (kind): meaning``, which
            go on in lines that are indented more.

    Returns:
        dict[str, str]: Dotted names by their last part.
    """
    meanings, names, indent = {}, [], 0
    for line in inspect.cleandoc(text or '').splitlines():
        own = len(line) - len(line.lstrip())
        entry = ENTRY.fullmatch(line.strip())
        if entry:
            plain = re.sub(r' \([^()]*\)|`', '', entry[1])
            names, indent = [name.rpartition('.')[2] for name in plain.split(', ')], own
            meanings.update(dict.fromkeys(names, entry[2]))
        elif line.strip() and own > indent:
            meanings.update({name: f'{meanings[name]} {line.strip()}' for name in names})
        else:
            names = []
    return meanings


def meaning_of(name, documents):
    """The meaning of a key, from the first docstring that has it; those ending in 2 belong to the second pass.

    Raises:
        KeyError: No docstring has it.
    """
    for candidate, addition in ((name, ''), (name.removesuffix('2'), ' (second pass)')):
        for document in documents:
            found = described(document).get(candidate)
            if found:
                return found[0].upper() + found[1:].rstrip('.') + addition
    raise KeyError(f'no docstring says what {name} means')


def rows_of_table(table, documents, prefix='', sampler=None):
    """Rows of a section that the check knows by a table of keys; defaults from the signature of ``sampler``."""
    defaults = inspect.signature(sampler).parameters if sampler else {}
    for name, key in table.items():
        meaning = meaning_of(name, documents)
        if name in defaults:
            meaning = f'{meaning}. Default: {_written(defaults[name].default)}'
        yield f'{prefix}{name}', key.kind.expected, meaning


def rows_of_signature(target, documents, leave_out=()):
    """Rows of a section that becomes the arguments of ``target``."""
    for name, parameter in inspect.signature(target).parameters.items():
        if name in leave_out or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        default = parameter.default
        expected = argument_kind(target.__name__, name, default).expected
        meaning = meaning_of(name, documents)
        if default is not NO_DEFAULT:
            meaning = f'{meaning}. Default: {_written(default)}'
        yield name, expected, meaning


def markdown(rows):
    """A table of rows ``(key, value, meaning)``."""
    lines = ['| key | value | meaning |', '|---|---|---|']
    for key, *cells in rows:
        lines.append(f'| `{key}` | ' + ' | '.join(_plain(cell).replace('|', '\\|') for cell in cells) + ' |')
    return '\n'.join(lines)


def page():
    """The whole page, as Markdown."""
    parts = [HEAD]
    for title, about, rows in _sections():
        parts.append(f'## {title}\n\n{about}\n\n{markdown(rows)}')
    return '\n\n'.join(parts) + '\n'


HEAD = """# Option keys of stea_arch

Made by `python tools/option_reference.py` from the tables of the check and the docstrings: change those, not this
page. Option files are BasicSR's; here are the keys that only our models, datasets, networks and commands read. All
others mean what they mean in BasicSR. `python -m stea_arch.options FILE` names every key that nothing would read."""


def _sections():
    mixin = TrainingMixin.__doc__
    ours = schema.OURS
    rows = [
        row for name in ('path', 'train', 'val', 'logger') for row in rows_of_table(ours[name], [mixin], f'{name}.')
    ]
    yield (
        'All models of ours',
        '`model_type: LabNetModel`, `RealNetModel` or `RealGANModel`, beside the keys of SRModel and SRGANModel. '
        f'`optim_g.type` is {" or ".join(ours["optimizers"])}.',
        rows,
    )
    sizes = {name: bounds for method in METHODS.values() for name, bounds in method.items()}
    rows = [('method', ' or '.join(METHODS), 'Default: whole')]
    for name, (_, least) in sizes.items():
        rows.append((name, f'an integer >= {least}', meaning_of(name, [upscale_tensor.__doc__])))
    yield (
        '`val.inference`',
        'How an image is computed; `whole`, `strips`, `tiles` and `local` are described at '
        '`stea_arch.inference.upscale_tensor` and in the README.',
        rows,
    )
    table = {**schema.OUR_SECOND_ORDER, 'gt_usm': schema.REALNET_MODEL['top']['gt_usm'], **schema.USM}
    documents = [SecondOrderSampler.__doc__, SecondOrderMixin.__doc__, RealNetModel.__doc__, RealGANModel.__doc__]
    yield (
        'Second-order degradation',
        'At the top level, with `RealNetModel` and `RealGANModel`; `gt_usm` belongs to the former, `l1_gt_usm`, '
        '`percep_gt_usm` and `gan_gt_usm` to the latter.',
        rows_of_table(table, documents, sampler=SecondOrderSampler),
    )
    for dataset, more in ((ClassicalDegradationDataset, ()), (RealWorldDataset, (KernelSampler.__doc__,))):
        table = schema_data.DATASETS[dataset.__name__]
        own = {name: key for name, key in table.items() if name not in schema_data.LOADER}
        yield (
            f'`type: {dataset.__name__}`',
            'In `datasets.train`' + ('.' if more else ', and in `datasets.val` and `datasets.test_1` for evaluation.'),
            rows_of_table(own, [dataset.__doc__, *more], sampler=KernelSampler if more else None),
        )
    for network, more in (
        (LabNet, ()),
        (RealNet, (TwoStreams.set_strengths.__doc__, LabNet.__doc__)),
        (Bicubic, ()),
    ):
        yield (
            f'`network_g.type: {network.__name__}`',
            _first(network),
            rows_of_signature(network, [network.__doc__, *more]),
        )
    tables = {
        '': compare.TOP,
        'networks.NAME.': compare.NETWORK,
        'datasets.NAME.': compare.DATASET,
        'datasets.NAME.crop.': compare.CROP,
        'cost.': compare.COST,
        'crops.': compare.CROPS,
    }
    paragraphs = compare.__doc__.split('\n\n')[1:]
    rows = []
    for (prefix, table), paragraph in zip(tables.items(), paragraphs, strict=True):
        rows += rows_of_table(table, [paragraph], prefix)
    yield 'Comparison files', 'For `stea-compare -opt FILE`; see options/compare.', rows


def _first(target):
    return _plain(' '.join(inspect.cleandoc(target.__doc__).split('\n\n')[0].split()))


def _plain(text):
    text = re.sub(r':\w+:`~?([\w.]+)`', lambda found: f'`{found[1].rpartition(".")[2]}`', text)
    return text.replace('``', '`')


def _written(default):
    if default is None:
        return '~'
    if isinstance(default, bool):
        return str(default).lower()
    return str(list(default) if isinstance(default, tuple) else default)


def main(argv=None):
    """Write the page; 0 when done."""
    parser = argparse.ArgumentParser(prog='python tools/option_reference.py', description='Write the page of all keys.')
    parser.add_argument('--out', type=Path, default=Path('options/REFERENCE.md'))
    args = parser.parse_args(argv)
    args.out.write_text(page(), encoding='utf-8')
    print(f'{args.out} is written.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
