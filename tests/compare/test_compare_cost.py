"""Costs of layers whose numbers are known by hand."""

import types

import pytest
import torch
from torch import nn

from stea_arch.compare.cost import count_macs, measure_costs, peak_memory


class Known:
    """Looks like a Network, around one module."""

    device = torch.device('cpu')

    def __init__(self, label, net):
        self.label, self.net = label, net
        self.parameters = sum(p.numel() for p in net.parameters())
        self.model = types.SimpleNamespace(feed_data=self._feed, test=self._test)

    def _feed(self, data):
        self.lq = data['lq']

    def _test(self):
        with torch.inference_mode():
            self.output = self.net(self.lq)


class Product(nn.Module):
    def forward(self, x):
        return x.flatten(2).transpose(1, 2) @ x.flatten(2)


LAYERS = {
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
    assert order == ['a', 'a', 'b', 'b'] + ['a', 'b'] * 3
    assert costs['networks']['b']['parameters'] == 0 and costs['networks']['b']['macs'] == 0
    assert 0 < costs['networks']['a']['latency_seconds'] < 1
    assert costs['failed'] == {'broken': 'RuntimeError: no such size'} and list(costs['networks']) == ['a', 'b']
    assert costs['protocol']['latency'].startswith('median of 3 interleaved rounds') and costs['input'] == [8, 8]
