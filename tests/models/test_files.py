"""What the model loads, refuses, keeps and removes."""

import pytest
import torch
from small_networks import SMALL

from stea_arch.archs.labnet_arch import LabNet
from stea_arch.weights import load_network
from stea_arch.weights.files import read_checkpoint


def save(tmp_path, content):
    path = tmp_path / 'weights.pth'
    torch.save(content, path)
    return {'path': {'pretrain_network_g': str(path)}}


@pytest.mark.parametrize('wrap', [dict, lambda w: {'params': w}, lambda w: {f'module.{k}': v for k, v in w.items()}])
def test_weights_are_loaded_from_every_wrapping(make_model, tmp_path, wrap):
    weights = LabNet(**SMALL).state_dict()
    model = make_model(save(tmp_path, wrap(weights)))
    for net in (model.net_g, model.net_g_ema):
        for name, value in net.state_dict().items():
            assert torch.equal(value, weights[name]), name


def test_ema_is_loaded_into_ema(make_model, tmp_path):
    plain, averaged = LabNet(**SMALL).state_dict(), LabNet(**SMALL).state_dict()
    model = make_model(save(tmp_path, {'params': plain, 'params_ema': averaged}))
    assert torch.equal(model.net_g.state_dict()['head.weight'], plain['head.weight'])
    assert torch.equal(model.net_g_ema.state_dict()['head.weight'], averaged['head.weight'])


def test_another_width_is_refused_with_shapes(make_model, tmp_path):
    changes = save(tmp_path, LabNet(**{**SMALL, 'num_feat': 32}).state_dict())
    with pytest.raises(
        ValueError, match=r'does not fit LabNet.*\d+ wrongly shaped \(.*\[32, 3, 3, 3\] instead of \[16, 3, 3, 3\]'
    ):
        make_model(changes)


def test_another_network_is_refused_with_names(make_model, tmp_path):
    changes = save(tmp_path, {'conv_first.weight': torch.zeros(1), 'body.0.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r': \d+ missing \(.*head.*; 2 unknown \(conv_first'):
        make_model(changes)


def test_not_strict_loads_what_fits(make_model, tmp_path):
    weights = LabNet(**{**SMALL, 'upscale': 3}).state_dict()
    changes = save(tmp_path, weights)
    changes['path']['strict_load_g'] = False
    model = make_model(changes)
    assert torch.equal(model.net_g.state_dict()['head.weight'], weights['head.weight'])
    assert model.net_g.state_dict()['tail.0.weight'].shape != weights['tail.0.weight'].shape


def train_and_save(model, batch, iterations):
    for iteration in iterations:
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        model.save(0, iteration)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_old_checkpoints_are_pruned_and_best_and_latest_stay(make_model, batch, tmp_path):
    model = make_model({'logger': {'keep_checkpoints': 2}})
    train_and_save(model, batch, range(8, 12))
    model.save_best_network()
    model.save(-1, -1)
    assert names(tmp_path / 'training_states') == ['10.state', '11.state']
    assert names(tmp_path / 'models') == ['net_g_10.pth', 'net_g_11.pth', 'net_g_best.pth', 'net_g_latest.pth']


def test_without_the_option_nothing_is_removed(make_model, batch, tmp_path):
    train_and_save(make_model(), batch, range(1, 5))
    assert len(names(tmp_path / 'training_states')) == 4


def test_saved_networks_are_what_basicsr_reads(make_model, batch, tmp_path):
    model = make_model()
    train_and_save(model, batch, [1])
    theirs = make_model({'model_type': 'SRModel', 'path': {'pretrain_network_g': str(tmp_path / 'models/net_g_1.pth')}})
    for name, value in theirs.net_g_ema.state_dict().items():
        assert torch.equal(value, model.net_g_ema.state_dict()[name]), name
    assert set(read_checkpoint(tmp_path / 'models/net_g_1.pth')) == {'params', 'params_ema', 'network_g'}


@pytest.mark.parametrize(
    'network',
    [
        {'attention': 'taylor', 'taylor_order': 3, 'key_dim': 2, 'num_heads': 8},
        {'attention': 'softmax'},
        {'attention': None, 'dilations': [1, 3]},
        {'type': 'RealNet', 'attention': 'taylor'},
        {'type': 'RealNet', 'streams': 2},
    ],
)
def test_a_saved_network_says_what_it_is(make_model, batch, tmp_path, network):
    model = make_model({'network_g': network})
    train_and_save(model, batch, [1])
    found, lq = load_network(tmp_path / 'models/net_g_1.pth'), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(found(lq), model.net_g_ema.eval()(lq))


@pytest.mark.parametrize(
    ('trained', 'changed', 'report'),
    [
        ({'dilations': [3, 5, 7]}, {'dilations': [2, 4, 6]}, r'dilations \[3, 5, 7\] instead of \[2, 4, 6\]'),
        (
            {'attention': 'taylor', 'num_heads': 4, 'key_dim': 4},
            {'num_heads': 2, 'key_dim': 8},
            'num_heads 4 .*key_dim 4 ',
        ),
        ({'attention': 'taylor'}, {'attention': 'softmax'}, "attention 'taylor' instead of 'softmax'"),
        (
            {'type': 'RealNet', 'streams': 2, 'dilations': [2, 5, 7]},
            {'dilations': [3, 4, 6]},
            r'dilations \[2, 5, 7\] ',
        ),
    ],
)
def test_a_file_that_says_it_is_of_another_network_is_refused(make_model, batch, tmp_path, trained, changed, report):
    """Names and shapes are the same."""
    train_and_save(make_model({'network_g': trained}), batch, [1])
    changes = {'network_g': {**trained, **changed}, 'path': {'pretrain_network_g': f'{tmp_path}/models/net_g_1.pth'}}
    with pytest.raises(ValueError, match=f'fits .*, but says that it was trained with {report}'):
        make_model(changes)
    changes['path']['strict_load_g'] = False
    weights = load_network(f'{tmp_path}/models/net_g_1.pth').state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in make_model(changes).net_g_ema.state_dict().items())
