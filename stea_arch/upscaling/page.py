"""A page in the browser to drop a photograph on, choose the network, and see before and after.

It is served to this machine alone, by Python's own server, and needs no further package.
"""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TEMPLATE = Path(__file__).with_name('page.html')
LARGEST = 256 * 2**20  # bytes of an uploaded file
STRENGTHS = ('deblur', 'denoise')


class PageServer(ThreadingHTTPServer):
    """Serves the page, and upscales what it sends.

    Args:
        models (list[str]): names or files of networks, in the order of the choice.
        port (int): 0 takes a free one; ``server_port`` tells which.
        device (str | None), max_memory (float | None): see :class:`stea_arch.upscaling.upscaler.Upscaler`.

    Raises:
        FileNotFoundError, ValueError: a network cannot be loaded.
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, models, port=0, device=None, max_memory=None):
        from stea_arch.upscaling.upscaler import Upscaler

        names = [Path(model).name for model in models]
        names = [str(model) if names.count(name) > 1 else name for model, name in zip(models, names)]
        self.upscalers = {name: Upscaler(model, device, max_memory=max_memory) for name, model in zip(names, models)}
        self.one_at_a_time = threading.Lock()
        super().__init__(('127.0.0.1', port), _Handler)

    def networks(self):
        """What the page has to know of each network."""
        return {
            name: {'scale': upscaler.scale, 'strengths': hasattr(upscaler.network, 'set_strengths')}
            for name, upscaler in self.upscalers.items()
        }

    def upscale(self, data, model, name='image', strengths=None):
        """A page that shows an image before and after.

        Args:
            data (bytes): a file.
            model (str): the network's name.
            name (str): what to write above the image.
            strengths (dict): of a RealNet with two streams: ``deblur`` and ``denoise``, 0 to 1.5; left out: as learned.

        Returns:
            str: HTML with both images inside.

        Raises:
            ValueError, MemoryError: the image or an argument cannot be used.
        """
        from stea_arch.images.decode import Photo, decode_photo
        from stea_arch.upscaling.compare import make_page

        if model not in self.upscalers:
            raise ValueError(f'The network {model!r} is not offered here.')
        upscaler = self.upscalers[model]
        before = decode_photo(data)
        with self.one_at_a_time:
            if hasattr(upscaler.network, 'set_strengths'):
                upscaler.network.set_strengths(**(strengths or {}))
            elif strengths:
                raise ValueError(f'{model} has no strengths to set: they belong to a RealNet with two streams.')
            after = Photo(upscaler(before.pixels), before.icc)
        return make_page(before, after, name)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if urlsplit(self.path).path != '/':
            return self._answer(404, 'There is only one page here: /')
        networks = json.dumps(self.server.networks()).replace('<', '\\u003c')
        page = TEMPLATE.read_text(encoding='utf-8').replace('{{networks}}', networks)
        self._answer(200, page, 'text/html')

    def do_POST(self):
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        length = int(self.headers.get('Content-Length') or 0)
        if parts.path != '/upscale':
            return self._answer(404, 'Images are sent to /upscale.')
        if not 0 < length <= LARGEST:
            return self._answer(413, f'A file of at most {LARGEST >> 20} MiB was expected, but {length} bytes came.')
        try:
            data = self.rfile.read(length)
            strengths = {key: _number(key, query[key]) for key in STRENGTHS if key in query}
            page = self.server.upscale(data, query.get('model'), query.get('name', 'image'), strengths)
        except (ValueError, MemoryError, RuntimeError) as error:  # RuntimeError: a GPU without enough memory
            return self._answer(400, f'{query.get("name", "image")}: {error}')
        self._answer(200, page, 'text/html')

    def parse_request(self):
        """Refuse what a foreign website has a browser send here: Host or Origin is not this server's name."""
        if not super().parse_request():
            return False
        port = self.server.server_port
        names = [f'127.0.0.1:{port}', f'localhost:{port}']
        if self.headers.get('Host') in names and self.headers.get('Origin') in (None, *(f'http://{n}' for n in names)):
            return True
        self._answer(403, f'This page is for this machine: http://127.0.0.1:{port}')
        return False

    def _answer(self, status, text, kind='text/plain'):
        data = text.encode()
        self.send_response(status)
        self.send_header('Content-Type', f'{kind}; charset=utf-8')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Quiet: what goes wrong is on the page."""


def _number(name, text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{name} must be a number, but {text} came.')
    return value
