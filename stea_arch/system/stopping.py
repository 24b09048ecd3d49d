"""SIGINT and SIGTERM: a training finishes its step, saves its state and ends; a second signal ends it at once.

A cluster sends SIGTERM to every process of a job, and the launcher among them hands it on: within :data:`ECHO` seconds
a second one is the same one. Loader processes ignore all of them: they end with the training, or within seconds when it
is gone.
"""

import os
import signal
import sys
import time
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO = 5


class Stopped(BaseException):
    """A training was asked to stop, and has done so.

    Args:
        saved (Path | None): The state from which it continues; None: there was nothing to save.
        signal (int): What asked, this process or another one of the training.
    """

    def __init__(self, saved, signal):
        super().__init__(saved, signal)
        self.saved, self.signal = saved, signal


class StopRequest:
    """Whether this process was asked to stop.

    Attributes:
        signal (int | None): What asked first.
        armed (bool): Whether somebody looks at ``signal``; until then a signal interrupts at once.
    """

    def __init__(self):
        self.signal, self.armed = None, False

    @contextmanager
    def listening(self):
        """Take over :data:`SIGNALS` for the time of the block."""
        self.__init__()
        self._process = os.getpid()
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number, frame):
        if os.getpid() != self._process:  # a loader process: the training needs it up to its end
            return
        if self.signal is not None:  # only SIGTERM comes back here
            if time.monotonic() > self._since + ECHO:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.signal, self._since = number, time.monotonic()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if not self.armed:
            raise KeyboardInterrupt
        print(
            f'\n{signal.Signals(number).name}: the current step (or validation) will be finished and the state saved. '
            f'Once more to end at once, without that (SIGTERM counts again after {ECHO} s).',
            file=sys.stderr,
            flush=True,
        )


def in_loader_process(then, worker_id):
    """For a DataLoader's ``worker_init_fn``: ignore SIGTERM, by which PyTorch's handler ends the loader process.

    Args:
        then (Callable[[int], None] | None): what else is to be done.
        worker_id (int): number of the loader process.
    """
    if callable(signal.getsignal(signal.SIGTERM)):  # what the training listens with
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if then:
        then(worker_id)


request = StopRequest()
