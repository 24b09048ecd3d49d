"""The rehearsal: it counts what is alive, runs nothing, and agrees with what a process takes."""

import subprocess
import sys

import pytest
import torch
from basicsr.archs.edsr_arch import EDSR
from torch import nn

from stea_arch.inference import estimate_memory
from stea_arch.inference.estimate import BASE, SLACK
from stea_arch.inference.live_bytes import LiveBytes

MIB = 2**20


def tensors(*args, **kwargs):
    """The estimate without what is added for libraries and allocator."""
    return (estimate_memory(*args, **kwargs) - BASE) / SLACK


def test_counts_what_is_alive_at_once():
    with LiveBytes() as live:
        a = torch.zeros(MIB)  # 4 MiB
        b = a + 1
        view = b.view(2, -1)
        del a, b
        c = view + torch.zeros(1)
        del view
        d = c * 2
    assert live.peak == 8 * MIB + 4
    assert live.live == 8 * MIB and d.numel() == c.numel()


class Chain(nn.Module):
    """1 channel -> 8 -> 16 -> 1: most is alive when both wide maps are."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 1, 1))

    def forward(self, x):
        return self.body(x)


def test_a_chain_of_layers():
    assert tensors(Chain(), 100, 50, channels=1) == pytest.approx((8 + 16) * 4 * 5000, rel=0.1)
    half = tensors(Chain(), 100, 50, channels=1, dtype=torch.bfloat16)
    assert half == pytest.approx((1 + 8 + 16) * 2 * 5000, rel=0.2)


def test_strips_take_four_maps_and_do_not_grow_otherwise(make_net):
    """At most 4 C channels and the result, fp64: what a row of the image adds is that and nothing for strips."""
    net = make_net()
    sizes = {'method': 'strips', 'strip': 16}
    added = (tensors(net, 3000, 32, **sizes) - tensors(net, 2000, 32, **sizes)) / (1000 * 32 * 8)
    assert added == pytest.approx(4 * 16, rel=0.1)
    assert tensors(net, 1000, 32) > 8 * added * (1000 * 32 * 8)


def test_tiles_take_one_tile_and_the_result(make_net):
    net = make_net()
    added = tensors(net, 3000, 32, 'tiles', tile=64) - tensors(net, 2000, 32, 'tiles', tile=64)
    assert added == pytest.approx(1000 * 32 * 4 * 3 * 8, rel=0.01)


@pytest.mark.parametrize('method', ['whole', 'strips'])
def test_nothing_is_run_or_changed(make_net, method):
    net = make_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.register_forward_hook(lambda *_: None)
    estimate_memory(net, 40_000, 30_000, method)  # more than fits anywhere
    assert all(
        torch.equal(value, before[name]) and value.device.type == 'cpu' for name, value in net.state_dict().items()
    )


def test_networks_of_basicsr():
    assert estimate_memory(EDSR(3, 3, num_feat=8, num_block=1, upscale=4), 50, 50) > BASE


PROBE = """
import torch
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.inference import upscale_tensor
def peak():
    return int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]) * 1024
torch.set_num_threads(1)
net = LabNet(num_feat=16, num_blocks=(1,) * 6, upscale=2).eval()
lq = torch.rand(1, 3, 384, 160)
for method in ('strips', 'whole'):
    upscale_tensor(net, lq[..., :32, :32], method)
    before = peak()
    upscale_tensor(net, lq, method)
    print(peak() - before)
"""


def test_a_process_takes_about_that_much(make_net):
    """A fresh process each would be cleaner; the second method takes so much more that the first is in its shadow."""
    measured = map(int, subprocess.check_output([sys.executable, '-c', PROBE], text=True).split())
    strips, whole = (estimate_memory(make_net().float(), 384, 160, method) for method in ('strips', 'whole'))
    first, second = measured
    assert 0.4 * strips < first < 2 * strips
    assert 0.4 * (whole - strips) < second < 2 * whole
