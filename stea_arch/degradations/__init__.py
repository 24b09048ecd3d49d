"""Image maths without files or options: resizing, blur kernels, degradation chains; seeded and replayable."""

import basicsr  # noqa: F401  (first: see stea_arch.plugin)
