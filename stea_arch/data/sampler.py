"""A sampler that can start in the middle of an epoch and tells each sample which draw of the run it is."""

from basicsr.data.data_sampler import EnlargedSampler


class Draw(int):
    """A dataset index that also carries what its random choices are seeded with.

    To any dataset it is the plain index. One that knows it calls ``numpy.random.default_rng(index.entropy)``, so
    crop, flips and degradation depend on the seed and on the position in the run alone: not on the number of
    workers, not on which of them loads the sample, and not on whether the run was interrupted before.

    Args:
        index (int): Position in the dataset.
        entropy (tuple[int]): Non-negative integers: the run's seed and the number of the draw.
    """

    def __new__(cls, index, entropy):
        draw = super().__new__(cls, index)
        draw.entropy = tuple(entropy)
        return draw

    def __reduce__(self):
        return Draw, (int(self), self.entropy)


class ResumableSampler(EnlargedSampler):
    """BasicSR's ``EnlargedSampler``: the same order of indices, each of them a :class:`Draw`, and a start anywhere.

    Args:
        dataset, num_replicas, rank, ratio: As BasicSR's.

    Attributes:
        seed (int): The run's ``manual_seed``; part of every draw's entropy.
    """

    def __init__(self, dataset, num_replicas, rank, ratio=1):
        super().__init__(dataset, num_replicas, rank, ratio)
        self.seed = 0
        self._resume_epoch, self._resume_position = 0, 0

    def start_at(self, epoch, position):
        """Leave out the first ``position`` samples of this rank when ``epoch`` is iterated; other epochs are whole."""
        self._resume_epoch, self._resume_position = epoch, position

    def __iter__(self):
        first = self._resume_position if self.epoch == self._resume_epoch else 0
        indices = list(super().__iter__())
        for position in range(first, len(indices)):
            number = self.epoch * self.total_size + position * self.num_replicas + self.rank
            yield Draw(indices[position], (self.seed, number))
