"""Loss, step, EMA, checkpoints. Importing this package fills MODEL_REGISTRY and adds a loss."""

import basicsr  # noqa: F401  (first: see stea_arch.plugin)

from stea_arch.models import efficientnet, labnet_model, realgan_model, realnet_model  # noqa: F401
