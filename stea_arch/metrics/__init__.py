"""Two images in, a number out. Importing this package adds LPIPS to METRIC_REGISTRY."""

import basicsr  # noqa: F401  (first: see stea_arch.plugin)

from stea_arch.metrics import perceptual  # noqa: F401
