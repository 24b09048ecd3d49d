"""A whole training step as one CUDA graph: a GPU gets its thousands of kernels by a single launch."""

import torch

from stea_arch.system.errors import InputError

WARM_UP = 3  # steps that run as usual first: libraries choose algorithms, optimisers make their states


class GraphedStep:
    """Runs a step as it is a few times, then records it once and replays the recording.

    The recorded step computes what the step would, with the same kernels, on inputs of the same shapes. Learning rates
    may change; everything else that is not a tensor is part of the recording.

    Args:
        step (callable): ``step(*inputs)`` -> dict of tensors: forward pass, backward pass and optimisers, without
            reading any value back. Gradients must be set to None at its start.
        optimizers (list): Those that it steps: Adam or AdamW, fused.
    """

    def __init__(self, step, optimizers):
        self.step = step
        self.groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self.calls, self.graph = 0, None

    def __call__(self, *inputs):
        """One step. The tensors of the result are overwritten by the next one.

        Raises:
            ValueError: Inputs of other shapes than before.
        """
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._run_aside(inputs)
        if self.graph is None:
            self._record(inputs)
        shapes = [tuple(tensor.shape) for tensor in inputs]
        recorded = [tuple(tensor.shape) for tensor in self.inputs]
        if shapes != recorded:
            raise InputError(
                f'train.cuda_graph: true needs batches of one shape: expected {recorded}, got {shapes}. Crop all '
                'images to one gt_size, or write cuda_graph: false.'
            )
        for own, given in zip(self.inputs, inputs):
            own.copy_(given)
        for rate, group in zip(self.rates, self.groups):
            rate.fill_(group['lr'])
        self.graph.replay()
        return self.results

    def _run_aside(self, inputs):
        """On a stream of its own, as recording does, so that what is kept from one step to the next suits both."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            results = self.step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return results

    def _record(self, inputs):
        self.inputs = [tensor.clone() for tensor in inputs]
        values = [group['lr'] for group in self.groups]
        self.rates = [torch.tensor(float(value), device=self.inputs[0].device) for value in values]
        for group, rate in zip(self.groups, self.rates):
            group.update(lr=rate, capturable=True)
        self.graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self.graph):
                self.results = self.step(*self.inputs)
        finally:
            for group, value in zip(self.groups, values):
                group.update(lr=value, capturable=False)
