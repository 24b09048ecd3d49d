"""The adversarial step against BasicSR's RealESRGANModel, and what happens when it goes wrong."""

import copy

import pytest
import torch
from basicsr.models.realesrgan_model import RealESRGANModel

from stea_arch.models.training import TrainingDiverged

USM = ('l1_gt_usm', 'percep_gt_usm', 'gan_gt_usm')


def everything(model):
    """All that a step may change."""
    nets = {'g': model.net_g, 'd': model.net_d, 'ema': model.net_g_ema}
    return {f'{name}.{key}': p.detach().clone() for name, net in nets.items() for key, p in net.named_parameters()}


def train(model, batch, steps):
    for iteration in range(1, steps + 1):
        model.update_learning_rate(iteration)
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    return everything(model)


def assert_equal(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, rtol=0, atol=tolerance, msg=lambda text, name=name: f'{name}: {text}'
        )


@pytest.fixture
def theirs(make_real, monkeypatch):
    """``theirs(changes)`` -> BasicSR's model, whose ``.cuda()`` is made to do nothing."""
    monkeypatch.setattr(torch.nn.Module, 'cuda', lambda module: module)

    def make(changes):
        model = make_real({**changes, 'model_type': 'RealESRGANModel', 'high_order_degradation': False}, 'gan')
        assert type(model) is RealESRGANModel
        return model

    return make


@pytest.mark.parametrize('iterations', [{}, {'net_d_iters': 2, 'net_d_init_iters': 1}])
def test_a_step_is_the_one_of_basicsr(make_real, theirs, batch, iterations):
    changes = {**dict.fromkeys(USM, False), 'train': iterations}
    ours, reference = make_real(changes, 'gan'), theirs(changes)
    assert_equal(train(ours, batch, 4), train(reference, batch, 4), 1e-5)  # Adam rounds otherwise if fused
    common = set(reference.log_dict)
    assert common >= {'l_d_real', 'l_d_fake', 'out_d_real', 'out_d_fake'}
    assert {k: ours.log_dict[k] for k in common} == pytest.approx({k: reference.log_dict[k] for k in common}, rel=1e-4)


@pytest.mark.parametrize('wanted', USM)
def test_each_loss_chooses_its_target(make_real, theirs, batch, wanted, monkeypatch):
    class Squares(torch.nn.Module):  # in the perceptual loss's place, which needs weights
        def forward(self, output, gt):
            return (output - gt).square().mean(), None

    changes = {key: key == wanted for key in USM}
    logs = []
    for model in (make_real(changes, 'gan'), theirs(changes)):
        model.cri_perceptual = Squares()
        train(model, batch, 1)
        logs.append(model.log_dict)
    ours, reference = logs
    for name in ('l_g_pix', 'l_g_percep', 'l_d_real', 'l_d_fake'):
        assert ours[name] == pytest.approx(reference[name], rel=1e-4), name
    plain = make_real(dict.fromkeys(USM, False), 'gan')
    plain.cri_perceptual = Squares()
    train(plain, batch, 1)
    name = {'l1_gt_usm': 'l_g_pix', 'percep_gt_usm': 'l_g_percep', 'gan_gt_usm': 'l_d_real'}[wanted]
    assert abs(plain.log_dict[name] - ours[name]) > 1e-5


@pytest.mark.parametrize(('amp', 'where'), [(None, 'lq'), ('bf16', 'gt'), ('fp16', 'lq')])
def test_nan_in_a_batch_changes_neither_network(make_real, batch, amp, where):
    model = make_real({'train': {'amp': amp, 'grad_clip_norm': 1.0}}, 'gan')
    bad = {**batch, where: batch[where].clone()}
    bad[where][0, 0, 3, 3] = float('nan')
    before = everything(model)
    assert_equal(train(model, bad, 1), before, 0)
    assert model.bad_steps == 1
    after = train(model, batch, 1)
    assert model.bad_steps == 0
    assert all(value.isfinite().all() for value in after.values())
    assert all(any(not torch.equal(before[k], after[k]) for k in before if k.startswith(n)) for n in ('g', 'd', 'ema'))


def test_a_discriminator_that_breaks_stops_both_and_then_the_run(make_real, batch):
    model = make_real({'train': {'max_bad_steps': 2}}, 'gan')
    with torch.no_grad():
        model.net_d.conv9.bias.fill_(float('inf'))
    before = copy.deepcopy(model.net_g.state_dict())
    with pytest.raises(TrainingDiverged, match=r'iteration 2: 2 steps .*l_d_fake inf.*grad_norm .*grad_norm_d'):
        train(model, batch, 3)
    assert all(torch.equal(value, before[name]) for name, value in model.net_g.state_dict().items())


@pytest.mark.parametrize('amp', ['bf16', 'fp16'])
def test_mixed_precision_runs_both_networks_low_and_the_losses_high(make_real, batch, amp):
    model = make_real({'train': {'amp': amp}}, 'gan')
    seen = []
    for layer in (model.net_g.head, model.net_d.conv0):
        layer.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    train(model, batch, 1)
    reference = make_real(stage='gan')
    train(reference, batch, 1)
    assert seen == [{'bf16': torch.bfloat16, 'fp16': torch.float16}[amp]] * 4
    for name in ('l_g_pix', 'l_g_gan', 'l_d_real', 'l_d_fake'):
        assert model.log_dict[name] == pytest.approx(reference.log_dict[name], rel=0.05), name


def test_clipping_holds_for_each_network(make_real, batch):
    changes = {'grad_clip_norm': 1e-3, 'optim_g': {'lr': 0}, 'optim_d': {'lr': 0}}
    model = make_real({'train': changes}, 'gan')
    train(model, batch, 1)
    for net, name in ((model.net_g, 'grad_norm'), (model.net_d, 'grad_norm_d')):
        norm = sum(p.grad.square().sum().item() for p in net.parameters()) ** 0.5
        assert norm == pytest.approx(1e-3, rel=1e-3)
        assert model.log_dict[name] > 1e-3


def test_both_networks_are_saved_loaded_and_pruned(make_real, batch, tmp_path):
    model = make_real({'logger': {'keep_checkpoints': 1}}, 'gan')
    for iteration in (1, 2):
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        model.save(0, iteration)
    names = sorted(path.name for path in (tmp_path / 'models').iterdir())
    assert names == ['net_d_2.pth', 'net_g_2.pth']
    paths = {f'pretrain_network_{n}': str(tmp_path / f'models/net_{n}_2.pth') for n in 'gd'}
    assert_equal(everything(make_real({'path': paths}, 'gan')), everything(model), 0)
