"""Bytes become ground-truth crops and degradation parameters. Importing this package fills DATASET_REGISTRY."""

from stea_arch.data import classical_dataset, realworld_dataset  # noqa: F401
