"""BasicSR is loaded when it is asked for, and then finds our networks, datasets and models in its registries."""

import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import stea_arch
from stea_arch.archs.labnet_arch import LabNet

# One process pays for the libraries, and each module is then the first of ours in a fork of it.
FIRST_IMPORTS = """
import importlib, os, sys
import cv2, lmdb, skimage, scipy.stats, torch, torchvision
failed = []
for name in sys.argv[1:]:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            import stea_arch
            importlib.import_module(name)
            import basicsr.train
            from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY
            assert 'LabNet' in ARCH_REGISTRY and 'ClassicalDegradationDataset' in DATASET_REGISTRY
            assert 'LabNetModel' in MODEL_REGISTRY
            assert basicsr.train.load_resume_state.__module__ == 'stea_arch.resume'
            status = 0
        finally:
            os._exit(status)
    failed += [name] * (os.waitpid(pid, 0)[1] != 0)
print('failed:', failed)
"""
ROOT = Path(stea_arch.__file__).parents[1]
USERS = [
    path for path in (ROOT / 'stea_arch').rglob('*.py') if re.search('^(import|from) basicsr', path.read_text(), re.M)
]


def run(code, *args):
    done = subprocess.run([sys.executable, '-c', code, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_registries_are_filled_whichever_module_comes_first():
    modules = ['.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__') for path in USERS]
    assert 'stea_arch.models.labnet_model' in modules
    assert 'failed: []' in run(FIRST_IMPORTS, 'basicsr.archs', 'stea_arch.archs', 'stea_arch.resume', *modules)


HEAVY = '{"basicsr", "torchvision", "cv2", "skimage", "scipy", "onnx", "yaml"} & set(sys.modules)'


def test_upscaling_loads_neither_basicsr_nor_what_that_loads(tmp_path):
    Image.new('RGB', (4, 3)).save(tmp_path / 'a.png')
    torch.save(LabNet(num_feat=16, num_blocks=(1, 1, 1, 1, 1, 1), upscale=2).state_dict(), tmp_path / 'net.pth')
    code = (
        'import sys, stea_arch\n'
        'from stea_arch.commands.upscale import main\n'
        'assert "torch" not in sys.modules and "PIL" not in sys.modules\n'
        f'assert main([{str(tmp_path / "a.png")!r}, "--model", {str(tmp_path / "net.pth")!r}]) == 0\n'
        f'print({HEAVY})\n'
    )
    assert run(code).splitlines()[-1] == 'set()'
    assert (tmp_path / 'a_x2.png').is_file()


def test_what_is_wrong_with_an_argument_is_said_before_pytorch_is_loaded():
    code = (
        'import sys\n'
        'from stea_arch.commands.upscale import main\n'
        'assert main(["absent.png"]) == 2\n'
        f'assert main([{__file__!r}, "--model", "absent"]) == 2\n'
        'print("torch" in sys.modules)\n'
    )
    assert run(code) == 'False\n'


CARRIED = {
    'of another version': {'__init__.py': "__version__ = '1.3.2'\n"},
    'with its own registry': {
        '__init__.py': 'from .utils.registry import ARCH_REGISTRY\nfrom .version import __version__\n',
        'version.py': "__version__ = '1.3.4.9'\n",
        'utils/__init__.py': '',
        'utils/registry.py': 'class Registry(dict):\n    pass\n\nARCH_REGISTRY = Registry()\n',
    },
}


@pytest.fixture
def carry(tmp_path, monkeypatch):
    """Lay down a BasicSR that is found before the installed one, as by a project that carries its own."""

    def lay(files):
        for name, text in files.items():
            (tmp_path / 'basicsr' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'basicsr' / name).write_text(text)
        monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), str(ROOT)]))
        return tmp_path / 'basicsr'

    return lay


@pytest.mark.parametrize('files', CARRIED.values(), ids=CARRIED)
@pytest.mark.parametrize('first', ['stea_arch', 'basicsr'])
def test_a_basicsr_that_is_not_ours_to_extend_is_left_as_it_is(carry, files, first):
    folder = carry(files)
    code = (
        'import sys, warnings\n'
        'with warnings.catch_warnings(record=True) as caught:\n'
        f'    import {first}, stea_arch, basicsr\n'
        f'assert basicsr.__path__ == [{str(folder)!r}] and basicsr.__version__.startswith("1.")\n'
        'assert stea_arch.LabNet.__name__ == "LabNet"\n'
        'assert not getattr(basicsr, "ARCH_REGISTRY", None)\n'
        'print(*(warning.message for warning in caught), sep="\\n")\n'
    )
    said = run(code).splitlines()
    assert len(said) == 1 and str(folder) in said[0]
    done = subprocess.run([sys.executable, '-m', 'stea_arch.train', '-opt', 'train/LabNet_x4.yml'], capture_output=True)
    assert done.returncode == 2 and str(folder).encode() in done.stderr and b'Traceback' not in done.stderr


def test_a_basicsr_of_this_version_that_lacks_something_is_put_back(carry):
    folder = carry({})
    shutil.copytree(Path(importlib.util.find_spec('basicsr').origin).parent, folder)
    options = folder / 'utils/options.py'
    options.write_text(options.read_text().replace('_postprocess_yml_value', '_value'))
    code = (
        'import warnings, stea_arch\n'
        'with warnings.catch_warnings(record=True) as caught:\n'
        '    import basicsr\n'
        'print(*(w.message for w in caught if w.category is UserWarning), basicsr.train.load_resume_state.__module__)\n'
    )
    assert re.fullmatch(f"The BasicSR in {folder} .* '_postprocess_yml_value' basicsr.train\n", run(code))


def test_the_package_may_be_imported_while_basicsr_is_loaded(carry):
    """From a file of the user's in the folder archs of a clone, which BasicSR imports by itself."""
    folder = carry({})
    shutil.copytree(Path(importlib.util.find_spec('basicsr').origin).parent, folder)
    mine = 'import stea_arch\nfrom stea_arch.archs.labnet_arch import LabNet\nWIDTH = 3\n'
    (folder / 'archs/my_arch.py').write_text(mine)
    code = (
        'import basicsr\n'
        'assert basicsr.archs.my_arch.WIDTH == 3\n'
        'from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY\n'
        'assert "LabNet" in ARCH_REGISTRY and "ClassicalDegradationDataset" in DATASET_REGISTRY\n'
        'assert "LabNetModel" in MODEL_REGISTRY\n'
        'print(basicsr.train.load_resume_state.__module__, basicsr.__file__)\n'
    )
    assert run(code) == f'stea_arch.resume {folder / "__init__.py"}\n'


def test_what_the_package_offers_is_found_by_name():
    assert {'Upscaler', 'upscale', 'load_network', 'load_published', 'to_published'} <= set(stea_arch.__all__)
    assert all(callable(getattr(stea_arch, name)) for name in stea_arch.__all__)
    assert {'LabNet', 'RealNet', 'archs', *stea_arch.__all__} <= set(dir(stea_arch))
    assert stea_arch.LabNet is LabNet
    assert stea_arch.archs.__name__ == 'stea_arch.archs'
    with pytest.raises(AttributeError, match="'stea_arch' has no attribute 'load_publishd'"):
        stea_arch.load_publishd  # noqa: B018


@pytest.mark.parametrize('name', stea_arch.__all__)
def test_what_the_package_offers_has_type_hints(name):
    offered = getattr(stea_arch, name)
    signature = inspect.signature(offered)
    arguments = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    assert arguments and all(argument.annotation is not argument.empty for argument in arguments)
    assert inspect.isclass(offered) or signature.return_annotation is not signature.empty
    assert (ROOT / 'stea_arch/py.typed').is_file()  # without it type checkers pass over them
