"""The end of a training step: all optimisers step, or none where anything is not finite, without waiting for a GPU."""

import torch


class TrainingDiverged(RuntimeError):
    """Too many steps in a row had a loss or gradient that is not finite."""


class GuardedStep:
    """Steps all optimisers or none.

    Whether a step is finite is found out, and obeyed, on the device: asking for it would make a GPU wait for the next
    batch. The counts are read when somebody looks at them.

    Args:
        scaler (torch.amp.GradScaler): What the losses were scaled with; may be disabled.
        device (torch.device): Of the networks.
        max_norm (float | None): Largest norm of the gradient of all parameters of a network.
        distributed (bool): Whether there are other processes; all step or none.

    Attributes:
        skipped (Tensor): How many steps were none, so far.
        in_a_row (Tensor): How many there were since the last step.
    """

    def __init__(self, scaler, device, max_norm, distributed):
        self.scaler, self.max_norm, self.distributed = scaler, max_norm, distributed
        self.skipped, self.in_a_row = torch.zeros(2, device=device).unbind()

    def __call__(self, parts):
        """Step after the backward passes.

        Args:
            parts (list[tuple]): Optimiser (Adam or AdamW, fused), its network, and the sum of its losses, of each
                network that is trained.

        Returns:
            tuple[Tensor, list[Tensor]]: 1.0 for a step and 0.0 for none; norm of each network's gradient, before
            clipping.
        """
        norms = []
        for optimizer, net, _ in parts:
            self.scaler.unscale_(optimizer)
            gradients = [p.grad for p in net.parameters() if p.grad is not None]
            norms.append(torch.nn.utils.get_total_norm(gradients))
            if self.max_norm:
                torch.nn.utils.clip_grads_with_norm_(net.parameters(), self.max_norm, norms[-1])
        values = [*norms, *(total.detach() for _, _, total in parts)]
        bad = (~torch.stack([value.isfinite().all() for value in values]).all()).float()
        if self.distributed:
            torch.distributed.all_reduce(bad, torch.distributed.ReduceOp.MAX)
        for optimizer, _, _ in parts:
            optimizer.found_inf = bad  # what GradScaler hands over too: where it is 1, the kernel changes nothing
            optimizer.step()
        self.scaler.update()
        self.skipped += bad
        self.in_a_row += 1
        self.in_a_row *= bad
        return 1 - bad, norms


@torch.no_grad()
def follow(mean, net, decay, stepped=1):
    """Move the parameters ``mean`` towards those of ``net``: ``mean += (1 - decay) * stepped * (net - mean)``.

    Args:
        mean (nn.Module), net (nn.Module): Of equal structure.
        decay (float): In [0, 1); 0 copies.
        stepped (Tensor | float): 0 leaves ``mean`` as it is.
    """
    mean, net = list(mean.parameters()), list(net.parameters())
    if decay == 0:
        torch._foreach_copy_(mean, net)
        return
    ways = torch._foreach_sub(net, mean)
    torch._foreach_mul_(ways, (1 - decay) * stepped)
    torch._foreach_add_(mean, ways)
