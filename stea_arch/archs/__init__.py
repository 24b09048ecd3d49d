"""Networks: a tensor goes in, a tensor comes out. Importing this package fills ARCH_REGISTRY."""

from stea_arch.archs import bicubic_arch, labnet_arch, realnet_arch

__all__ = ['bicubic_arch', 'labnet_arch', 'realnet_arch']
