import cluster_speed
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
    rate, limit = cluster_speed.simulate(machines, seconds=8, moved=moved, storage=1e9, each=each)
    assert (round(rate, 9), limit) == expected
