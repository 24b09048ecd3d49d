"""The walk over an option file: every section against its table or its signature, all problems at once."""

import difflib

import basicsr.archs
import basicsr.data
import basicsr.losses
import basicsr.metrics  # noqa: F401  (these fill the registries)
import torch
from basicsr.models import lr_scheduler
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)

from stea_arch.options import schema
from stea_arch.options.kinds import mapping, mismatch, text
from stea_arch.options.machine import check_devices, check_paths
from stea_arch.options.problems import Problems, did_you_mean, join, listed, part
from stea_arch.options.relations import check_relations
from stea_arch.options.sections import check_arguments, check_table, find, is_judged

SCHEDULERS = {
    'MultiStepLR': lr_scheduler.MultiStepRestartLR,
    'MultiStepRestartLR': lr_scheduler.MultiStepRestartLR,
    'CosineAnnealingRestartLR': lr_scheduler.CosineAnnealingRestartLR,
}


def check_options(opt, is_train, check_files=True, loose=False):
    """Check an option file's content before BasicSR sees it.

    BasicSR ignores keys it does not know, so a mistyped key trains something else than was meant. Here every key must
    be one that BasicSR, the model, the dataset, or the signature of the registered class reads. What belongs to
    neither BasicSR nor stea_arch (another plugin's model or dataset) may have keys of its own.

    Args:
        opt (dict): The file's content, before ``parse_options`` adds to it. It is not changed.
        is_train (bool): Whether it will be trained with, or tested.
        check_files (bool): Also check that data and weights named in it are on the disk.
        loose (bool): Only warn of keys that nothing reads.

    Raises:
        OptionError: Everything that is wrong, each with full path, what was expected, what was got and what to do.
    """
    problems = Problems(loose)
    if not isinstance(opt, dict):
        problems.add('', f'expected keys and values (name: ..., datasets: ...), got {type(opt).__name__}')
        problems.raise_if_any()
    _Walk(problems, opt, 'train' if is_train else 'test').everything()
    check_relations(problems, opt, is_train)
    check_devices(problems, opt)
    if check_files:
        check_paths(problems, opt)
    problems.raise_if_any()


class _Walk:
    """One pass over ``opt``; ``phase`` is train or test."""

    def __init__(self, problems, opt, phase):
        self.problems, self.opt, self.phase = problems, opt, phase
        self.model_type = str(opt.get('model_type')).removesuffix('_basicsr')
        found = 'model_type' in opt and find(problems, 'model_type', MODEL_REGISTRY, opt['model_type'])
        near = _nearest(schema.MODELS, self.model_type)
        self.judged = near is not None and (not found or (self.model_type in schema.MODELS and is_judged(found)))
        self.tables = schema.MODELS[near] if self.judged else schema.SR_MODEL

    def everything(self):
        opt, tables = self.opt, self.tables
        self.table('', opt, tables['top'], self.phase, self.judged, self._foreign_model_key)
        for name in ('path', 'val', 'train', 'logger'):
            if self.phase in tables['top'][name].only:
                self.table(name, opt.get(name), tables[name], self.phase, self.judged, self._foreign_model_key)
        self.table('dist_params', opt.get('dist_params'), schema.DIST_PARAMS, self.phase)
        for key, section in opt.items():
            if str(key).startswith('network_') and self._reads(tables['top'], key):
                self.registered(key, section, ARCH_REGISTRY)
        self.datasets(opt.get('datasets'))
        if self.phase == 'train':
            self.table('logger.wandb', part(opt, 'logger').get('wandb'), schema.WANDB, self.phase)
            self.training(part(opt, 'train'))
        for name, metric in part(opt, 'val', 'metrics').items():
            self.registered(join('val.metrics', name), metric, METRIC_REGISTRY, ('img', 'img2'), ('better',))

    def table(self, path, section, table, phase, judged=True, elsewhere=None):
        check_table(self.problems, path, section, table, phase, judged, elsewhere)

    def registered(self, path, section, registry, supplied=(), extra=()):
        """Check a section with a ``type`` that names something registered, and its arguments."""
        target = self._typed(path, section, lambda where, name: find(self.problems, where, registry, name))
        if target is not None:
            check_arguments(self.problems, path, section, target, supplied, extra)

    def datasets(self, datasets):
        if not isinstance(datasets, dict):
            return
        phases = ('train', 'val') if self.phase == 'train' else ('test', 'val')
        for name, section in datasets.items():
            phase = str(name).split('_')[0]
            if phase not in phases or (phase == 'train' and name != 'train'):
                expected = 'train, val, val_1, ...' if self.phase == 'train' else 'test, test_1, ..., val, val_1, ...'
                self.problems.add(join('datasets', name), f'in a {self.phase} file datasets are named {expected}')
            else:
                self.dataset(join('datasets', name), section, phase)
        if self.phase == 'train' and 'train' not in datasets:
            self.problems.add('datasets.train', 'missing, there is nothing to train on')
        if not datasets:
            self.problems.add('datasets', f'empty, expected {" and ".join(phases)}')

    def dataset(self, path, section, phase):
        found = self._typed(path, section, lambda where, name: find(self.problems, where, DATASET_REGISTRY, name))
        if not isinstance(section, dict):
            return
        name = str(section.get('type')).removesuffix('_basicsr')
        near = _nearest(schema.DATASETS, name)
        judged = near is not None and (found is None or (name in schema.DATASETS and is_judged(found)))
        table = schema.DATASETS[near] if judged else schema.LOADER
        section_of = {k: [t for t, keys in schema.DATASETS.items() if k in keys] for k in section}

        def elsewhere(where, key):
            if key in ('phase', 'scale'):
                return "BasicSR fills it in from the dataset's name and the top-level scale: remove it"
            if section_of[key]:
                return f'a key of {listed(section_of[key])}, {name} would ignore it{did_you_mean(key, table)}'
            return None

        self.table(path, section, table, phase, judged, elsewhere)
        io_table = schema.IO_BACKEND if name in schema.DATASETS_OF_OURS else schema.IO_BACKEND_BASICSR
        self.table(join(path, 'io_backend'), section.get('io_backend'), io_table, phase, judged)

    def training(self, train):
        for key, section in train.items():
            path = join('train', key)
            if section is None or not self._reads(self.tables['train'], key):
                continue
            if str(key).startswith('optim_'):
                self.optimizer(path, section)
            elif key == 'scheduler':
                scheduler = self._typed(path, section, lambda where, name: self._one_of(SCHEDULERS, where, name))
                if scheduler is not None:
                    check_arguments(self.problems, path, section, scheduler, ('optimizer', 'last_epoch'))
            elif str(key).endswith('_opt'):
                self.registered(path, section, LOSS_REGISTRY)

    def optimizer(self, path, section):
        known = {name: getattr(torch.optim, name) for name in self.tables['optimizers']}
        optimizer = self._typed(path, section, lambda where, name: self._one_of(known, where, name))
        if optimizer is not None:
            check_arguments(self.problems, path, section, optimizer, ('params',))
            ours = self.tables['optimizers'] == schema.OURS['optimizers']
            for key in schema.KERNELS & section.keys() if ours else ():
                self.problems.add(join(path, key), f'{self.model_type} chooses the fused kernels itself: remove it')
        if isinstance(section, dict) and 'lr' not in section:
            self.problems.add(join(path, 'lr'), 'missing, BasicSR has no default for it')

    def _typed(self, path, section, look_up):
        """What the section's ``type`` names, or None after a complaint."""
        if not isinstance(section, dict):
            self.problems.add(path, mismatch(mapping(), section))
            return None
        if not isinstance(section.get('type'), str):
            came = mismatch(text(), section['type']) if 'type' in section else f'missing, expected {text().expected}'
            self.problems.add(join(path, 'type'), came)
            return None
        return look_up(join(path, 'type'), section['type'])

    def _one_of(self, known, path, name):
        if name not in known and self.judged:
            hint = did_you_mean(name, known) or f'. It knows: {listed(known)}'
            self.problems.add(path, f'{self.model_type} does not know {name!r}{hint}')
        return known.get(name)

    def _reads(self, table, key):
        return not self.judged or (key in table and self.phase in table[key].only)

    def _foreign_model_key(self, path, key):
        """Where a key that this model ignores would be read."""
        area = path or 'top'
        owners = [name for name, tables in schema.MODELS.items() if key in tables[area]]
        if owners:
            return f'a key of {listed(owners)}, {self.model_type} ignores it: remove it or change model_type'
        homes = [a for a in ('top', 'path', 'train', 'val', 'logger') if key in self.tables[a]]
        if homes:
            return f'unknown key here, it belongs {"at the top level" if homes[0] == "top" else f"in {homes[0]}"}'
        return None


def _nearest(names, name):
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.75)), None)
