"""The node for ComfyUI, called as ComfyUI calls it."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest
import torch
from spandrel import MAIN_REGISTRY

import stea_arch

FILE = Path(stea_arch.__file__).parents[1] / 'docs/comfyui_stea.py'


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_node_upscales_a_batch(monkeypatch, dtype):
    comfy = types.SimpleNamespace(get_torch_device=lambda: torch.device('cpu'))
    monkeypatch.setitem(sys.modules, 'comfy', types.ModuleType('comfy'))
    monkeypatch.setitem(sys.modules, 'comfy.model_management', comfy)
    spec = importlib.util.spec_from_file_location('comfyui_stea', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (node,) = module.NODE_CLASS_MAPPINGS.values()
    assert module.NODE_DISPLAY_NAME_MAPPINGS.keys() == module.NODE_CLASS_MAPPINGS.keys()
    kinds = node.INPUT_TYPES()['required']
    assert [kind[0] for kind in kinds.values()] == ['IMAGE', 'STRING'] and node.RETURN_TYPES == ('IMAGE',)
    image = torch.rand(2, 9, 7, 3).to(dtype)
    (large,) = getattr(node(), node.FUNCTION)(image=image, model=kinds['model'][1]['default'])
    assert large.shape == (2, 36, 28, 3) and large.dtype == torch.float32
    assert large.min() >= 0 and large.max() <= 1
    small = torch.nn.functional.avg_pool2d(large.permute(0, 3, 1, 2), 4).permute(0, 2, 3, 1)
    assert (small.mean((1, 2)) - image.mean((1, 2))).abs().max() < 0.02  # the image, not one of another range
    assert {'LabNet', 'RealNet'} <= {support.architecture.id for support in MAIN_REGISTRY}
