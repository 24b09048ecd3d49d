"""``python tools/option_reference.py``: the page of all option keys of ours, options/REFERENCE.md.

Keys, what they may be and what they mean come from the tables of the strict check, defaults from signatures.
"""

import argparse
import inspect
import sys
from pathlib import Path

from stea_arch.archs.bicubic_arch import Bicubic
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.degradations.second_order_sampling import SecondOrderSampler
from stea_arch.inference.upscale import METHODS
from stea_arch.options import comparison, schema
from stea_arch.options.kinds import IMPORTS, Key, integer
from stea_arch.options.sections import argument_key

HEAD = """# Option keys of stea_arch

Made by `python tools/option_reference.py` from the tables of the check: change those, not this page. Option files are
BasicSR's; here are the keys that only our models, datasets, networks and commands read. All others mean what they mean
in BasicSR. `python -m stea_arch.options FILE` names every key that nothing would read."""
SIZES = {
    'strip': '`strips`: rows (columns, where the image is wider than high) of a strip at each level',
    'tile': '`tiles`: side of a tile in pixels of the input',
    'overlap': '`tiles`: least overlap of two tiles in pixels of the input',
}
NETWORKS = {
    LabNet: 'A three-level encoder-decoder of Taylor-expanded attention and large-field blocks over a bicubic skip.',
    RealNet: 'The generator that is trained on second-order degradations.',
    Bicubic: "MATLAB's bicubic, so that the baseline of every table passes through the same pipeline as the networks.",
}


def rows_of(table, prefix='', defaults_of=None):
    """Rows of a table of keys, with the defaults of a class that takes them as arguments.

    Raises:
        KeyError: A key does not say what it means.
    """
    parameters = inspect.signature(defaults_of).parameters if defaults_of else {}
    for name, key in table.items():
        if not key.doc:
            raise KeyError(f'nothing says what {prefix}{name} means: give its Key a doc')
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        meaning = key.doc if default is inspect.Parameter.empty else f'{key.doc}. Default: {_written(default)}'
        yield f'{prefix}{name}', key.kind.expected, meaning


def rows_of_network(network):
    """Rows of the arguments of a network."""
    parameters = inspect.signature(network).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return rows_of({p.name: argument_key(network.__name__, p.name, p.default) for p in named}, defaults_of=network)


def markdown(rows):
    """A table of rows ``(key, value, meaning)``."""
    lines = ['| key | value | meaning |', '|---|---|---|']
    for key, *cells in rows:
        lines.append(f'| `{key}` | ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |')
    return '\n'.join(lines)


def page():
    """The whole page, as Markdown."""
    parts = [f'## {title}\n\n{about}\n\n{markdown(rows)}' for title, about, rows in _sections()]
    return '\n\n'.join([HEAD, *parts]) + '\n'


def _sections():
    ours = {name: schema.OURS[name] for name in ('path', 'train', 'val', 'logger')}
    ours['train'] = {**ours['train'], 'cuda_graph': schema.CUDA_GRAPH}
    yield (
        'All models of ours',
        '`model_type: LabNetModel`, `RealNetModel` or `RealGANModel`, beside the keys of SRModel and SRGANModel; '
        f'`train.cuda_graph` without RealGANModel. `optim_g.type` is {" or ".join(schema.OURS["optimizers"])}.',
        [*rows_of({'imports': IMPORTS}), *(row for name, table in ours.items() for row in rows_of(table, f'{name}.'))],
    )
    sizes = {name: bounds for method in METHODS.values() for name, bounds in method.items()}
    table = {name: Key(integer(least), doc=f'{SIZES[name]}. Default: {d}') for name, (d, least) in sizes.items()}
    yield (
        '`val.inference`',
        f'How an image is computed; {", ".join(f"`{method}`" for method in METHODS)} are described at '
        '`stea_arch.inference.upscale_tensor` and in [docs/large-images.md](../docs/large-images.md).',
        [('method', ' or '.join(METHODS), 'Default: whole'), *rows_of(table)],
    )
    yield (
        'Second-order degradation',
        'At the top level, with `RealNetModel` and `RealGANModel`; `gt_usm` belongs to the former, `l1_gt_usm`, '
        '`percep_gt_usm` and `gan_gt_usm` to the latter.',
        rows_of({**schema.OUR_SECOND_ORDER, **schema.GT_USM, **schema.USM}, defaults_of=SecondOrderSampler),
    )
    for dataset, table in schema.DATASETS_OF_OURS.items():
        training_only = dataset == 'RealWorldDataset'
        yield (
            f'`type: {dataset}`',
            'In `datasets.train`' + ('.' if training_only else ', in `datasets.val` and `datasets.test_1`.'),
            rows_of({n: k for n, k in table.items() if n not in schema.LOADER}, defaults_of=KernelSampler),
        )
    for network, about in NETWORKS.items():
        yield f'`network_g.type: {network.__name__}`', about, rows_of_network(network)
    tables = {
        '': comparison.TOP,
        'networks.NAME.': comparison.NETWORK,
        'datasets.NAME.': comparison.DATASET,
        'datasets.NAME.crop.': comparison.CROP,
        'cost.': comparison.COST,
        'crops.': comparison.CROPS,
    }
    rows = [row for prefix, table in tables.items() for row in rows_of(table, prefix)]
    yield 'Comparison files', 'For `stea-compare -opt FILE`; see options/compare.', rows


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
