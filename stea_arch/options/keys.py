"""What is known of a key, and who reads it."""

from dataclasses import dataclass

from stea_arch.options.kinds import Kind

PIPELINE = 'pipeline'  # BasicSR's train.py, test.py and parse_options read it without a default
MODEL = 'model'  # the model or dataset reads it without a default


@dataclass(frozen=True)
class Key:
    """A known key.

    Args:
        kind (Kind): What its value may be.
        required (str): ``PIPELINE`` or ``MODEL``, whoever needs it; empty: may be left out.
        only (tuple[str]): Phases (train, val, test) that read it. Elsewhere it is refused, as it would do nothing.
        why (str): Said when a required key is missing, or when a key stands where nothing reads it.
    """

    kind: Kind
    required: str = ''
    only: tuple = ('train', 'val', 'test')
    why: str = ''


TRAIN_ONLY = ('train',)
VAL_ONLY = ('val', 'test')
