"""YAML, --force_yml, lines in messages, and the command."""

import contextlib
import runpy
import sys
import time

import pytest
import yaml
from basicsr.archs import build_network
from basicsr.utils.options import ordered_yaml

from stea_arch.archs.attention import NoAttention
from stea_arch.options import OptionError, read_options
from stea_arch.options.__main__ import main
from stea_arch.options.reading import load
from stea_arch.system.plain_values import parse_value


@pytest.fixture
def write(tmp_path):
    def to_file(content, name='run.yml'):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return to_file


def read(path, *force, is_train=True):
    return read_options(path, force, is_train, check_files=False)


@pytest.mark.parametrize(
    'text, value',
    [
        ('20', 20), ('-1', -1), ('1e-4', 1e-4), ('1.0e-4', 1e-4), ('2.5', 2.5), ('.5', 0.5), ('5e3', 5000.0),
        ('!!float 1e-4', 1e-4), ('!!float 5', 5.0), ('~', None), ('none', None), ('None', None), ('true', True),
        ('False', False), ('bf16', 'bf16'), ("'20'", '20'), ('"~"', '~'), ('010', 10), ('1:30', '1:30'),
        ('[0.2, 4]', [0.2, 4]), ('[1e-4, none, bf16]', [1e-4, None, 'bf16']), ('[[1], []]', [[1], []]),
        ('~/weights/net.pth', '~/weights/net.pth'), ('datasets/Set5', 'datasets/Set5'), ('1.2.3', '1.2.3'),
    ],
)  # fmt: skip
def test_parse_value(text, value):
    parsed = parse_value(text)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize('text', ['', '{a: 1}', 'a: 1', '[1, 2', '!!python/name:os.system', '[!x 1]', '*a', '@a'])
def test_parse_value_refuses(text):
    with pytest.raises(ValueError, match=r'is not a value|is neither a number|is empty'):
        parse_value(text)


def test_parse_value_evaluates_nothing(tmp_path):
    trap = tmp_path / 'executed'
    with contextlib.suppress(ValueError):
        parse_value(f"[__import__('pathlib').Path('{trap}').touch()]")
    assert not trap.exists()


def test_file_gives_what_basicsr_reads(write, train_opt):
    text = yaml.safe_dump(train_opt(), sort_keys=False).replace('lr: 0.0004', 'lr: !!float 4e-4')
    opt = read(write(text))
    assert opt == yaml.load(text, Loader=ordered_yaml()[0])
    assert opt['train']['optim_g']['lr'] == 4e-4


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'there is no option file .*missing\.yml'):
        read(tmp_path / 'missing.yml')


def test_merge_keys_are_indeed_unreadable_for_basicsr():
    with pytest.raises(yaml.YAMLError):
        yaml.load('a: &t\n  b: 1\nc:\n  <<: *t', Loader=ordered_yaml()[0])


def test_messages_name_the_line(write, train_opt):
    text = yaml.safe_dump(train_opt(('datasets.train.gt_sise', 96)), sort_keys=False)
    line = next(number for number, written in enumerate(text.splitlines(), 1) if 'gt_sise' in written)
    with pytest.raises(OptionError, match=rf'datasets.train.gt_sise: unknown key .*\[line {line}\]'):
        read(write(text))


def test_force(write, train_opt):
    path = write(train_opt())
    opt = read(
        path, ' name = other ', 'train:optim_g:lr=1e-4', 'train:amp=bf16', 'network_g:attention=ttea',
        'datasets:train:sigma_range=[0.2, 1]', 'train:ema_decay=0', 'path:resume_state=~',
    )  # fmt: skip
    assert opt['name'] == 'other' and opt['train']['optim_g']['lr'] == 1e-4
    assert opt['train']['amp'] == 'bf16' and opt['network_g']['attention'] == 'ttea'
    assert opt['datasets']['train']['sigma_range'] == [0.2, 1]


def test_force_gives_nothing_for_none_which_is_no_attention(write, train_opt):
    opt = read(write(train_opt()), 'network_g:attention=none')
    network = build_network({**opt['network_g'], 'num_feat': 16, 'num_blocks': [1] * 6})
    assert {type(block.attention) for block in network.enc1} == {NoAttention}


@pytest.mark.parametrize(
    'entry, pattern',
    [
        ('train:optim_g:lr', 'expected KEY:KEY=VALUE'),
        ('name=a=b', 'takes no value that contains = itself'),
        ('train:optm_g:lr=1', r"the file has no section train.optm_g \(did you mean 'optim_g'\?\)"),
        ('name:x=1', 'the file has no section name'),
        ('train:totl_iter=5', r"train.totl_iter: unknown key \(did you mean 'total_iter'\?\) \[--force_yml\]"),
        ('train:total_iter=x', r"train.total_iter: expected a whole number >= 1, got 'x' \(text\) \[--force_yml\]"),
        ('name"]=1;import os;opt["a=1', 'takes no value that contains = itself'),
        ('a"]or print("x=1', 'expected levels joined by colons'),
        ('train: amp=bf16', "expected levels joined by colons, such as train:optim_g:lr=1e-4, got 'train: amp=bf16'"),
        ('=1', "expected levels joined by colons, such as train:optim_g:lr=1e-4, got '=1'"),
        ('train:amp=', 'the value is empty: write ~ for none'),
        ('train:amp={a: 1}', 'is neither a number, text'),
    ],
)
def test_force_refused(entry, pattern, write, train_opt):
    with pytest.raises(OptionError, match=pattern):
        read(write(train_opt()), entry)


def test_force_agrees_with_basicsr(write, train_opt, monkeypatch):
    """parse_options, which reads the file again, must come to the same values."""
    from basicsr.utils import options

    monkeypatch.setattr(options, '_postprocess_yml_value', parse_value)
    entries = ['train:optim_g:lr=1e-4', 'datasets:train:sigma_range=[0.2, 1]', 'path:resume_state=none']
    entries.append('val:pbar=True')
    path = write(train_opt())
    monkeypatch.setattr(sys, 'argv', ['train', '-opt', str(path), '--force_yml', *entries])
    theirs, _ = options.parse_options(str(path.parent), is_train=True)
    ours = read(path, *entries)
    assert theirs['train'] == ours['train']
    assert theirs['datasets']['train']['sigma_range'] == ours['datasets']['train']['sigma_range'] == [0.2, 1]
    assert theirs['path']['resume_state'] is None and theirs['val']['pbar'] is True


def test_aliases_of_values_are_fine():
    content, _ = load('a: &n [1, 2]\nb: *n\nc: &m {d: 1}')
    assert content == {'a': [1, 2], 'b': [1, 2], 'c': {'d': 1}}


def test_command(write, train_opt, test_opt, capsys):
    good = [str(write(train_opt(), 'train.yml')), str(write(test_opt(), 'test.yml'))]
    assert main(['--no-files', *good]) == 0
    assert capsys.readouterr().out == f'{good[0]}: ok\n{good[1]}: ok\n'
    bad = str(write(train_opt(('train.amp', 'fp8')), 'bad.yml'))
    assert main(['--no-files', good[0], bad, 'nowhere.yml']) == 1
    out = capsys.readouterr().out
    assert f'{good[0]}: ok' in out and f'{bad}: 1 problem in the options:\n  train.amp: ' in out
    assert 'nowhere.yml: there is no option file' in out


def test_command_as_a_module(write, train_opt, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['options', '--no-files', str(write(train_opt(('scale', 3))))])
    monkeypatch.delitem(sys.modules, 'stea_arch.options.__main__')
    with pytest.raises(SystemExit) as caught:
        runpy.run_module('stea_arch.options', run_name='__main__')
    assert caught.value.code == 1
    assert 'network_g.upscale: must equal the top-level scale 3' in capsys.readouterr().out


BOMB = 'a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n' + ''.join(
    f'{name}: &{name} [{", ".join([f"*{before}"] * 10)}]\n' for before, name in zip('abcdefgh', 'bcdefghi')
)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (BOMB, r'aliases \(\*\) make more than 100,000 values'),
        ('a: &a [*a]', r'aliases \(\*\) make more than'),
        ('num_gpu: ' + '9' * 400, 'num_gpu: expected a whole number of at most 64 bits, got one of 1329 bits'),
        ('num_gpu: 0x' + 'f' * 5000, 'num_gpu: expected a whole number of at most 64 bits, got one of 20000 bits'),
        ('num_gpu: ' + '9' * 5000, "num_gpu: '999.* cannot be read as a value of the kind int"),
        ('name: 2024-13-45', "name: '2024-13-45' cannot be read as a value of the kind timestamp; quotes make it text"),
        ('a:\n- [1, !!int abc]', "a: 'abc' cannot be read as a value of the kind int"),
        ('a: !!bool maybe', "a: 'maybe' cannot be read as a value of the kind bool"),
        ('a: !!timestamp x', "a: 'x' cannot be read as a value of the kind timestamp"),
        ('? !!int x\n: 1', "'x' cannot be read as a value of the kind int"),
        ('a: ' + '[' * 5000, 'nested too deeply'),
        ('a: ' + '{a: ' * 5000, 'nested too deeply'),
        ('name: !!python/object/apply:os.system ["true"]', 'line 1: .*nothing is executed'),
        ('name: a\nname: b', 'name: given twice, in lines 1 and 2'),
        ('train:\n  amp: ~\n  amp: bf16', 'train.amp: given twice, in lines 2 and 3'),
        ('train: &t\n  a: 1\nval: *t', r'val: this section is an alias \(\*\)'),
        ('train: &t\n  a: 1\nval:\n  <<: *t', 'val.<<: merge keys .* cannot be read by BasicSR.*line 4'),
        ('name: [1', 'line 1: '),
        ('name: a\n\tscale: 2', 'line 2: '),
        ('a: 1\n---\nb: 2', 'line 2: .*single document'),
        ('? [1, 2]\n: 3', 'a key must be text'),
        ('- name', 'expected keys and values'),
        ('', 'expected keys and values .*got NoneType'),
        ('name: ok'.encode('utf-16'), 'not YAML text in UTF-8.*Save it as UTF-8'),
        ('name: \xe4'.encode('latin-1'), 'not YAML text in UTF-8.*Save it as UTF-8'),
        (b'name: a\x00b', 'not YAML text in UTF-8'),
    ],
)
def test_what_is_no_option_file_is_one_report_at_once(tmp_path, text, message):
    (tmp_path / 'o.yml').write_bytes(text if isinstance(text, bytes) else text.encode())
    start = time.process_time()
    with pytest.raises(OptionError, match=message) as caught:
        read_options(tmp_path / 'o.yml')
    assert len(caught.value.problems) == 1 and len(str(caught.value)) < 500 and time.process_time() - start < 10
