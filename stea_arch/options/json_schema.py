"""The tables of the check as JSON schema, with which an editor completes keys and marks mistakes while one types.

It says less than the check: what values have to do with each other, and what a file needs from the machine, it cannot.
"""

import torch
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY

from stea_arch.inference.upscale import METHODS
from stea_arch.options import comparison, schema
from stea_arch.options.check import SCHEDULERS
from stea_arch.options.kinds import PIPELINE, Key, choice, integer
from stea_arch.options.sections import NO_DEFAULT, argument_key, defaults_of

SECTIONS = ('path', 'train', 'val', 'logger')


def json_schema():
    """The schema of all option files: a comparison's where there are ``networks``, else a run's.

    Returns:
        dict: Draft 7, plain values.
    """
    return {
        '$schema': 'http://json-schema.org/draft-07/schema#',
        'title': 'Option files of stea-train, stea-test and stea-compare',
        'if': {'required': ['networks']},
        'then': _comparison(),
        'else': _run(),
        'definitions': {
            'network': _by_type(_registered(ARCH_REGISTRY)),
            'loss': _by_type(_registered(LOSS_REGISTRY)),
            'metric': _by_type(
                _registered(METRIC_REGISTRY), ('img', 'img2'), {'better': Key(choice('higher', 'lower'))}
            ),
            'scheduler': _by_type(SCHEDULERS, ('optimizer', 'last_epoch')),
            'optimizer': _by_type({name: getattr(torch.optim, name) for name in ('Adam', 'AdamW')}, ('params',)),
            'dataset': _alternatives({name: _table(table) for name, table in schema.DATASETS.items()}),
        },
    }


def _run():
    """The keys of all models, and for each model which of them it reads."""
    union = {area: _table(_union(area), closed=False) for area in ('top', *SECTIONS)}
    top = union['top']
    for area in SECTIONS:
        top['properties'][area] |= union[area]
    section = {'type': 'object', 'additionalProperties': {'$ref': '#/definitions/dataset'}}
    top['properties'] |= {'datasets': section, 'dist_params': _table(schema.DIST_PARAMS)}
    for name, key in top['properties'].items():
        if name.startswith('network_'):
            key |= {'$ref': '#/definitions/network'}
    for name in union['train']['properties']:
        kind = 'optimizer' if name.startswith('optim_') else 'loss' if name.endswith('_opt') else None
        kind = 'scheduler' if name == 'scheduler' else kind
        if kind:
            union['train']['properties'][name] = {'anyOf': [{'type': 'null'}, {'$ref': f'#/definitions/{kind}'}]}
    metrics = {'type': ['object', 'null'], 'additionalProperties': {'$ref': '#/definitions/metric'}}
    union['val']['properties'] |= {'metrics': metrics, 'inference': _inference()}
    union['logger']['properties']['wandb'] = {**_table(schema.WANDB), 'type': ['object', 'null']}
    models = []
    for name, tables in schema.MODELS.items():
        read = {area: {'propertyNames': {'enum': list(tables[area])}} for area in SECTIONS}
        models.append(
            _where_type(name, {'propertyNames': {'enum': list(tables['top'])}, 'properties': read}, 'model_type')
        )
    return {**top, 'allOf': models}


def _union(area):
    """The keys of all models in an area; ours first, as they are described."""
    union = {}
    for tables in schema.MODELS.values():
        union = {**tables[area], **union}
    return union


def _inference():
    sizes = {name: Key(integer(least)) for method in METHODS.values() for name, (_, least) in method.items()}
    return {**_table({'method': Key(choice(*METHODS)), **sizes}), 'type': ['object', 'null']}


def _comparison():
    top = _table(comparison.TOP)
    network = {'anyOf': [{'type': 'string', 'minLength': 1}, _table(comparison.NETWORK)]}
    network['anyOf'][1]['properties']['network_g'] = {
        'type': 'object',
        'if': {'required': ['type']},  # else it says what differs from the file that ``from`` names
        'then': {'$ref': '#/definitions/network'},
    }
    dataset = _table(comparison.DATASET)
    dataset['properties']['crop'] |= _table(comparison.CROP)
    top['properties']['networks'] |= {'additionalProperties': network}
    top['properties']['datasets'] |= {'additionalProperties': dataset}
    top['properties']['cost'] = {'anyOf': [{'type': 'null'}, _table(comparison.COST)]}
    top['properties']['crops'] |= _table(comparison.CROPS)
    return top


def _table(table, closed=True):
    """A section with a table of keys; what only some phases need is not required."""
    properties = {
        name: {**key.kind.schema, **({'description': key.doc} if key.doc else {})} for name, key in table.items()
    }
    everywhere = ('train', 'val', 'test')
    required = [name for name, key in table.items() if key.required == PIPELINE and key.only == everywhere]
    return {
        'type': 'object',
        'properties': properties,
        **({'required': required} if required else {}),
        **({'additionalProperties': False} if closed else {}),
    }


def _by_type(targets, supplied=(), extra=None):
    """Sections with a ``type`` and the arguments of what it names."""
    tables = {}
    for name, target in targets.items():
        named = defaults_of(target, supplied)
        keys = {argument: argument_key(target.__name__, argument, default) for argument, default in named.items()}
        tables[name] = _table({'type': Key(choice(name)), **keys, **(extra or {})})
        tables[name]['required'] = ['type', *(argument for argument in named if named[argument] is NO_DEFAULT)]
    return _alternatives(tables)


def _alternatives(tables):
    """One of several sections by its ``type``; another plugin's type may have keys of its own."""
    types = {'anyOf': [{'enum': list(tables)}, {'type': 'string'}]}
    return {
        'type': 'object',
        'properties': {'type': types},
        'required': ['type'],
        'allOf': [_where_type(name, table) for name, table in tables.items()],
    }


def _where_type(name, then, key='type'):
    return {'if': {'properties': {key: {'const': name}}, 'required': [key]}, 'then': then}


def _registered(registry):
    """What BasicSR and stea_arch have registered, by the names that option files use."""
    known = {name.removesuffix('_basicsr'): target for name, target in registry}
    ours = {n: t for n, t in known.items() if t.__module__.split('.')[0] in ('basicsr', 'stea_arch')}
    return dict(sorted(ours.items()))
