"""A progress bar for BasicSR's training loop, which has none."""

import logging
import sys

from tqdm import tqdm


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

    def update(self, current_iter, get_log):
        """Show an iteration; ``get_log()`` -> ``{name: float}`` is asked for once in a while, as a GPU waits for it."""
        if not self.wanted:
            return
        if self.bar is None:
            self.bar = tqdm(total=self.total, initial=current_iter - 1, unit='it', desc=self.name, dynamic_ncols=True)
            self._write_log_above_bar()
        if self.bar.update(current_iter - self.bar.n) or current_iter >= self.total:  # it is being drawn
            losses = {name: f'{value:.4f}' for name, value in get_log().items() if name.startswith('l_')}
            self.bar.set_postfix(losses, refresh=False)
        if current_iter >= self.total:
            self.bar.close()

    @staticmethod
    def _write_log_above_bar():
        logger = logging.getLogger('basicsr')
        for handler in list(logger.handlers):
            if type(handler) is logging.StreamHandler:
                above = _AboveTheBar()
                above.setFormatter(handler.formatter)
                logger.removeHandler(handler)
                logger.addHandler(above)
