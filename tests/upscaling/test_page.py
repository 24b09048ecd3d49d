"""The page's server, as a browser talks to it."""

import base64
import html
import io
import json
import re
import socket
import socketserver
import struct
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import SMALL
from waiting import wait_until

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.commands import page
from stea_arch.images import decode
from stea_arch.images.decode import Photo
from stea_arch.images.encode import encode_photo
from stea_arch.results.html import render
from stea_arch.upscaling import page as page_server
from stea_arch.upscaling.page import PageServer
from stea_arch.upscaling.upscaler import Upscaler
from stea_arch.weights import DEFAULT, shipped


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
            return answer.status, answer.read().decode(errors='replace')
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
    assert networks == {
        'one.pth': {'scale': 2, 'strengths': False, 'purpose': ''},
        'two.pth': {'scale': 2, 'strengths': True, 'purpose': ''},
    }


def test_shipped_networks_say_what_they_are_for_in_the_order_of_the_choice():
    server = PageServer(list(shipped()), device='cpu')
    server.server_close()
    assert 'photographs' in server.networks()['realnet-s-x4']['purpose']
    assert all(network['purpose'] for network in server.networks().values())
    page = render('upscaling/page.html', networks=server.networks(), formats=[], endings=[])
    offered = json.loads(re.search(r'const networks = (\{.*\});', page)[1])
    assert list(offered) == list(shipped()) and next(iter(offered)) == DEFAULT


def test_a_job_tells_how_far_it_is(server, monkeypatch):
    upscaler, seen = server.upscalers['one.pth'], []
    assert ask(server, '/progress?job=7')[0] == 404

    class Watched(type(upscaler)):
        def __call__(self, pixels):
            self.network.register_forward_hook(lambda *_: seen.append(ask(server, '/progress?job=7')))
            seen.append(ask(server, '/progress?job=7'))
            return super().__call__(pixels)

    monkeypatch.setattr(upscaler, '__class__', Watched)
    with server.one_at_a_time:
        thread = threading.Thread(target=ask, args=(server, '/upscale?model=one.pth&job=7', image()[1]))
        thread.start()
        wait_until(lambda: '7' in server.progress)
        assert ask(server, '/progress?job=7') == (200, 'waiting')
    thread.join()
    assert seen == [(200, 'waiting'), (200, '1.000')] and '7' not in server.progress


@pytest.mark.parametrize('channels', [3, 4])
def test_an_image_comes_back_larger(server, channels):
    pixels, data = image(channels)
    status, text = ask(server, '/upscale?model=one.pth&name=%3Cmy%3E.png', data)
    assert status == 200
    assert '&lt;my&gt;.png' in text
    np.testing.assert_array_equal(after(text), server.upscalers['one.pth'](pixels))


@pytest.mark.parametrize('kind', page_server.SAVED)
def test_a_result_is_saved_in_the_wanted_format(server, kind):
    pixels, data = image()
    ask(server, '/upscale?model=one.pth&job=3', data)
    with urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/result?job=3&format={kind}') as answer:
        saved = answer.read()
    expected = server.upscalers['one.pth'](pixels)
    assert saved == encode_photo(Photo(expected), f'.{kind}')
    assert Image.open(io.BytesIO(saved)).format.lower() == {'jpg': 'jpeg'}.get(kind, kind)


def test_what_cannot_be_saved_is_said(server, monkeypatch):
    ask(server, '/upscale?model=one.pth&job=4', image(4)[1])
    assert ask(server, '/result?job=4&format=jpg') == (400, 'a JPEG cannot hold its transparency')
    assert ask(server, '/result?job=4&format=gif')[0] == 400
    with monkeypatch.context() as patch:
        patch.setattr(page_server, 'encode_photo', lambda *_: struct.pack('B', 256))
        assert ask(server, '/result?job=4&format=png') == (
            400,
            'struct.error: ubyte format requires 0 <= number <= 255',
        )
    with monkeypatch.context() as patch:
        patch.setattr(decode, 'decode_photo', {}.__getitem__)
        status, text = ask(server, '/upscale?model=one.pth&name=a.png', image()[1])
        assert status == 400 and text.startswith('a.png: KeyError: ')
    monkeypatch.setattr(page_server, 'KEPT', 0)
    ask(server, '/upscale?model=one.pth&job=5', image()[1])
    for job, status in (('4', 404), ('5', 200)):  # the latest is kept in any case
        assert ask(server, f'/result?job={job}&format=png')[0] == status


def test_strength_is_of_this_image_alone(server):
    pixels, data = image()
    half, full = (after(ask(server, f'/upscale?model=one.pth{query}', data)[1]) for query in ('&strength=0.5', ''))
    network = server.upscalers['one.pth'].network
    np.testing.assert_array_equal(half, Upscaler(network, 'cpu', strength=0.5)(pixels))
    np.testing.assert_array_equal(full, Upscaler(network, 'cpu')(pixels))


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
        ('/upscale?model=two.pth&deblur=2', image()[1], 400, r'deblur must be a number from 0 to 1\.5.* got 2\.0'),
        ('/upscale?model=two.pth&deblur=nan', image()[1], 400, r'deblur must be a number'),
        ('/upscale?model=one.pth&strength=2', image()[1], 400, r'strength must be a number from 0 to 1, got 2'),
        ('/upscale?model=two.pth&deblur=x', image()[1], 400, r"could not convert .*'x'"),
        ('/upscale?model=one.pth', b'', 413, r'at most 256 MiB, got 0 bytes'),
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


def connect(server, headers, body=b''):
    """A connection that has sent a request as it is."""
    connection = socket.create_connection(('127.0.0.1', server.server_port), timeout=60)
    lines = ['POST /upscale?model=one.pth HTTP/1.1', f'Host: localhost:{server.server_port}', *headers, '', '']
    connection.sendall('\r\n'.join(lines).encode() + body)
    return connection


@pytest.mark.parametrize(
    ('headers', 'got'), [(['Content-Length: abc'], 'abc'), (['Content-Length: -1'], '-1'), ([], 'none')]
)
def test_a_length_that_is_none_is_said(server, headers, got):
    with connect(server, headers) as connection:
        answer = connection.makefile('rb').read().decode()
    assert answer.startswith('HTTP/1.0 411') and f'as Content-Length, got {got}.' in answer


def huge_png():
    """118 bytes or so that claim 4000x4000 pixels and have the first rows of them."""
    data = bytearray(encode_photo(Photo(np.zeros((2, 2, 1), np.uint8)), '.png'))
    data[16:24] = struct.pack('>II', 4000, 4000)
    data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
    return bytes(data)


def test_memory_is_asked_for_before_decoding(server, monkeypatch):
    """Of several, one at a time: while one is decoded the others wait, as bytes."""
    decoded = []

    def note(data):
        decoded.append(server.one_at_a_time.locked())
        raise ValueError('decoded')

    monkeypatch.setattr(decode, 'decode_photo', note)
    monkeypatch.setattr(server.upscalers['one.pth'], 'max_memory', 0.5)
    status, text = ask(server, '/upscale?model=one.pth', huge_png())
    assert (status, decoded) == (400, []) and '4000x4000 pixels would take' in text
    ask(server, '/upscale?model=one.pth', image()[1])
    assert decoded == [True]


def test_who_closed_the_tab_is_not_worked_for(server, monkeypatch):
    """Neither one that closed while it sent, nor one that closed while it waited; and no word of it on the console."""
    seen, shown = [], []
    monkeypatch.setattr(decode, 'decode_photo', lambda data: seen.append(len(data)))
    monkeypatch.setattr(socketserver.BaseServer, 'handle_error', lambda *_: shown.append(sys.exception()))
    data = image()[1]
    connect(server, [f'Content-Length: {len(data)}'], data[:50]).close()
    with server.one_at_a_time:
        connection = connect(server, [f'Content-Length: {len(data)}'], data)
        wait_until(lambda: server.progress)  # it waits for its turn
        connection.close()
        time.sleep(0.1)
    wait_until(lambda: not handlers())
    assert seen == [] and shown == []


def handlers():
    """The server's threads that answer somebody, by the name that the standard library gives them."""
    return [thread for thread in threading.enumerate() if 'process_request_thread' in thread.name]


def test_who_sends_nothing_more_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(page_server._Handler, 'timeout', 0.2)
    with connect(server, ['Content-Length: 50'], b'?') as connection:
        assert connection.makefile('rb').read().startswith(b'HTTP/1.0 408')


def test_a_name_is_only_a_name(server):
    """Neither a part of the template nor of the page."""
    for name in ('{{after}}', '{{ before }}.png', '</title><script>', '{% include "page.html" %}', '\udcff'):
        query = urllib.parse.urlencode({'model': 'one.pth', 'name': name}, errors='surrogateescape')
        status, text = ask(server, f'/upscale?{query}', image()[1])
        title = html.unescape(re.search('<title>(.*?)</title>', text)[1])
        assert (status, title.strip('?\ufffd')) == (200, name.strip('\udcff'))


def test_a_port_in_use_is_said_before_networks_are_loaded(server, capsys):
    assert page.main(['--model', 'absent.pth', '--port', str(server.server_port)]) == 2
    assert re.search(r'Port \d+ cannot be used .*--port 0 takes a free one', capsys.readouterr().err)
    with pytest.raises(SystemExit, match='2'):
        page.main(['--port', '70000'])
    assert 'a number from 0 to 65535, got 70000' in capsys.readouterr().err
