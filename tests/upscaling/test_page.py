"""The page's server, as a browser talks to it."""

import base64
import io
import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.commands import page
from stea_arch.images.decode import Photo
from stea_arch.images.encode import encode_photo
from stea_arch.upscaling.page import PageServer
from stea_arch.upscaling.upscaler import Upscaler

SMALL = {'num_feat': 16, 'num_blocks': [1, 1, 1, 1, 1, 1], 'upscale': 2}


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    torch.manual_seed(0)
    for name, network in {'one.pth': LabNet(**SMALL), 'two.pth': RealNet(streams=2, **SMALL)}.items():
        torch.save(network.state_dict(), folder / name)
    server = PageServer([folder / 'one.pth', folder / 'two.pth'], device='cpu')
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(server, path='/', data=None, **headers):
    """Status and text of an answer."""
    request = urllib.request.Request(f'http://127.0.0.1:{server.server_port}{path}', data)
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def image(channels=3):
    pixels = np.random.default_rng(2).integers(0, 256, (8, 10, channels)).astype(np.uint8)
    return pixels, encode_photo(Photo(pixels), '.png')


def after(text):
    data = re.search(r'src="data:image/png;base64,([^"]+)"[^>]*alt="after"', text)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_page_knows_the_networks(server):
    status, text = ask(server)
    assert status == 200
    networks = json.loads(re.search(r'const networks = (\{.*\});', text)[1])
    assert networks == {'one.pth': {'scale': 2, 'strengths': False}, 'two.pth': {'scale': 2, 'strengths': True}}


@pytest.mark.parametrize('channels', [3, 4])
def test_an_image_comes_back_larger(server, channels):
    pixels, data = image(channels)
    status, text = ask(server, '/upscale?model=one.pth&name=%3Cmy%3E.png', data)
    assert status == 200
    assert '&lt;my&gt;.png' in text
    np.testing.assert_array_equal(after(text), server.upscalers['one.pth'](pixels))


def test_strengths_change_the_result_for_this_image_alone(server):
    pixels, data = image()
    learned, set_by_hand, again = (
        after(ask(server, f'/upscale?model=two.pth{query}', data)[1]) for query in ('', '&deblur=1.5&denoise=0', '')
    )
    assert (learned != set_by_hand).any()
    np.testing.assert_array_equal(learned, again)
    network = server.upscalers['two.pth'].network
    expected = Upscaler(network.set_strengths(deblur=1.5, denoise=0.0), 'cpu')(pixels)
    np.testing.assert_array_equal(set_by_hand, expected)


@pytest.mark.parametrize(
    ('path', 'data', 'status', 'message'),
    [
        ('/upscale?model=one.pth&name=a.png', b'?', 400, r'a\.png: not readable as PNG'),
        ('/upscale?model=three.pth', image()[1], 400, r"network 'three\.pth' is not offered"),
        ('/upscale', image()[1], 400, r'network None is not offered'),
        ('/upscale?model=one.pth&deblur=1', image()[1], 400, r'one\.pth has no strengths to set'),
        ('/upscale?model=two.pth&deblur=2', image()[1], 400, r'deblur must be a number from 0 to 1\.5.* 2\.0 came'),
        ('/upscale?model=two.pth&deblur=nan', image()[1], 400, r'deblur must be a number'),
        ('/upscale?model=two.pth&deblur=x', image()[1], 400, r"could not convert .*'x'"),
        ('/upscale?model=one.pth', b'', 413, r'at most 256 MiB .* 0 bytes came'),
        ('/other', b'?', 404, r'/upscale'),
        ('/other', None, 404, r'only one page'),
    ],
)
def test_what_cannot_be_done_is_said(server, path, data, status, message):
    found, text = ask(server, path, data)
    assert found == status
    assert re.search(message, text)


def test_other_websites_are_refused(server):
    for headers in ({'Host': 'evil.example'}, {'Origin': 'http://evil.example'}, {'Origin': 'null'}):
        status, text = ask(server, '/upscale?model=one.pth', image()[1], **headers)
        assert status == 403 and 'for this machine' in text
    name = f'localhost:{server.server_port}'
    assert ask(server, '/upscale?model=one.pth', image()[1], Host=name, Origin=f'http://{name}')[0] == 200


def test_networks_of_one_name_are_told_apart(tmp_path):
    paths = [str(tmp_path / folder / 'net_g_latest.pth') for folder in ('a', 'b')]
    for path in paths:
        Path(path).parent.mkdir()
        torch.save(LabNet(**SMALL).state_dict(), path)
    server = PageServer(paths, device='cpu')
    server.server_close()
    assert list(server.networks()) == paths


def test_a_missing_network_ends_the_command(capsys):
    assert page.main(['--model', 'absent.pth']) == 2
    assert 'stea-page: absent.pth is neither a file' in capsys.readouterr().err
