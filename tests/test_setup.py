"""What setup.py names is what the code needs: every import, every file that is no Python."""

import ast
import sys
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = {'cv2': 'opencv-python', 'PIL': 'pillow', 'yaml': 'pyyaml', 'skimage': 'scikit-image'}


@pytest.fixture(scope='module')
def arguments():
    """Those that setup.py calls ``setup`` with."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, 'setup', lambda **arguments: found.update(arguments))
        patch.chdir(ROOT)
        exec(compile((ROOT / 'setup.py').read_text(), str(ROOT / 'setup.py'), 'exec'), {'__file__': ROOT / 'setup.py'})
    return found


def imports(folder):
    """Top-level modules that the files under a folder import, but for Python's own and ours; PyTorch brings Triton."""
    names = set()
    for file in (ROOT / folder).rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    names = {name.partition('.')[0] for name in names}
    ours = {
        file.stem for place in (folder, 'benchmarks', 'tools') for file in (ROOT / place).rglob('*.py')
    }  # run as scripts
    return names - sys.stdlib_module_names - {'stea_arch', 'data_prep', 'triton'} - ours


def distributions(requirements):
    return {requirement.partition('>')[0].partition('=')[0].lower() for requirement in requirements}


@pytest.mark.parametrize(
    ('folder', 'extras'),
    [
        ('data_prep', []),
        ('stea_arch', ['export', 'metrics', 'onnxruntime', 'openvino', 'spandrel']),
        ('tests', ['tests']),
        ('benchmarks', ['benchmarks']),
    ],
)
def test_every_import_is_named(arguments, folder, extras):
    named = [*arguments['install_requires'], *(name for extra in extras for name in arguments['extras_require'][extra])]
    needed = {DISTRIBUTIONS.get(name, name).lower().replace('_', '-') for name in imports(folder)}
    assert needed and needed <= distributions(named)


def test_every_file_beside_the_code_is_installed(arguments):
    installed = set()
    for package, patterns in arguments['package_data'].items():
        folder = ROOT / package.replace('.', '/')
        installed |= {file for pattern in patterns for file in folder.glob(pattern)}
    folders = [ROOT / package.replace('.', '/') for package in arguments['packages']]
    files = {file for folder in folders for file in folder.iterdir() if file.is_file() and file.suffix != '.py'}
    assert files and files <= installed
    # folders without an __init__.py would be left out altogether
    assert {file.parent for name in ('stea_arch', 'data_prep') for file in (ROOT / name).rglob('*.py')} == set(folders)
