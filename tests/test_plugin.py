"""BasicSR is loaded when it is asked for, and then finds our networks, datasets and models in its registries."""

import inspect
import re
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
