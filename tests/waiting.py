"""Waiting for what another process or thread does."""

import time


def wait_until(condition, process=None, output=None):
    """Return once ``condition()`` is true; fails after two minutes, or when ``process`` ends before."""
    end = time.monotonic() + 120
    while not condition():
        running = process is None or process.poll() is None
        assert running and time.monotonic() < end, output.read_text() if output else 'nothing has happened'
        time.sleep(0.02)
