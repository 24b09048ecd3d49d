"""Image maths without files or options: resizing, blur kernels, degradation chains; seeded and replayable."""
