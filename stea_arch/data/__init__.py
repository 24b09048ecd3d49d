"""Bytes become ground-truth crops and degradation parameters. Importing this package fills DATASET_REGISTRY."""
