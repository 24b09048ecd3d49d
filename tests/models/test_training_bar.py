import io

import pytest

from stea_arch.models.progress import TrainingBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ('stream', 'pbar', 'rank', 'shown'),
    [
        (Terminal(), True, 0, True),
        (Terminal(), False, 0, False),
        (Terminal(), True, 1, False),
        (io.StringIO(), True, 0, False),
    ],
)
def test_a_bar_is_for_the_terminal_of_the_first_process(stream, pbar, rank, shown, monkeypatch):
    monkeypatch.setattr('sys.stderr', stream)
    bar = TrainingBar({'logger': {'pbar': pbar}, 'rank': rank, 'train': {'total_iter': 2}, 'name': 'run'})
    for iteration in (1, 2):
        bar.update(iteration, lambda: {'l_pix': 0.25, 'grad_norm': 3.0})
    text = stream.getvalue()
    assert ('run: 100%' in text and '2/2' in text and 'l_pix=0.2500' in text) if shown else text == ''
