"""The training pair pool: pairs of many batches mixed, because the samples of one batch share resizes and noise kind.

As in BasicSR's RealESRGANModel, a batch fills the pool first and passes unchanged; later each new pair takes the place
of a random old one, which goes into the batch instead. Here any pool size and any batch size do.
"""

import torch

from stea_arch.system.errors import InputError


class PairPool:
    """Holds up to ``queue_size`` pairs on the device of the first batch it is given.

    Args:
        queue_size (int): Number of pairs, at least 0; 0 lets every batch pass unchanged. Real-ESRGAN has 180.
        seed (int): Seed of its own generator; no other randomness is touched.

    Raises:
        ValueError: No whole number, or a negative one.
    """

    def __init__(self, queue_size, seed):
        if type(queue_size) is not int or queue_size < 0:
            raise InputError(f'queue_size must be a whole number of pairs, at least 0 (no pool), got {queue_size!r}.')
        self.queue_size, self.filled = queue_size, 0
        self._tensors = None  # one (queue_size, ...) tensor for each kind; the first ``filled`` rows count
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def exchange(self, lq, gt, *more):
        """Put a batch in and get one of the same size out.

        As many pairs as the pool has room for are stored and pass unchanged; the others change places with random
        different ones of those that were in the pool before. What does not fit (a batch larger than the pool) passes,
        and so does a batch with a value that is not finite: it never comes back.

        Args:
            lq (Tensor), gt (Tensor): (B, ...), float32; pairs stay together.
            *more (Tensor): Further (B, ...) that belong to them, the same number in each call.

        Returns:
            tuple[Tensor]: lq, gt and the others, each of the shape that came, and contiguous; not the pool's memory.

        Raises:
            ValueError: Batches of different sizes, or other shapes than those in the pool.
        """
        batch = (lq, gt, *more)
        self._prepare(batch)
        known, size = self.filled, len(lq)
        stored = min(size, self.queue_size - known)
        swapped = min(size - stored, known)
        finite = torch.stack([tensor.isfinite().all() for tensor in batch]).all()
        if stored and not finite:
            return tuple(tensor.contiguous() for tensor in batch)
        slots = torch.randperm(known, generator=self._generator)[:swapped].to(lq.device)
        result = []
        for queue, tensor in zip(self._tensors, batch, strict=True):
            queue[known : known + stored] = tensor[:stored]
            out = tensor.contiguous()
            if swapped:
                # a full pool decides on the device: asking whether the batch is finite would make a GPU wait
                incoming, outgoing = tensor[stored : stored + swapped], queue[slots]
                out = torch.cat([tensor[:stored], torch.where(finite, outgoing, incoming), tensor[stored + swapped :]])
                queue[slots] = torch.where(finite, incoming, outgoing)
            result.append(out)
        self.filled = known + stored
        return tuple(result)

    def _prepare(self, batch):
        shapes = [tuple(tensor.shape[1:]) for tensor in batch]
        if len({len(tensor) for tensor in batch}) > 1:
            raise InputError(
                'Expected tensors of one batch, all of the same length, got those of lengths '
                f'{[len(tensor) for tensor in batch]}. Pass lq and gt after cropping, of the same batch.'
            )
        if self._tensors is None:
            self._tensors = [tensor.new_zeros(self.queue_size, *shape) for tensor, shape in zip(batch, shapes)]
        known = [tuple(tensor.shape[1:]) for tensor in self._tensors]
        if shapes != known:
            raise InputError(
                f'The pool holds samples of shapes {known}, got those of shapes {shapes}. Keep gt_size, scale '
                'and the number of streams through a run, or start without its training state.'
            )
        self._tensors = [tensor.to(batch[0].device) for tensor in self._tensors]

    def state_dict(self):
        """Everything that :meth:`load_state_dict` needs to go on exactly: plain tensors on the CPU and numbers.

        Images of 8-bit values (k / 255) are stored as bytes, others as they are.
        """
        tensors = [_pack(tensor[: self.filled].cpu()) for tensor in self._tensors or []]
        return {'queue_size': self.queue_size, 'tensors': tensors, 'generator': self._generator.get_state()}

    def load_state_dict(self, state):
        """Take over what :meth:`state_dict` returned; the tensors move to the next batch's device.

        Raises:
            ValueError: It is from a pool of another size.
        """
        if state['queue_size'] != self.queue_size:
            raise InputError(
                f'The training state has a pool of queue_size {state["queue_size"]}, but the option file says '
                f'{self.queue_size}. Set it back, or start without the training state.'
            )
        contents = [_unpack(tensor) for tensor in state['tensors']]
        self.filled = len(contents[0]) if contents else 0
        self._tensors = [content.new_zeros(self.queue_size, *content.shape[1:]) for content in contents] or None
        for tensor, content in zip(self._tensors or [], contents):
            tensor[: self.filled] = content
        self._generator.set_state(state['generator'].cpu())


def _pack(tensor):
    packed = (tensor * 255).round().clamp(0, 255).to(torch.uint8)
    return packed if torch.equal(_unpack(packed), tensor) else tensor.clone()


def _unpack(tensor):
    return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor
