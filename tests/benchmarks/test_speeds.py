"""The timings of the degradations at toy size: all parts are there, and what is compared gives the same."""

import json

import degradation_speed
import pytest
import second_order_speed


@pytest.fixture
def rows(tmp_path, capsys):
    """``rows(benchmark, *arguments)`` -> what it writes, and what it prints."""

    def run(benchmark, *arguments):
        benchmark.main(['--out', str(tmp_path / 'new' / 'speed.json'), *arguments])
        return json.loads((tmp_path / 'new' / 'speed.json').read_text())['rows'], capsys.readouterr().out

    return run


def test_the_classical_degradation(rows):
    found, printed = rows(degradation_speed, '--repeats', '3', '--size', '128')
    assert len(found) == 6 and 'ratio' in printed
    assert all(row['differs'] < 1.01 for row in found), found


def test_the_second_order_degradation(rows):
    sizes = ['--region', '96', '--gt-size', '64', '--rounds', '3', '--num-feat', '16', '--num-blocks', '1']
    (row,), printed = rows(second_order_speed, *sizes)
    assert 'share' in printed and 0 < row['share'] < 1
    assert all(row[f'{name}_ms'] > 0 for name in ('kernels', 'ours', 'basicsr', 'network'))
