"""BasicSR is loaded when it is asked for, and then finds our networks, datasets and models in its registries."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import stea_arch

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


def test_the_networks_need_neither_basicsr_nor_what_it_loads():
    code = (
        'import sys, stea_arch\n'
        'assert "torch" not in sys.modules\n'
        'stea_arch.load_published\n'
        'print({"basicsr", "torchvision", "cv2", "skimage", "scipy"} & set(sys.modules))\n'
    )
    assert run(code) == 'set()\n'


def test_what_the_package_offers_is_found_by_name():
    assert all(callable(getattr(stea_arch, name)) for name in stea_arch.__all__)
    assert stea_arch.archs.__name__ == 'stea_arch.archs'
    with pytest.raises(AttributeError, match="'stea_arch' has no attribute 'load_publishd'"):
        stea_arch.load_publishd  # noqa: B018
