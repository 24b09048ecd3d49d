"""Networks: a tensor goes in, a tensor comes out. Importing this package fills ARCH_REGISTRY."""
