import subprocess
import sys

import plain
import pytest
import torch
import torch.nn.functional as F

from stea_arch import kernels


@pytest.fixture(autouse=True)
def off_afterwards():
    yield
    kernels.disable()


def test_off_at_first():
    x = torch.zeros(1, 16, 2, 2)
    assert not kernels.usable(x)
    assert kernels.why_not(x) == 'the kernels are off: call stea_arch.kernels.enable() or set STEA_KERNELS=1'


def test_without_triton():
    """Blocked as if it were not there: the plugin works, asking for kernels is answered, also by the variable."""
    script = """
import sys
sys.modules['triton'] = None
import stea_arch
assert not any(name.startswith('stea_arch.kernels.') for name in sys.modules if name != 'stea_arch.kernels.switch')
try:
    stea_arch.kernels.enable()
except RuntimeError as error:
    print(error)
import importlib, os
os.environ['STEA_KERNELS'] = '1'
importlib.reload(stea_arch.kernels)
"""
    run = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    message = 'The Triton kernels cannot be used: Triton is not installed. It comes with the CUDA build of PyTorch'
    assert message in run.stdout, run.stderr
    assert run.returncode == 1 and message in run.stderr.splitlines()[-1]


def test_without_cuda(monkeypatch):
    monkeypatch.setattr(kernels.switch.importlib.util, 'find_spec', lambda name: name)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    with pytest.raises(RuntimeError, match=r'cannot be used: PyTorch .+ sees no CUDA device\. Run it on'):
        kernels.enable()
    assert not kernels.usable(torch.zeros(1))


def test_with_an_old_triton(monkeypatch):
    class Old:
        __version__ = '3.2.0'

    monkeypatch.setattr(kernels.switch.importlib.util, 'find_spec', lambda name: name)
    monkeypatch.setattr(kernels.switch.importlib, 'import_module', lambda name: Old)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    with pytest.raises(RuntimeError, match=r'Triton 3\.4 or newer is needed, but 3\.2\.0 is installed\. Install'):
        kernels.enable()


def test_why_a_tensor_is_left_to_stock_operations(monkeypatch):
    monkeypatch.setattr(kernels.switch, '_on', True)
    x = torch.zeros(1, 16, 2, 2)
    assert kernels.why_not(x) == 'the tensor is on cpu, and the kernels run on cuda'
    monkeypatch.setattr(kernels.switch, '_devices', ('cuda', 'cpu'))
    assert kernels.why_not(x) is None and kernels.usable(x)
    reason = 'the tensor is torch.float64, and the kernels take float32, bfloat16 and float16'
    assert kernels.why_not(x.double()) == reason and not kernels.usable(x.double())


def test_stock_form_of_the_group():
    x = torch.randn(2, 4, 6, 5)
    weights, biases = [torch.randn(4, 1, k, k) for k in (9, 3)], [torch.randn(4) for _ in range(2)]
    ours = kernels.depthwise_group(x, weights, biases, [2, 1])
    far = F.conv2d(x, weights[0], biases[0], padding=8, dilation=2, groups=4)
    near = F.conv2d(x, weights[1], biases[1], padding=1, groups=4)
    torch.testing.assert_close(ours, torch.cat([far, near], 1), rtol=0, atol=0)


def test_stock_form_of_the_gate():
    x, weight = torch.randn(2, 6, 4, 5), torch.randn(6, 1, 3, 3)
    q = F.conv2d(x, weight, padding=1, groups=6)
    expected = plain.gelu(q[:, :3]) * q[:, 3:]
    torch.testing.assert_close(kernels.gated_depthwise(x, weight), expected, rtol=1e-5, atol=1e-6)
