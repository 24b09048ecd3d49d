"""How a training shows that it is alive: a bar in a terminal, elsewhere a line a minute in the log."""

import datetime
import logging
import sys
import threading
import time
import weakref

from tqdm import tqdm

LOGGER = logging.getLogger('basicsr')
HEARTBEAT = 60  # seconds


class _AboveTheBar(logging.Handler):
    def emit(self, record):
        tqdm.write(self.format(record), file=sys.stderr)


class TrainingBar:
    """Shows iterations, speed, time left and the pixel loss, where ``logger.pbar`` is on, on rank 0 and in a terminal.

    While it is open, lines that BasicSR logs to the terminal are written above the bar. A file gets these lines alone.

    Args:
        opt (dict): All options.
    """

    def __init__(self, opt):
        self.wanted = bool(opt['logger'].get('pbar')) and opt['rank'] == 0 and sys.stderr.isatty()
        self.total = int(opt['train']['total_iter'])
        self.name = opt['name']
        self.bar = None
        self.heartbeat = None if self.wanted or opt['rank'] else Heartbeat(self.total)

    def update(self, current_iter, values):
        """Show an iteration with this process's own values, as the others are at other work.

        Args:
            current_iter (int): Its number.
            values (dict[str, Tensor]): What is logged; read once in a while, as a GPU waits for it.
        """
        if self.heartbeat:
            self.heartbeat.step(current_iter)
        if not self.wanted:
            return
        if self.bar is None:
            self.bar = tqdm(total=self.total, initial=current_iter - 1, unit='it', desc=self.name, dynamic_ncols=True)
            self._write_log_above_bar()
        if self.bar.update(current_iter - self.bar.n) or current_iter >= self.total:  # it is being drawn
            losses = {name: f'{float(value):.4f}' for name, value in values.items() if name.startswith('l_')}
            self.bar.set_postfix(losses, refresh=False)
        if current_iter >= self.total:
            self.bar.close()

    @staticmethod
    def _write_log_above_bar():
        for handler in list(LOGGER.handlers):
            if type(handler) is logging.StreamHandler:
                above = _AboveTheBar()
                above.setFormatter(handler.formatter)
                LOGGER.removeHandler(handler)
                LOGGER.addHandler(above)


class Heartbeat:
    """Logs how far a training is whenever its log has been silent for a minute; also while no step ends.

    Args:
        total (int): Steps of the whole run.
        every (float | None): Seconds; None: :data:`HEARTBEAT`.
    """

    def __init__(self, total, every=None):
        self.total, self.every = total, every or HEARTBEAT
        self.first = self.last = None  # (step, time) of the first step that was seen, and of the last one
        self.line = _LastLine()
        LOGGER.addHandler(self.line)
        weakref.finalize(self, LOGGER.removeHandler, self.line)
        threading.Thread(target=_watch, args=(weakref.ref(self),), daemon=True).start()

    def step(self, number):
        """Note that a step is done."""
        self.last = number, time.monotonic()
        self.first = self.first or self.last

    def beat(self):
        """Log a line if nothing was logged for too long."""
        if time.monotonic() - self.line.time >= self.every:
            LOGGER.info(self._describe())

    def _describe(self):
        if self.last is None:
            return f'Heartbeat: no step of {self.total:,d} is done yet.'
        (first, start), (done, now) = self.first, self.last
        idle = time.monotonic() - now
        text = f'Heartbeat: {done:,d} of {self.total:,d} steps done'
        if idle >= self.every:
            text += f', the last of them {_duration(idle)} ago'
        if done > first:
            seconds = (now - start) / (done - first)
            text += f', {seconds:.2f} s a step, about {_duration(seconds * (self.total - done))} left'
        return f'{text}.'


class _LastLine(logging.Handler):
    """Knows when the last line was logged."""

    def __init__(self):
        super().__init__()
        self.time = time.monotonic()

    def emit(self, record):
        self.time = time.monotonic()


def _watch(reference):
    while heartbeat := reference():
        heartbeat.beat()
        pause = min(1, heartbeat.every)
        del heartbeat
        time.sleep(pause)


def _duration(seconds):
    return str(datetime.timedelta(seconds=round(seconds)))
