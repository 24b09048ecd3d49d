"""Running a network on an image of any size: whole or in bounded memory."""

from stea_arch.inference.estimate import estimate_memory
from stea_arch.inference.upscale import METHODS, upscale_tensor

__all__ = ['METHODS', 'estimate_memory', 'upscale_tensor']
