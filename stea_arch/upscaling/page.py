"""A page in the browser to drop photographs on, choose the network, see before and after, and save the results.

It is served to this machine alone, by Python's own server, and needs no further package.
"""

import math
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

from stea_arch.images.decode import READ_ONLY
from stea_arch.images.encode import FORMATS, encode_photo
from stea_arch.results.html import render
from stea_arch.upscaling.batch import describe
from stea_arch.weights import shipped

LARGEST = 256 * 2**20  # bytes of an uploaded file
PATIENCE = 60  # seconds that a browser may be silent while it sends or takes something
SAVED = [ending[1:] for ending in FORMATS if ending not in ('.jpeg', '.tif')]
STREAMS = ('deblur', 'denoise')
KEPT = 2**30  # bytes of pixels of the latest results, which may still be saved


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

        super().__init__(('127.0.0.1', port), _Handler)  # first: a port that is taken is known at once
        try:
            names = [Path(model).name for model in models]
            names = [str(model) if names.count(name) > 1 else name for model, name in zip(models, names)]
            upscalers = [Upscaler(model, device, max_memory=max_memory) for model in models]
        except BaseException:
            self.server_close()
            raise
        self.upscalers = dict(zip(names, upscalers))
        self.one_at_a_time = threading.Lock()
        self.results = {}  # job -> its result, the latest last
        self.progress = {}  # job -> the fraction of it that is done; None while it waits for its turn

    def networks(self):
        """What the page has to know of each network."""
        known = shipped()
        return {
            name: {
                'scale': upscaler.scale,
                'strengths': hasattr(upscaler.network, 'set_strengths'),
                'purpose': known.get(name, {}).get('purpose', ''),
            }
            for name, upscaler in self.upscalers.items()
        }

    def handle_error(self, request, client_address):
        """Quiet where a tab was closed; else as the standard library does."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def upscale(self, data, model, name='image', strength=1, streams=None, job=None, is_wanted=lambda: True):
        """A page that shows an image before and after; its result is kept for a while, to be encoded.

        Args:
            data (bytes): a file.
            model (str): the network's name.
            name (str): what to write above the image.
            strength (float): 0 to 1, from bicubic interpolation to the network's result.
            streams (dict): of a RealNet with two streams: ``deblur`` and ``denoise``, 0 to 1.5; left out: as learned.
            job (str | None): under which ``progress`` tells how far it is, until this returns, and ``results`` has the
                result then.
            is_wanted (callable): asked when its turn comes: whether somebody still waits for it.

        Returns:
            str | None: HTML with both images inside; None if nobody waits for it.

        Raises:
            ValueError, MemoryError: the image or an argument cannot be used.
        """
        from stea_arch.images.decode import decode_photo, read_header
        from stea_arch.upscaling.colour import upscale_in_srgb
        from stea_arch.upscaling.compare import make_page

        if model not in self.upscalers:
            raise ValueError(f'The network {model!r} is not offered here.')
        if not 0 <= strength <= 1:
            raise ValueError(f'strength must be a number from 0 to 1, got {strength}.')
        upscaler = self.upscalers[model]
        self.progress[job] = None
        try:
            with self.one_at_a_time:  # decoding and encoding too: they take as much memory
                if not is_wanted():
                    return None
                header = read_header(data)
                upscaler.find_way(header.height, header.width)
                before = decode_photo(data)
                if hasattr(upscaler.network, 'set_strengths'):
                    upscaler.network.set_strengths(**(streams or {}))
                elif streams:
                    raise ValueError(f'{model} has no strengths to set: they belong to a RealNet with two streams.')
                upscaler.strength = strength
                with self._watched(job, upscaler.network, before.pixels):
                    after = replace(before, pixels=upscale_in_srgb(before, upscaler))
                self._keep(job, after)
                return make_page(before, after, name)
        finally:
            del self.progress[job]

    def _keep(self, job, photo):
        self.results[job] = photo
        while len(self.results) > 1 and sum(kept.pixels.nbytes for kept in self.results.values()) > KEPT:
            del self.results[next(iter(self.results))]

    @contextmanager
    def _watched(self, job, network, pixels):
        from stea_arch.upscaling.progress import watch

        height, width, channels = pixels.shape
        total = height * width * (1 if channels % 2 else 2)  # transparency passes through the network, too

        def advance(pixels):
            self.progress[job] = min(1.0, (self.progress[job] or 0) + pixels / total)

        handles = watch(network, advance)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == '/progress':
            (job,) = parse_qs(parts.query).get('job', [None])[-1:]
            if job not in self.server.progress:
                return self._answer(404, 'There is no such job.')
            done = self.server.progress[job]
            return self._answer(200, 'waiting' if done is None else f'{done:.3f}')
        if parts.path == '/result':
            return self._answer_result(dict(parse_qsl(parts.query)))
        if parts.path != '/':
            return self._answer(404, 'There is only one page here: /')
        page = render(
            'upscaling/page.html', networks=self.server.networks(), formats=SAVED, endings=[*FORMATS, *READ_ONLY]
        )
        self._answer(200, page, 'text/html')

    def _answer_result(self, query):
        result, kind = self.server.results.get(query.get('job')), query.get('format')
        if result is None:
            return self._answer(404, 'This result is no longer kept: upscale the image again.')
        if kind not in SAVED:
            return self._answer(400, f'The format must be one of {", ".join(SAVED)}, got {kind}.')
        try:
            data = encode_photo(result, f'.{kind}')
        except Exception as error:  # of any kind: whoever waits is to be told
            return self._answer(400, describe(error).partition(';')[0])
        self._answer(200, data, 'application/octet-stream')

    def do_POST(self):
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        length = self.headers.get('Content-Length', '')
        if parts.path != '/upscale':
            return self._answer(404, 'Images are sent to /upscale.')
        if not length.isdecimal():
            return self._answer(411, f'The number of bytes was expected as Content-Length, got {length or "none"}.')
        if not 0 < int(length) <= LARGEST:
            return self._answer(413, f'Expected a file of at most {LARGEST >> 20} MiB, got {length} bytes.')
        try:
            data = self.rfile.read(int(length))
        except TimeoutError:
            return self._answer(408, f'Expected {length} bytes, got none for {PATIENCE} seconds.')
        if len(data) < int(length):  # the tab was closed
            return
        try:
            streams = {key: _number(key, query[key]) for key in STREAMS if key in query}
            strength = _number('strength', query.get('strength', '1'))
            name, job = query.get('name', 'image'), query.get('job')
            page = self.server.upscale(data, query.get('model'), name, strength, streams, job, self._is_open)
        except Exception as error:  # here too
            return self._answer(400, f'{query.get("name", "image")}: {describe(error)}')
        if page is not None:
            self._answer(200, page, 'text/html')

    def _is_open(self):
        """Whether the browser still waits: it has nothing to send, and a closed connection can be read to its end."""
        self.connection.settimeout(0)
        try:
            return self.connection.recv(1, socket.MSG_PEEK) != b''
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.connection.settimeout(PATIENCE)

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
        data = text if isinstance(text, bytes) else text.encode(errors='replace')  # a name in it may be no text
        self.send_response(status)
        self.send_header('Content-Type', kind if data is text else f'{kind}; charset=utf-8')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Quiet: what goes wrong is on the page."""


def _number(name, text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{name} must be a number, got {text}.')
    return value
