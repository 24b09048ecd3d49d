"""The picture of what strengths do."""

import cv2
import numpy as np
import pytest
import torch
import yaml

from stea_arch.archs.realnet_arch import RealNet
from stea_arch.commands.strengths import main, make_grid

NETWORK = {'num_feat': 16, 'num_blocks': [1] * 6, 'upscale': 2, 'attention': 'none', 'large_field': False}


@pytest.fixture
def files(tmp_path, photo_folder):
    """An option file that tests a network with random weights, and the network."""
    torch.manual_seed(0)
    network = RealNet(streams=2, **NETWORK).eval()
    torch.save({'params_ema': network.state_dict()}, tmp_path / 'net.pth')
    opt = {
        'name': 'strengths', 'model_type': 'RealNetModel', 'scale': 2, 'num_gpu': 0, 'manual_seed': 0,
        'datasets': {
            'test': {
                'name': 'photos', 'type': 'SingleImageDataset', 'dataroot_lq': str(photo_folder),
                'io_backend': {'type': 'disk'},
            }
        },
        'network_g': {'type': 'RealNet', 'streams': 2, **NETWORK},
        'path': {'pretrain_network_g': str(tmp_path / 'net.pth'), 'param_key_g': 'params_ema'},
        'val': {'save_img': False},
    }  # fmt: skip
    (tmp_path / 'opt.yml').write_text(yaml.safe_dump(opt))
    return tmp_path / 'opt.yml', opt, network


def run(options, image, out, *more):
    return main([str(image), '-opt', str(options), '--out', str(out), *more])


def test_every_crop_is_the_network_s_with_its_strengths(files, photo_folder, tmp_path):
    options, _, network = files
    assert run(options, photo_folder / 'photo0.png', tmp_path / 'grid.png', '--values', '0', '1.5', '--side', '40') == 0
    picture = cv2.imread(str(tmp_path / 'grid.png'))[..., ::-1]
    lq = cv2.imread(str(photo_folder / 'photo0.png'))[..., ::-1]
    assert picture.shape == (3 * (80 + 24) + 6, 2 * (80 + 6) + 6, 3)
    tensor = torch.from_numpy(lq.copy()).permute(2, 0, 1)[None].float() / 255
    for row, denoise in enumerate((None, 0, 1.5)):
        for column, deblur in enumerate((None, None) if row == 0 else (0, 1.5)):
            with torch.no_grad():
                result = network.set_strengths(deblur, denoise)(tensor)
            wanted = (result[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            if (row, column) == (0, 0):  # the input
                wanted = lq.repeat(2, 0).repeat(2, 1)
            crop = picture[24 + row * 104 :][:80, 6 + column * 86 :][:, :80]
            np.testing.assert_array_equal(crop, wanted[32 : 32 + 80, 24 : 24 + 80])


def test_learned_strengths_are_left_behind(files):
    network = files[2]
    lq = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        before = network(lq)
        rows = make_grid(network, lq)
        assert torch.equal(network(lq), before)
    assert [len(row) for row in rows] == [2, 4, 4, 4, 4]
    torch.testing.assert_close(rows[0][1][1], before[0].clamp(0, 1))


def test_another_network_and_a_wrong_strength_are_refused_in_a_paragraph(files, photo_folder, tmp_path, capsys):
    options, opt, _ = files
    assert run(options, photo_folder / 'photo0.png', tmp_path / 'grid.png', '--values', '2') == 1
    assert 'strength deblur must be a number from 0 to 1.5' in capsys.readouterr().err
    other = RealNet(streams=1, **NETWORK).state_dict()
    torch.save({'params_ema': other}, tmp_path / 'net.pth')
    assert run(options, photo_folder / 'photo0.png', tmp_path / 'grid.png') == 1
    assert 'net.pth does not fit the network that network_g describes' in capsys.readouterr().err
    opt['network_g']['streams'] = 1
    options.write_text(yaml.safe_dump(opt))
    assert run(options, photo_folder / 'photo0.png', tmp_path / 'grid.png') == 1
    assert 'Strengths are those of a RealNet with streams: 2' in capsys.readouterr().err
