import importlib.util
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ('machines', 'moved', 'each', 'expected'),
    [
        (2, 1e6, 0.001, (4, 'workers')),  # 32 workers, 8 s each
        (1000, 1e8, 0.001, (10, 'storage')),
        (1000, 1e6, 0.01, (100, 'handing out')),
    ],
)
def test_the_least_of_three_limits(machines, moved, each, expected):
    path = Path(__file__).parents[2] / 'benchmarks/cluster_speed.py'
    spec = importlib.util.spec_from_file_location('cluster_speed', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rate, limit = module.simulate(machines, seconds=8, moved=moved, storage=1e9, each=each)
    assert (round(rate, 9), limit) == expected
