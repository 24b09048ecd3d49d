"""For ComfyUI: copy this file into its folder custom_nodes, and install stea_arch into its Python.

Its own "Load Upscale Model" then knows our networks too; the node here takes every image as a whole or in strips, never
in tiles, and finds the shipped networks by name.
"""

from functools import lru_cache

import numpy as np
import torch
from comfy.model_management import get_torch_device

import stea_arch
import stea_arch.weights.spandrel

stea_arch.weights.spandrel.install()


@lru_cache(1)
def upscaler(model):
    return stea_arch.Upscaler(model, get_torch_device())


class SteaUpscale:
    CATEGORY, FUNCTION, RETURN_TYPES = 'image/upscaling', 'upscale', ('IMAGE',)

    @classmethod
    def INPUT_TYPES(cls):
        return {'required': {'image': ('IMAGE',), 'model': ('STRING', {'default': 'realnet-s-x4'})}}

    def upscale(self, image, model):
        """``(B, H, W, 3)`` in [0, 1] -> the same, larger; ``model`` is a shipped name or a file."""
        return (torch.from_numpy(np.stack([upscaler(model)(each.float().cpu().numpy()) for each in image])),)


NODE_CLASS_MAPPINGS = {'SteaUpscale': SteaUpscale}
NODE_DISPLAY_NAME_MAPPINGS = {'SteaUpscale': 'Upscale (LabNet, RealNet)'}
