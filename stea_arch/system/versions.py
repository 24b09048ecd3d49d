"""What a result was computed with."""

import functools
import hashlib
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import cv2
import torch

from stea_arch.system.sources import find_sources

PACKAGE = Path(__file__).resolve().parents[1]
ROOMS = 'archs', 'data', 'degradations', 'images', 'inference', 'metrics', 'models', 'results', 'weights', 'triton_ops'


def get_versions():
    """Versions and machine, for the JSON beside a result.

    Returns:
        dict[str, str | int]: Those of :func:`get_packages`, Python, processor kind, threads, CUDA device if there is
        one.
    """
    versions = {**get_packages(), 'python': platform.python_version()}
    versions['cpu'] = torch.backends.cpu.get_cpu_capability()
    versions['threads'] = torch.get_num_threads()
    if torch.cuda.is_available():
        versions['cuda_device'] = torch.cuda.get_device_name()
    return versions


def get_packages():
    """Versions of the packages that a result depends on, as far as they are installed: dict[str, str]."""
    versions = {'opencv': cv2.__version__}  # its packages have several names
    for name in ('stea_arch', 'basicsr', 'torch', 'torchvision', 'numpy', 'lmdb', 'triton'):
        with suppress(PackageNotFoundError):  # used from its folder
            versions[name] = version(name)
    return versions


def code_fingerprint(registry, names):
    """Changes with the code that results depend on.

    Args:
        registry (str): One of BasicSR's registries, e.g. ``'ARCH_REGISTRY'``.
        names (list[str]): What is used of it, of whatever package: its source files count, with all that they import,
            and of installed packages the versions.

    Returns:
        str: A SHA-256, also of the rooms of this package that an image passes through.
    """
    from basicsr.utils import registry as registries

    found = [find_sources(getattr(registries, registry).get(name)) for name in names]
    code = sorted(hashlib.sha256(file.read_bytes()).digest() for file in set().union(*(files for files, _ in found)))
    versions = sorted(text for name in set().union(*(installed for _, installed in found)) for text in _versions(name))
    return hashlib.sha256(b''.join([_rooms(), *code, *map(str.encode, versions)])).hexdigest()


def _versions(module):
    """What brings an installed module, with its version; most packages are called as their module."""
    try:
        return [f'{module} {version(module)}']
    except PackageNotFoundError:
        return [f'{name} {version(name)}' for name in _distributions().get(module, ())]


_distributions = functools.cache(packages_distributions)  # it reads about every package


@functools.cache
def _rooms():
    files = sorted(file for room in ROOMS for file in (PACKAGE / room).rglob('*.py'))
    files += [PACKAGE / 'compare' / f'{name}.py' for name in ('evaluate', 'networks', 'testsets')]
    return b''.join(hashlib.sha256(file.read_bytes()).digest() for file in files)


def get_commit():
    """The git commit of this package's source, with ``+`` behind it where files have been changed since.

    Returns:
        str | None: None where it was not installed from a git checkout.
    """
    root = PACKAGE.parent
    try:
        _git(root, 'ls-files', '--error-unmatch', str(Path(__file__).resolve()))  # fails in somebody else's checkout
        commit = _git(root, 'rev-parse', 'HEAD')
        return commit + ('+' if _git(root, 'status', '--porcelain', '--', 'stea_arch') else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root, *arguments):
    command = ['git', '-C', str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
