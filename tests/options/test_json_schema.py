"""What an editor is told agrees with the check: shipped files pass, and a slip is marked where it stands."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from stea_arch.options.__main__ import main

FOLDER = Path(__file__).resolve().parents[2] / 'options'
FILES = sorted(FOLDER.glob('*/*.yml'))
HEAD = '# yaml-language-server: $schema=../schema.json'
VALIDATOR = jsonschema.Draft7Validator(json.loads((FOLDER / 'schema.json').read_text(encoding='utf-8')))


def test_the_committed_schema_is_up_to_date_and_a_schema(capsys):
    assert main(['--schema']) == 0
    made = json.loads(capsys.readouterr().out)
    for schema in (made, committed := copy.deepcopy(VALIDATOR.schema)):
        del schema['definitions']['optimizer']  # newer versions of torch know more arguments
    assert made == committed, 'run python -m stea_arch.options --schema > options/schema.json'
    jsonschema.Draft7Validator.check_schema(made)


@pytest.mark.parametrize('file', FILES, ids=lambda file: f'{file.parent.name}/{file.stem}')
def test_shipped_files_name_it_and_pass(file):
    text = file.read_text(encoding='utf-8')
    assert text.startswith(f'{HEAD}\n')
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    'path, value',
    [
        (['gt_sise'], 96),
        (['train', 'total_itr'], 5),
        (['train', 'amp'], 'fp32'),
        (['train', 'gan_opt'], {'type': 'GANLoss', 'gan_type': 'vanilla'}),  # of another model
        (['train', 'optim_g', 'lr'], '1e-4'),
        (['datasets', 'train', 'kernel_size'], 20),
        (['datasets', 'train', 'blur_sigma'], [1, 2]),  # of another dataset
        (['network_g', 'num_feat'], 24),
        (['network_g', 'num_fea'], 16),
        (['val', 'metrics', 'psnr', 'better'], 'up'),
        (['val', 'inference'], {'method': 'strip'}),
    ],
)
def test_slips_are_marked(train_opt, path, value):
    opt = copy.deepcopy(train_opt())
    assert VALIDATOR.is_valid(opt)
    section = opt
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    assert not VALIDATOR.is_valid(opt)


def test_another_plugin_may_have_keys_of_its_own(train_opt):
    assert VALIDATOR.is_valid(train_opt(('network_g', {'type': 'TheirNet', 'theirs': 1}), ('model_type', 'TheirModel')))
