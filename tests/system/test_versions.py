"""What a result was computed with: versions, and a fingerprint of the code."""

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version

import cv2
import pytest
from basicsr.utils.registry import ARCH_REGISTRY

from stea_arch.system import versions

NET = """
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

@ARCH_REGISTRY.register()
class {}(nn.Module):
    def late(self):
        from {} import anything
"""
FILES = {
    'their_nets/__init__.py': '',
    'their_nets/arch.py': f'from their_nets.layers import GAIN\n{NET.format("OfPackage", "their_nets.later")}',
    'their_nets/layers.py': 'from . import deep\nGAIN = 1\n',
    'their_nets/deep.py': 'import their_nets.sub.folder\n',  # sub is a folder without __init__.py
    'their_nets/sub/folder.py': '',
    'their_nets/later.py': 'anything = 1\n',
    'their_nets/other.py': NET.format('OtherOfPackage', 'their_nets.layers'),
    'own_net.py': f'import bought_net, own_beside\n{NET.format("OfFile", "own_later")}',
    'own_beside.py': '',
    'own_later.py': '',
    'own_other.py': NET.format('OtherOfFile', 'own_net'),
    'site-packages/bought_net/__init__.py': f'from bought_net import layers\n{NET.format("Bought", "os")}',
    'site-packages/bought_net/layers.py': '',
    'site-packages/Nets_for_sale-1.0.dist-info/METADATA': 'Metadata-Version: 2.1\nName: Nets-for-sale\nVersion: 1.0\n',
    'site-packages/Nets_for_sale-1.0.dist-info/top_level.txt': 'bought_net\n',
}
METADATA = next(name for name in FILES if name.endswith('METADATA'))


@pytest.mark.parametrize(
    ('module', 'network', 'decisive'),
    [
        ('their_nets.arch', 'OfPackage', [name for name in FILES if 'their' in name and 'other' not in name]),
        ('own_net', 'OfFile', ['own_net.py', 'own_beside.py', 'own_later.py', METADATA]),
        ('bought_net', 'Bought', ['site-packages/bought_net/__init__.py', METADATA]),
    ],
)
def test_the_fingerprint_is_of_all_code_that_a_network_imports(tmp_path, monkeypatch, module, network, decisive):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(ARCH_REGISTRY, '_obj_map', dict(ARCH_REGISTRY._obj_map))
    for folder in ('site-packages', '.'):
        monkeypatch.syspath_prepend(tmp_path / folder)
    for loaded in [name for name in sys.modules if name.startswith(('their_nets', 'own_', 'bought_net'))]:
        monkeypatch.delitem(sys.modules, loaded)
    versions._distributions.cache_clear()
    importlib.import_module(module)

    def mark():
        return versions.code_fingerprint('ARCH_REGISTRY', [network])

    before = mark()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace('1.0', '1.1') + '# edited\n')
        assert (mark() != before) == (name in decisive), name
        (tmp_path / name).write_text(text)
    for other in ('own_other', 'their_nets.other', 'own_later', 'their_nets.later'):  # another order of loading
        importlib.import_module(other)
    assert mark() == before


def test_a_machine_with_another_build_of_opencv_has_versions(monkeypatch):
    def headless(name):
        if name in ('opencv-python', 'stea_arch'):  # installed as opencv-python-headless; used from its folder
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(versions, 'version', headless)
    found = versions.get_versions()
    assert found['opencv'] == cv2.__version__ and found['torch'] == version('torch') and 'stea_arch' not in found
