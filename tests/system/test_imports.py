"""Other people's networks: a package and a file that this test writes, trained, resumed and compared."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from basicsr.utils.registry import ARCH_REGISTRY

from stea_arch import train
from stea_arch.commands.compare import main as compare
from stea_arch.options import __main__ as options_command
from stea_arch.system import imports
from stea_arch.weights.files import read_checkpoint

CODE = """
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY
from torch import nn
from stea_arch.data.classical_dataset import ClassicalDegradationDataset

@ARCH_REGISTRY.register()
class {name}(nn.Module):
    def __init__(self, width=8, upscale=2, depth=1):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, 3 * upscale**2, 3, padding=1)]
        self.body = nn.Sequential(*layers, nn.PixelShuffle(upscale))

    def forward(self, x):
        return self.body(x)

@DATASET_REGISTRY.register()
class {name}Dataset(ClassicalDegradationDataset):
    pass
"""


def install(folder, name, code=None, distribution='their-networks'):
    """Lay a package down as pip does: modules, and a .dist-info whose entry point names one of them."""
    (folder / f'{name}_package').mkdir(parents=True)
    (folder / f'{name}_package/__init__.py').write_text('')
    (folder / f'{name}_package/archs.py').write_text(CODE.format(name=name) if code is None else code)
    info = folder / f'{distribution.replace("-", "_")}-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(f'[stea_arch.plugins]\n{name} = {name}_package.archs\n')


@pytest.fixture(autouse=True)
def fresh_start(monkeypatch):
    """Modules are found from the test's own folders, and plugins are looked for as in a new program."""
    monkeypatch.setattr(sys, 'path', [*sys.path])
    imports._import_plugins.cache_clear()
    yield
    imports._import_plugins.cache_clear()


@pytest.fixture
def their_options(tiny_options):
    """A tiny run of a network that somebody else wrote."""

    def make(name, **changes):
        network = {'type': name, 'num_feat': ..., 'num_blocks': ..., 'width': 4}
        return tiny_options({'val': ..., 'train': {'total_iter': 4}, 'network_g': network, **changes})

    return make


def test_an_installed_plugin_is_trained_resumed_and_compared(
    their_options, run_main, photo_folder, tmp_path, monkeypatch, capsys
):
    install(tmp_path / 'site', 'Installed')
    monkeypatch.syspath_prepend(tmp_path / 'site')
    options = their_options('Installed', logger={'save_checkpoint_freq': 2})
    options['datasets']['train'].update(type='InstalledDataset', num_worker_per_gpu=1)
    run_main(train.main, {**options, 'name': 'unbroken'})
    run_main(train.main, {**options, 'name': 'broken'}, '--force_yml', 'train:total_iter=2')
    run_main(train.main, {**options, 'name': 'broken'}, '--auto_resume')
    unbroken, broken = (
        read_checkpoint(tmp_path / f'experiments/{name}/models/net_g_latest.pth')['params']
        for name in ('unbroken', 'broken')
    )
    assert all(torch.equal(unbroken[key], broken[key]) for key in unbroken)

    comparison = {'name': 'theirs', 'scales': [2], 'num_gpu': 0, 'metrics': ['psnr']}
    comparison['networks'] = {'Bicubic': 'bicubic', 'Theirs': {'from': 'broken.yml'}}
    comparison['datasets'] = {'photos': {'protocol': 'gaussian8', 'gt': str(photo_folder), 'num_kernels': 2}}
    Path('theirs.yml').write_text(yaml.safe_dump(comparison))
    capsys.readouterr()
    assert compare(['-opt', 'theirs.yml']) == 0
    assert re.search(r'\| Theirs +\| 556 ', capsys.readouterr().out)  # 3*4*9 + 4 and 4*12*9 + 12 parameters
    assert 'Theirs' in Path('results/compare/theirs/index.html').read_text()


@pytest.mark.parametrize('way', ['flag', 'key'])
@pytest.mark.parametrize('kind', ['name', 'file'])
def test_a_module_or_file_is_imported(their_options, run_main, tmp_path, monkeypatch, way, kind):
    name = f'By{way.title()}{kind.title()}'
    (tmp_path / f'{name}_file.py').write_text(CODE.format(name=name))
    written = f'{name}_file' if kind == 'name' else f'./{name}_file.py'
    options, flags = their_options(name, train={'total_iter': 1}), ['--import', written]
    if way == 'key':
        options, flags = {**options, 'imports': [written]}, []
    run_main(train.main, options, *flags)
    assert (tmp_path / 'experiments/tiny/models/net_g_latest.pth').is_file()
    comparison = {
        'name': 'c',
        'scales': [2],
        'num_gpu': 0,
        'networks': {'N': {'from': 'tiny.yml'}},
        'metrics': ['psnr'],
    }
    comparison['datasets'] = {'p': {'protocol': 'bicubic', 'gt': options['datasets']['train']['dataroot_gt']}}
    Path('c.yml').write_text(yaml.safe_dump(comparison))
    monkeypatch.delitem(ARCH_REGISTRY._obj_map, name)
    monkeypatch.delitem(sys.modules, f'{name}_file')
    (tmp_path / f'{name}_file.py').write_text(CODE.format(name=name).replace(f'{name}Dataset', f'{name}Again'))
    assert compare(['-opt', 'c.yml', *flags]) == 0


@pytest.mark.parametrize(
    ('code', 'written', 'message'),
    [
        (None, 'no_such_package.archs', 'there is no module no_such_package.archs: install it, .* or give a file'),
        (None, './no_such.py', r'there is no file ./no_such.py \(seen from '),
        ('import no_such_need', './needing.py', r'needing cannot be imported: .*No module.*no_such_need.*line 1'),
        ('\n1 / 0', './dividing.py', r'ZeroDivisionError: division by zero \(.*dividing.py, line 2\)'),
        ('x = (', './unclosed.py', r"SyntaxError: '\(' was never closed"),
        ('exit(3)', './leaving.py', r'SystemExit: 3'),
        ('', './json.py', r'json.py cannot be imported: another module is called json .*rename the file'),
        (CODE.format(name='LabNet'), './mine.py', r"AssertionError: An object named 'LabNet' was already registered"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_said_in_a_sentence(tiny_options, fail_main, tmp_path, code, written, message):
    if code is not None:
        (tmp_path / written).write_text(code)
    for options, flags in (
        (tiny_options({'val': ...}), ['--import', written]),
        (tiny_options({'val': ..., 'imports': [written]}), []),
    ):
        error = fail_main(2, train.main, options, *flags)
        assert re.search(message, error), error


def test_a_broken_plugin_is_named_and_left_out(tiny_options, run_main, tmp_path, monkeypatch):
    install(tmp_path / 'site', 'Broken', code='import no_such_need', distribution='broken-networks')
    monkeypatch.syspath_prepend(tmp_path / 'site')
    message = "plugin Broken of broken-networks is left out: ModuleNotFoundError: No module named 'no_such_need'"
    with pytest.warns(UserWarning, match=message):
        run_main(train.main, tiny_options({'val': ..., 'train': {'total_iter': 1}}))
    assert (tmp_path / 'experiments/tiny/models/net_g_latest.pth').is_file()


def test_their_arguments_are_checked_by_their_signature(their_options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('signed.py').write_text(CODE.format(name='Signed'))
    for network, message in (
        ({'width': 4}, 'ok'),
        ({'depth': [1, 2]}, 'ok'),  # one for each level, say
        ({'widht': 4}, r"network_g.widht: Signed has no such argument \(did you mean 'width'\?\)"),
        ({'width': '4'}, r"network_g.width: expected a number .* got '4' \(text\)"),
        ({'upscale': 3}, r'network_g.upscale: must equal the top-level scale 2'),
    ):
        options = {**their_options('Signed'), 'imports': ['./signed.py']}
        options['network_g'] = {'type': 'Signed', **network}
        Path('signed.yml').write_text(yaml.safe_dump(options))
        assert options_command.main(['signed.yml']) == int(message != 'ok')
        assert re.search(message, capsys.readouterr().out)


def test_processes_and_loader_workers_that_begin_anew_find_it_too(their_options, tmp_path):
    options = their_options('Spread', train={'total_iter': 2})
    options['datasets']['train'].update(type='SpreadDataset', num_worker_per_gpu=1, batch_size_per_gpu=1)
    (tmp_path / 'nets').mkdir()
    (tmp_path / 'nets/spread.py').write_text(CODE.format(name='Spread'))
    (tmp_path / 'tiny.yml').write_text(yaml.safe_dump(options))
    (tmp_path / 'start.py').write_text(
        'import multiprocessing\nfrom stea_arch.commands.train import main\n'
        "if __name__ == '__main__':\n    multiprocessing.set_start_method('spawn')\n    main()\n"
    )
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', 'start.py']
    command += ['-opt', 'tiny.yml', '--launcher', 'pytorch', '--import', './nets/spread.py']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ}, timeout=300)
    assert (tmp_path / 'experiments/tiny/models/net_g_latest.pth').is_file(), done.stderr[-3000:]
