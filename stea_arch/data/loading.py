"""Batches for the training, and errors of the loader processes as they are: torch would hand on their text alone."""

import functools

from torch.utils.data import default_collate

from stea_arch.system.errors import InputError
from stea_arch.system.stopping import in_loader_process


class ErrorsAsItems:
    """For datasets: to a :class:`TrainingLoader` an :class:`InputError` is given in place of a batch of items."""

    errors_as_items = False

    def __getitems__(self, indices):
        try:
            return [self[index] for index in indices]
        except InputError as error:
            if not self.errors_as_items:
                raise
            return error


class TrainingLoader:
    """The batches of a DataLoader; an error that comes in place of one is raised.

    Args:
        loader (DataLoader): Of any dataset; of one with :class:`ErrorsAsItems`, errors keep their class and message.
        device (torch.device | None): Where batches are finished by the function that ``dataset.finisher(device)``
            returns; None: they are complete.
    """

    def __init__(self, loader, device=None):
        self.loader, self.dataset, self.batch_size = loader, loader.dataset, loader.batch_size
        self.device, self.finish = device, self.dataset.finisher(device) if device else None
        loader.worker_init_fn = functools.partial(in_loader_process, loader.worker_init_fn)
        if isinstance(self.dataset, ErrorsAsItems):
            self.dataset.errors_as_items = True
            loader.collate_fn = _collate

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            if isinstance(batch, InputError):
                raise batch
            if self.finish:
                moved = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
                batch = self.finish(moved)
            yield batch


def _collate(items):
    return items if isinstance(items, InputError) else default_collate(items)
