"""Loss, step, EMA, checkpoints. Importing this package fills MODEL_REGISTRY."""
