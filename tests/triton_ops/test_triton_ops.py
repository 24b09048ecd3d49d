"""The kernels in Triton's interpreter, which a process must ask for before it imports Triton, and in its compiler."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stea_arch import triton_ops

FOLDER = Path(__file__).parent


def triton_is_missing():
    """False where there is a Triton to test. Elsewhere True, once the kernels have said that they need one."""
    if importlib.util.find_spec('triton') is not None and triton_version() >= triton_ops.switch.OLDEST:
        return False
    with pytest.raises(RuntimeError, match='Triton'):
        triton_ops.enable()
    return True


def triton_version():
    import triton

    return tuple(int(part) for part in triton.__version__.split('.')[:2])


@pytest.mark.parametrize('file', ['interpreted_group.py', 'interpreted_network.py'])
def test_in_the_interpreter(file, tmp_path):
    if triton_is_missing():
        return
    environment = {**os.environ, 'TRITON_INTERPRET': '1', 'PYTHONPATH': str(FOLDER.parents[1])}
    environment.pop(triton_ops.switch.VARIABLE, None)
    command = [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', str(FOLDER / file)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


SHARED = {'ROWS': 4, 'BLOCK_W': 16, 'BLOCK_C': 32, 'UNIT': 16}
GROUP = {'SIZES': (3, 1), 'DILATIONS': (2, 1)}


@pytest.mark.parametrize(
    ('module', 'name', 'constants', 'dtype'),
    [
        ('depthwise', 'results', GROUP, 'fp16'),
        ('depthwise', 'input_gradient', {**GROUP, 'STEP': 2}, 'bf16'),
        ('depthwise', 'weight_gradient', {**GROUP, 'CHUNKS': 2}, 'bf16'),
        ('gated', 'results', {'K': 3}, 'fp32'),
        ('gated', 'inner_gradient', {'K': 3}, 'bf16'),
    ],
)
def test_compiles_for_sm90(module, name, constants, dtype, tmp_path, monkeypatch):
    """The interpreter takes more than the compiler does; compiling needs no GPU."""
    if triton_is_missing():
        return
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(importlib.import_module(f'stea_arch.triton_ops.{module}'), name)
    kernel = kernel if isinstance(kernel, triton.JITFunction) else kernel.fn
    kinds = {'taps': '*fp32', 'bias': '*fp32', 'taps_out': '*fp32', 'bias_out': '*fp32'}
    kinds |= {'x': f'*{dtype}', 'grad': f'*{dtype}', 'out': f'*{dtype}'}
    kinds |= dict.fromkeys(('B', 'H', 'W', 'UNITS', 'WIDTH'), 'i32')
    signature = {argument: kinds.get(argument, 'constexpr') for argument in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs={**SHARED, **constants})
    compiled = triton.compile(source, target=GPUTarget('cuda', 90, 32), options={'num_warps': 4})
    assert 'fma.rn.f32' in compiled.asm['ptx'], 'sums must be fp32'
    assert 'cubin' in compiled.asm
