"""Two images in, a number out. Importing this package adds LPIPS and DISTS to METRIC_REGISTRY."""

from stea_arch.metrics import perceptual  # noqa: F401
