"""Costs of layers whose numbers are known by hand."""

import types

import psutil
import pytest
import torch
from basicsr.archs import build_network
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stea_arch.compare import cost
from stea_arch.compare.cost import as_defined, count_macs, measure_costs, peak_memory
from stea_arch.compare.networks import Network


class Known:
    """Looks like a Network, around one module."""

    device = torch.device('cpu')

    def __init__(self, label, net):
        self.label, self.net = label, net
        self.parameters = sum(p.numel() for p in net.parameters())
        self.model = types.SimpleNamespace(feed_data=self._feed, test=self._test, net_g=net)

    def _feed(self, data):
        self.lq = data['lq']

    def _test(self):
        with torch.inference_mode():
            self.output = self.model.net_g(self.lq)


class Product(nn.Module):
    def forward(self, x):
        return x.flatten(2).transpose(1, 2) @ x.flatten(2)


class InPlace(nn.Module):
    """Products that are added to what is there, as fused networks do it: 7x5 @ 5x3, and 2 of 4x5 @ 5x6."""

    def forward(self, x):
        one = torch.zeros(7, 3).addmm_(torch.ones(7, 5), torch.ones(5, 3))
        return one, torch.zeros(2, 4, 6).baddbmm_(torch.ones(2, 4, 5), torch.ones(2, 5, 6))


LAYERS = {
    'in place': (InPlace, 7 * 5 * 3 + 2 * 4 * 5 * 6),
    'conv': (lambda: nn.Conv2d(3, 8, 3, padding=1), 3 * 8 * 9 * 10 * 12),
    'strided': (lambda: nn.Conv2d(3, 8, 3, 2, 1), 3 * 8 * 9 * 5 * 6),
    'depthwise': (lambda: nn.Conv2d(3, 3, 5, padding=2, groups=3), 3 * 25 * 10 * 12),
    'dilated': (lambda: nn.Conv2d(3, 3, 3, padding=2, dilation=2, groups=3), 3 * 9 * 10 * 12),
    'transposed': (lambda: nn.ConvTranspose2d(3, 4, 2, 2), 3 * 4 * 4 * 10 * 12),
    'linear': (lambda: nn.Linear(12, 7), 3 * 10 * 12 * 7),
    'product': (Product, 120 * 120 * 3),
    'two': (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), (12 + 8) * 120),
}


@pytest.mark.parametrize('name', LAYERS)
def test_macs(name):
    make, macs = LAYERS[name]
    assert count_macs(Known(name, make()), torch.rand(3, 10, 12)) == macs


def test_peak_memory_is_that_of_what_is_alive():
    lq = torch.rand(3, 16, 16)
    image = 16 * 16 * 4
    # weights 8*3 + 8 and 2*8 + 2; beside the input's 3 channels, two images of 8 live while the ReLU runs, in place one
    weights = (32 + 18) * 4
    plain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    assert peak_memory(Known('plain', plain), lq) == weights + (3 + 8 + 8) * image
    thrifty = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 1))
    assert peak_memory(Known('thrifty', thrifty), lq) == weights + (3 + 8 + 2) * image


def test_all_networks_are_timed_in_turn():
    order = []

    class Noted(nn.Identity):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            order.append(self.name)
            return x.clone()

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError('no such size')

    networks = [Known('a', Noted('a')), Known('broken', Broken()), Known('b', Noted('b'))]
    costs = measure_costs(networks, [8, 8], rounds=3)
    assert order == ['a'] * 3 + ['b'] * 3 + ['a', 'b'] * 3  # counted, measured and warmed up before
    assert costs['networks']['b']['parameters'] == 0 and costs['networks']['b']['macs'] == 0
    fastest, slowest = costs['networks']['a']['latency_range']
    assert 0 < fastest <= costs['networks']['a']['latency_seconds'] <= slowest < 1
    assert costs['failed'] == {'broken': 'RuntimeError: no such size'} and list(costs['networks']) == ['a', 'b']
    assert 'median of 3 interleaved rounds' in costs['protocol']['latency'] and costs['input'] == [8, 8]


def test_a_network_is_counted_as_it_is_defined_whatever_form_is_run(mini):
    """The fused form multiplies less and holds less, and a network of BasicSR has no other form."""
    network = Network(mini, 'LabNet', 2)
    assert network.model.net_g is not network.net
    lq = torch.rand(3, 24, 32)
    plain = build_network({**mini['networks']['LabNet']['network_g']}).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        plain(lq[None])
    costs = measure_costs([network], [24, 32], rounds=1)['networks']['LabNet']
    assert costs['macs'] == counter.get_total_flops() // 2 > count_macs(network, lq)
    with as_defined(network):
        assert costs['peak_bytes'] == peak_memory(network, lq)
    assert network.model.net_g is not network.net  # what is timed and tested is the fastest form again


@pytest.mark.parametrize(
    ('others', 'seconds', 'warned'),
    [
        (0.1, [0.5, 0.5, 0.6], False),
        (1.9, [0.5, 0.5, 0.6], True),
        (0.1, [0.5, 0.5, 0.9], True),
        (0.1, [1e-3, 1e-3, 9e-3], False),
    ],
)
def test_a_busy_machine_is_said(monkeypatch, others, seconds, warned):
    monkeypatch.setattr(psutil, 'cpu_count', lambda: 2)
    monkeypatch.setattr(psutil, 'cpu_percent', lambda interval: 50 * others)
    rounds = iter(seconds)
    monkeypatch.setattr(cost, '_time', lambda network, lq: next(rounds) if rounds_begun(network) else 0)
    calls = []

    def rounds_begun(network):
        calls.append(network)
        return len(calls) > 1  # the first is to warm up

    costs = measure_costs([Known('a', nn.Identity())], [8, 8], rounds=3)
    assert costs['networks']['a']['latency_range'] == [min(seconds), max(seconds)]
    assert (costs['warning'] is not None) == warned
    if warned:
        assert costs['warning'].startswith(f'Latencies say little: other programs kept {others} cores busy')
