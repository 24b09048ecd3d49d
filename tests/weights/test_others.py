"""BasicSR's networks with weights of their own: the upscaler makes of them what they make."""

import sys

import numpy as np
import pytest
import torch
from basicsr.archs.edsr_arch import EDSR
from basicsr.archs.rcan_arch import RCAN
from basicsr.archs.rrdbnet_arch import RRDBNet
from basicsr.archs.srvgg_arch import SRVGGNetCompact
from basicsr.archs.swinir_arch import SwinIR

from stea_arch.upscaling.upscaler import Upscaler
from stea_arch.weights import load_network

SWINIR = {'window_size': 8, 'depths': [2], 'num_heads': [2], 'embed_dim': 16, 'mlp_ratio': 2, 'img_range': 1.0}
NETWORKS = {
    'EDSR x2': lambda: EDSR(3, 3, 16, 2, 2),
    'EDSR x3': lambda: EDSR(3, 3, 16, 3, 3),
    'EDSR x4 of 256 channels': lambda: EDSR(3, 3, 256, 1, 4, res_scale=0.1),
    'RCAN x4': lambda: RCAN(3, 3, 32, 2, 3, squeeze_factor=8, upscale=4),
    'RRDBNet x4': lambda: RRDBNet(3, 3, 4, 16, 1),
    'SRVGGNetCompact x4': lambda: SRVGGNetCompact(num_feat=16, num_conv=3, upscale=4),
    'SwinIR x2': lambda: SwinIR(img_size=32, upscale=2, upsampler='pixelshuffle', resi_connection='1conv', **SWINIR),
}


def save(network, path, key='params'):
    torch.save({key: network.state_dict()} if key else network.state_dict(), path)
    return path


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('key', ['params_ema', None])
def test_a_checkpoint_of_another_network_upscales(tmp_path, name, key):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    image = np.random.default_rng(0).random((24, 16, 3)).astype(np.float32)  # what SwinIR takes as it is
    with torch.no_grad():
        expected = network(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))[0].clamp(0, 1).permute(1, 2, 0)
    upscaler = Upscaler(save(network, tmp_path / 'net.pth', key), 'cpu', colours='network')
    assert upscaler.scale == int(name.partition(' x')[2][0])
    np.testing.assert_allclose(upscaler(image), expected, atol=1e-5)
    assert upscaler(image[:5, :7]).shape == (5 * upscaler.scale, 7 * upscaler.scale, 3)


def test_what_a_file_says_of_its_network_counts(tmp_path):
    network = EDSR(3, 3, 16, 2, 2, res_scale=0.3)
    arguments = {'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 16, 'num_block': 2, 'upscale': 2, 'res_scale': 0.3}
    torch.save({'params': network.state_dict(), 'network_g': {'type': 'EDSR', **arguments}}, tmp_path / 'net.pth')
    lq = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        torch.testing.assert_close(load_network(tmp_path / 'net.pth')(lq), network(lq))


def test_what_does_not_fit_is_computed_on_tiles(tmp_path):
    upscaler = Upscaler(save(EDSR(3, 3, 16, 2, 2), tmp_path / 'net.pth'), 'cpu', max_memory=0.4, colours='network')
    assert upscaler.find_way(1000, 800) == {'method': 'tiles'}
    image = np.random.default_rng(0).integers(0, 256, (1000, 800, 3)).astype(np.uint8)
    tiles, whole = upscaler(image), Upscaler(tmp_path / 'net.pth', 'cpu', max_memory=8, colours='network')(image)
    assert np.abs(tiles.astype(int) - whole).max() <= 1


def test_backends_are_for_our_networks(tmp_path):
    with pytest.raises(ValueError, match='The backend onnxruntime is for LabNet and RealNet, got a EDSR'):
        Upscaler(save(EDSR(3, 3, 16, 2, 2), tmp_path / 'net.pth'), backend='onnxruntime')


def test_without_spandrel_its_package_is_named(tmp_path, monkeypatch):
    path = save(NETWORKS['RRDBNet x4'](), tmp_path / 'net.pth')
    monkeypatch.setitem(sys.modules, 'spandrel', None)
    with pytest.raises(
        ValueError, match=r'net\.pth: .*neither a LabNet nor a RealNet.*pip install "stea_arch\[spandrel\]"'
    ):
        load_network(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda weights: {'a.weight': torch.ones(3)},
            r'or a network that spandrel knows was expected, .*\(a\.weight, ',
        ),
        (lambda weights: {**weights, 'body.0.conv1.bias': torch.ones(3)}, 'parameters do not fit the network'),
        (lambda weights: {name: value for name, value in weights.items() if 'conv_last' not in name}, 'do not fit'),
    ],
)
def test_what_is_no_network_is_said_in_a_line(tmp_path, change, message):
    path = tmp_path / 'net.pth'
    torch.save(change(EDSR(3, 3, 16, 2, 2).state_dict()), path)
    with pytest.raises(ValueError, match=message) as caught:
        load_network(path)
    assert '\n' not in str(caught.value)


def test_damaged_weights_are_an_error_of_the_file(tmp_path):
    """Whatever a network's own class makes of shapes that cannot be."""
    sound = RRDBNet(3, 3, 4, 16, 1).state_dict()
    for name in ('conv_first.weight', 'body.0.rdb1.conv1.weight', 'conv_up1.weight', 'conv_last.weight'):
        for value in (torch.zeros(()), torch.zeros(0, 3, 3, 3), torch.zeros(5)):
            torch.save({**sound, name: value}, tmp_path / 'net.pth')
            with pytest.raises(ValueError, match=r'net\.pth: '):
                load_network(tmp_path / 'net.pth')
