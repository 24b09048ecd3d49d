"""What a result was computed with."""

import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import torch


def get_versions():
    """Versions and machine, for the JSON beside a result.

    Returns:
        dict[str, str | int]: Versions of the packages that are installed, Python, processor kind, threads, CUDA device
        if there is one.
    """
    versions = {'opencv': cv2.__version__}  # its packages have several names
    for name in ('stea_arch', 'basicsr', 'torch', 'torchvision', 'numpy', 'lmdb', 'triton'):
        with suppress(PackageNotFoundError):  # used from its folder
            versions[name] = version(name)
    versions['python'] = platform.python_version()
    versions['cpu'] = torch.backends.cpu.get_cpu_capability()
    versions['threads'] = torch.get_num_threads()
    if torch.cuda.is_available():
        versions['cuda_device'] = torch.cuda.get_device_name()
    return versions


def get_commit():
    """The git commit of this package's source, with ``+`` behind it where files have been changed since.

    Returns:
        str | None: None where it was not installed from a git checkout.
    """
    root = Path(__file__).resolve().parents[2]
    try:
        _git(root, 'ls-files', '--error-unmatch', str(Path(__file__).resolve()))  # fails in somebody else's checkout
        commit = _git(root, 'rev-parse', 'HEAD')
        return commit + ('+' if _git(root, 'status', '--porcelain', '--', 'stea_arch') else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root, *arguments):
    command = ['git', '-C', str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
