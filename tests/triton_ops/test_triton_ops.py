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
PLANES = {**GROUP, 'W_UNIT': 16, 'LINES': 5, 'TAPS': 10, 'WIDTH': 32, 'PART': 2, 'BLOCK': 64}
FMA, MATRIX = 'fma.rn.f32', 'wgmma.mma_async.sync.aligned.m64n32k16.f32.'  # sums are fp32 in both


@pytest.mark.parametrize(
    ('module', 'name', 'constants', 'dtype', 'instruction'),
    [
        ('depthwise', 'results', GROUP, 'fp16', FMA),
        ('depthwise', 'input_gradient', {**GROUP, 'STEP': 2}, 'bf16', FMA),
        ('depthwise', 'weight_gradient', {**GROUP, 'CHUNKS': 2}, 'bf16', FMA),
        ('gated', 'results', {'K': 3}, 'fp32', FMA),
        ('gated', 'inner_gradient', {'K': 3}, 'bf16', FMA),
        ('planes', 'spread', PLANES, 'bf16', ''),
        ('planes', 'results', PLANES, 'fp16', MATRIX + 'f16'),
        ('planes', 'input_gradient', PLANES, 'bf16', MATRIX + 'bf16'),
        ('planes', 'weight_gradient', PLANES, 'bf16', MATRIX + 'bf16'),
    ],
)
def test_compiles_for_sm90(module, name, constants, dtype, instruction, tmp_path, monkeypatch):
    """The interpreter takes more than the compiler does; compiling needs no GPU."""
    if triton_is_missing():
        return
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(importlib.import_module(f'stea_arch.triton_ops.{module}'), name)
    kinds = {'taps': '*fp32', 'bias': '*fp32', 'taps_out': '*fp32', 'bias_out': '*fp32'}
    kinds |= {'x': f'*{dtype}', 'lines': f'*{dtype}', 'grad': f'*{dtype}', 'out': f'*{dtype}'}
    kinds |= dict.fromkeys(('B', 'C', 'H', 'W', 'UNITS', 'W_UNITS'), 'i32')
    signature = {argument: kinds.get(argument, 'constexpr') for argument in kernel.arg_names}
    source = ASTSource(
        kernel,
        signature=signature,
        constexprs={key: value for key, value in {**SHARED, **constants}.items() if key in kernel.arg_names},
    )
    compiled = triton.compile(source, target=GPUTarget('cuda', 90, 32), options={'num_warps': 4})
    assert instruction in compiled.asm['ptx']
    assert 'cubin' in compiled.asm
