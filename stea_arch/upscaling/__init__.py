"""From blurry photographs to sharp ones: arrays (``upscaler``), files (``batch``), films (``video``), a page.

``stea_arch.upscale`` and ``upscaler.Upscaler`` are for Python; ``stea-upscale`` does the same with files.
Nothing here needs BasicSR, and nothing is imported before it is used: a command should answer at once.
"""
