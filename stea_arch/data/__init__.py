"""Bytes become ground-truth crops and degradation parameters. Importing this package fills DATASET_REGISTRY."""

import basicsr  # noqa: F401  (first: see stea_arch.plugin)

from stea_arch.data import classical_dataset, realworld_dataset  # noqa: F401
