"""Where VGG19's weights are looked for, and what is said when they are nowhere."""

import io
import urllib.error

import pytest
import torch
from basicsr.archs import vgg_arch
from torch import nn

from stea_arch import compat
from stea_arch.models import vgg
from stea_arch.models.vgg import find_vgg19

NAME = 'vgg19-dcbb9e9d.pth'
PERCEPTUAL = {'type': 'PerceptualLoss', 'layer_weights': {'conv1_2': 1.0}, 'perceptual_weight': 1.0}


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """An empty working directory and cache, and no network; BasicSR's own place restored afterwards."""

    def no_network(url, timeout):
        raise urllib.error.URLError('no route to host')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'cache'))
    monkeypatch.setattr(vgg.urllib.request, 'urlopen', no_network)
    monkeypatch.setattr(vgg_arch, 'VGG_PRETRAIN_PATH', vgg_arch.VGG_PRETRAIN_PATH)


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'weights')
    return path


def test_the_named_file_comes_first_then_basicsr_s_place_then_the_cache(tmp_path):
    cached = put(tmp_path / 'cache/checkpoints' / NAME)
    assert find_vgg19() == cached
    placed = put(tmp_path / 'experiments/pretrained_models' / NAME)
    assert find_vgg19().resolve() == placed
    named = put(tmp_path / 'elsewhere.pth')
    assert find_vgg19(str(named)) == named


def test_nowhere_and_offline_says_where_to_get_it():
    message = rf'VGG19, and {NAME} is neither experiments/\S+ nor \S+cache/checkpoints/\S+ and could not be fetched '
    message += rf'\(.*no route to host.*https://download.pytorch.org/models/{NAME} .*path.vgg19; .*perceptual_opt: ~'
    with pytest.raises(ValueError, match=message):
        find_vgg19()


def test_a_named_file_that_is_not_there_is_no_reason_to_fetch():
    with pytest.raises(FileNotFoundError, match=r'path.vgg19: nothing.pth is not a file .*https://download.pytorch'):
        find_vgg19('nothing.pth')


def test_it_is_fetched_and_its_digest_checked(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(vgg.urllib.request, 'urlopen', lambda url, timeout: io.BytesIO())
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda *args, **kwargs: asked.append((args, kwargs)))
    path = find_vgg19()
    assert asked == [((vgg.URL, str(path)), {'hash_prefix': 'dcbb9e9d'})]
    assert path == tmp_path / 'cache/checkpoints' / NAME


@pytest.mark.parametrize('stage', ['pixel', 'gan'])
def test_a_model_does_not_start_without_it(make_real, stage):
    with pytest.raises(ValueError, match=r'train\.perceptual_opt needs the weights of VGG19'):
        make_real({'train': {'perceptual_opt': PERCEPTUAL}}, stage)


class Narrow(nn.Module):
    """Begins as VGG19 does, four channels wide: conv1_1, relu, conv1_2."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))


def test_the_loss_is_taken_with_the_named_weights(make_real, batch, tmp_path, monkeypatch):
    torch.save(Narrow().state_dict(), tmp_path / 'narrow.pth')
    monkeypatch.setattr(vgg_arch.vgg, 'vgg19', lambda pretrained: Narrow())
    model = make_real({'train': {'perceptual_opt': PERCEPTUAL}, 'path': {'vgg19': str(tmp_path / 'narrow.pth')}}, 'gan')
    model.feed_data(batch)
    model.optimize_parameters(1)
    features = nn.Sequential(*model.cri_perceptual.vgg.vgg_net)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    ours, truth = (features((x.detach() - mean) / std) for x in (model.output, model._targets()['percep']))
    assert model.log_dict['l_g_percep'] == pytest.approx((ours - truth).abs().mean().item(), rel=1e-4)
    stored = torch.load(tmp_path / 'narrow.pth')
    assert torch.equal(model.cri_perceptual.vgg.vgg_net.conv1_2.weight, stored['features.2.weight'])


def test_basicsr_looks_at_one_fixed_place():
    """Fails once ``VGGFeatureExtractor`` takes a path: then drop ``compat.take_vgg19_from``."""
    assert 'VGG_PRETRAIN_PATH' in vgg_arch.VGGFeatureExtractor.__init__.__code__.co_names
    compat.take_vgg19_from('somewhere.pth')
    assert vgg_arch.VGG_PRETRAIN_PATH == 'somewhere.pth'
