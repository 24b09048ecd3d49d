import subprocess
import sys

import plain
import pytest
import torch
import torch.nn.functional as F

from stea_arch import triton_ops


@pytest.fixture(autouse=True)
def off_afterwards():
    yield
    triton_ops.disable()


def test_off_at_first():
    x = torch.zeros(1, 16, 2, 2)
    assert not triton_ops.usable(x)
    assert triton_ops.why_not(x) == 'the kernels are off: call stea_arch.triton_ops.enable() or set STEA_KERNELS=1'


def test_without_triton():
    """Blocked as if it were not there: the plugin works, asking for kernels is answered, also by the variable."""
    script = """
import sys
sys.modules['triton'] = None
import stea_arch
assert {n for n in sys.modules if n.startswith('stea_arch.triton_ops.')} <= {'stea_arch.triton_ops.switch'}
try:
    stea_arch.triton_ops.enable()
except RuntimeError as error:
    print(error)
import importlib, os
os.environ['STEA_KERNELS'] = '1'
importlib.reload(stea_arch.triton_ops)
"""
    run = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    message = 'The Triton kernels cannot be used: Triton is not installed. It comes with the CUDA build of PyTorch'
    assert message in run.stdout, run.stderr
    assert run.returncode == 1 and message in run.stderr.splitlines()[-1]


def test_without_cuda(monkeypatch):
    monkeypatch.setattr(triton_ops.switch.importlib.util, 'find_spec', lambda name: name)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    with pytest.raises(RuntimeError, match=r'cannot be used: PyTorch .+ sees no CUDA device\. Run it on'):
        triton_ops.enable()
    assert not triton_ops.usable(torch.zeros(1))


def test_with_an_old_triton(monkeypatch):
    class Old:
        __version__ = '3.2.0'

    monkeypatch.setattr(triton_ops.switch.importlib.util, 'find_spec', lambda name: name)
    monkeypatch.setattr(triton_ops.switch.importlib, 'import_module', lambda name: Old)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    with pytest.raises(RuntimeError, match=r'Triton 3\.4 or newer is needed, but 3\.2\.0 is installed\. Install'):
        triton_ops.enable()


def test_why_a_tensor_is_left_to_stock_operations(monkeypatch):
    monkeypatch.setattr(triton_ops.switch, '_on', True)
    x = torch.zeros(1, 16, 2, 2)
    assert triton_ops.why_not(x) == 'the tensor is on cpu, and the kernels run on cuda'
    monkeypatch.setattr(triton_ops.switch, '_devices', ('cuda', 'cpu'))
    assert triton_ops.why_not(x) is None and triton_ops.usable(x)
    reason = 'the tensor is torch.float64, and the kernels take float32, bfloat16 and float16'
    assert triton_ops.why_not(x.double()) == reason and not triton_ops.usable(x.double())


def test_stock_form_of_the_group():
    x = torch.randn(2, 4, 6, 5)
    weights, biases = [torch.randn(4, 1, k, k) for k in (9, 3)], [torch.randn(4) for _ in range(2)]
    ours = triton_ops.depthwise_group(x, weights, biases, [2, 1])
    far = F.conv2d(x, weights[0], biases[0], padding=8, dilation=2, groups=4)
    near = F.conv2d(x, weights[1], biases[1], padding=1, groups=4)
    torch.testing.assert_close(ours, torch.cat([far, near], 1), rtol=0, atol=0)


def test_stock_form_of_the_gate():
    x, weight = torch.randn(2, 6, 4, 5), torch.randn(6, 1, 3, 3)
    q = F.conv2d(x, weight, padding=1, groups=6)
    expected = plain.gelu(q[:, :3]) * q[:, 3:]
    torch.testing.assert_close(triton_ops.gated_depthwise(x, weight), expected, rtol=1e-5, atol=1e-6)
