import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gpu_speed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    import gpu_speed

    return gpu_speed


def test_refuses_without_cuda(gpu_speed, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    monkeypatch.setattr(sys, 'argv', ['gpu_speed.py', '--out', str(tmp_path / 'speed.json')])
    with pytest.raises(SystemExit, match=r'gpu_speed measures a GPU\. The Triton kernels cannot be used: '):
        gpu_speed.main()
    assert not list(tmp_path.iterdir())


def test_counts_what_operations_move(gpu_speed):
    x, weight = torch.randn(2, 4, 8, 8), torch.randn(6, 4, 1, 1, requires_grad=True)

    def convolve():
        return F.gelu(F.conv2d(x.flip(0).permute(0, 1, 3, 2), weight)).view(-1)

    # flip and GELU read and write a map, the convolution reads the weight too; permute and view are free
    maps = 2 * x.nbytes + (x.nbytes + 3 * x.nbytes // 4 * 2) + 2 * (x.nbytes * 3 // 2)
    assert gpu_speed.count_traffic(convolve) == maps + weight.nbytes


def test_counts_a_block_without_a_gpu():
    run = subprocess.run(
        [sys.executable, str(ROOT / 'benchmarks' / 'gpu_speed.py'), '--count'],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    if 'Triton' in run.stderr and run.returncode:
        assert 'The Triton kernels cannot be used' in run.stderr
        return
    counted = json.loads(run.stdout)
    assert counted['kernels'] < counted['plain'] < counted['dealt']
    assert counted['fused, kernels'] < counted['fused'] < counted['plain']


def test_report_is_complete(gpu_speed, monkeypatch):
    """Everything but the GPU: stock operations on the CPU in all forms, and a clock for them."""

    def run_timed(function):
        start = time.perf_counter()
        function()
        return 1000 * (time.perf_counter() - start)

    monkeypatch.setattr(gpu_speed, 'run_timed', run_timed)
    monkeypatch.setattr(gpu_speed.triton_ops, 'enable', gpu_speed.triton_ops.disable)
    monkeypatch.setattr(gpu_speed, 'WARM_UP', 0)
    parts = gpu_speed.measure_parts((1, 16, 2, 2), torch.device('cpu'), torch.float32, 1, 1e9)['parts']
    assert len(parts) == 12
    group = parts['depthwise group, inference']['stock']
    assert group['ratio'] == 1 and group['bytes'] > 6 * 2 * 4 * 16 * 16

    # without dilation, which the library is slow at on a CPU
    monkeypatch.setattr(gpu_speed, 'LabNet', functools.partial(gpu_speed.LabNet, dilations=(1,)))
    networks = gpu_speed.make_networks(16, (1, 1, 1, 1, 1, 1))
    for train in (False, True):
        result = gpu_speed.measure_network(networks, (1, 4, 4, train), torch.float32, 1, 1e9, False)
        assert list(result['forms']) == ['plain', 'dealt', 'kernels']
        assert max(result['max_difference'].values()) < 1e-4 * result['largest_output']
