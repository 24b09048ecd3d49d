"""What a result was computed with."""

import platform
from importlib.metadata import version

import torch


def get_versions():
    """Versions and machine, for the JSON beside a result.

    Returns:
        dict[str, str | int]: Package versions, Python, processor kind, threads, CUDA device if there is one.
    """
    packages = ('stea_arch', 'basicsr', 'torch', 'torchvision', 'numpy', 'opencv-python', 'lmdb')
    versions = {name: version(name) for name in packages}
    versions['python'] = platform.python_version()
    versions['cpu'] = torch.backends.cpu.get_cpu_capability()
    versions['threads'] = torch.get_num_threads()
    if torch.cuda.is_available():
        versions['cuda_device'] = torch.cuda.get_device_name()
    return versions
