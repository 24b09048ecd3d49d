"""What surrounds a CUDA graph, on a machine without a GPU: the graph itself is a stand-in that records nothing."""

import contextlib

import pytest
import torch

from stea_arch.models.graphed_step import WARM_UP, GraphedStep


class Graph:
    replays = 0

    def replay(self):
        self.replays += 1


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    stream = type('Stream', (), {'wait_stream': lambda self, other: None})
    monkeypatch.setattr(torch.cuda, 'Stream', stream)
    monkeypatch.setattr(torch.cuda, 'current_stream', stream)
    monkeypatch.setattr(torch.cuda, 'stream', lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'graph', lambda graph: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'CUDAGraph', Graph)


def make():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=0.5, fused=True)
    seen = []

    def step(lq):
        group = optimizer.param_groups[0]
        seen.append((lq, group['lr'], group['capturable']))
        return {'mean': lq.mean()}

    return optimizer, seen, GraphedStep(step, [optimizer])


def test_steps_run_first_and_are_recorded_once():
    _, seen, graphed = make()
    for number in range(WARM_UP + 3):
        graphed(torch.full((1, 2), float(number)))
    assert len(seen) == WARM_UP + 1 and graphed.graph.replays == 3
    assert torch.equal(graphed.inputs[0], torch.full((1, 2), WARM_UP + 2.0))  # the last batch was copied in


def test_the_rate_is_a_tensor_in_the_recording_alone():
    optimizer, seen, graphed = make()
    for _ in range(WARM_UP + 1):
        graphed(torch.ones(1, 2))
    assert [type(rate) for _, rate, _ in seen] == [float] * WARM_UP + [torch.Tensor]
    assert [capturable for _, _, capturable in seen] == [False] * WARM_UP + [True]
    assert optimizer.param_groups[0]['lr'] == 0.5 and not optimizer.param_groups[0]['capturable']
    optimizer.param_groups[0]['lr'] = 0.25
    graphed(torch.ones(1, 2))
    assert seen[-1][1] == 0.25


def test_another_shape_is_refused():
    _, _, graphed = make()
    for _ in range(WARM_UP + 1):
        graphed(torch.ones(1, 2))
    with pytest.raises(ValueError, match=r'batches of one shape: expected \[\(1, 2\)\], got \[\(1, 3\)\]'):
        graphed(torch.ones(1, 3))
