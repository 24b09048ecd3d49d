"""The training step against BasicSR's SRModel and plain torch."""

import functools
import math

import pytest
import torch

from stea_arch.models.training import TrainingDiverged
from stea_arch.system.errors import InputError


def weights(model):
    return {name: value.clone() for name, value in model.get_bare_model(model.net_g).state_dict().items()}


def train(model, batch, steps=3):
    for iteration in range(1, steps + 1):
        model.update_learning_rate(iteration)
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    return weights(model)


def test_a_plain_step_is_the_one_of_srmodel(make_model, batch):
    ours = make_model()
    theirs = make_model({'model_type': 'SRModel'})
    trained = train(ours, batch)
    for name, value in train(theirs, batch).items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=1e-6, msg=name)  # Adam rounds otherwise if fused
    for (name, ema), other in zip(ours.net_g_ema.named_parameters(), theirs.net_g_ema.parameters(), strict=True):
        torch.testing.assert_close(ema, other, rtol=0, atol=1e-6, msg=name)
    assert ours.log_dict['l_pix'] == pytest.approx(theirs.log_dict['l_pix'], rel=1e-5)


def test_adamw_is_torch_adamw(make_model, batch):
    model = make_model({'train': {'optim_g': {'type': 'AdamW', 'weight_decay': 0.5}}})
    assert type(model.optimizer_g) is torch.optim.AdamW
    before = weights(model)
    with torch.no_grad():
        for parameter in model.net_g.parameters():
            parameter.grad = torch.zeros_like(parameter)
    model.optimizer_g.step()
    after = weights(model)
    # no gradient: decoupled decay alone, w * (1 - lr * decay)
    torch.testing.assert_close(after['head.weight'], before['head.weight'] * (1 - 1e-3 * 0.5))


def test_gradient_is_clipped_to_the_norm(make_model, batch):
    model = make_model({'train': {'grad_clip_norm': 1e-3, 'optim_g': {'type': 'Adam', 'lr': 0}}})
    train(model, batch, steps=1)
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in model.net_g.parameters()))
    assert norm == pytest.approx(1e-3, rel=1e-3)
    assert model.log_dict['grad_norm'] > 1e-3


@pytest.mark.parametrize('amp', ['bf16', 'fp16'])
def test_mixed_precision_runs_the_network_low_and_the_loss_high(make_model, batch, amp):
    seen = []
    model = make_model({'train': {'amp': amp}})
    model.net_g.head.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    before = weights(model)
    after = train(model, batch, steps=1)
    assert seen == [{'bf16': torch.bfloat16, 'fp16': torch.float16}[amp]]
    assert model.output.dtype == torch.float32
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert model.scaler.is_enabled() == (amp == 'fp16')
    reference = make_model()
    train(reference, batch, steps=1)
    assert model.log_dict['l_pix'] == pytest.approx(reference.log_dict['l_pix'], rel=0.02)


def test_compiled_blocks_train_alike_and_share_their_code(make_model, batch, monkeypatch):
    compiled = []

    def backend(graph, inputs):  # in Inductor's place, which takes a minute
        compiled.append(graph)
        return graph

    monkeypatch.setattr(torch, 'compile', functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    blocks = {'network_g': {'num_blocks': [2, 1, 1, 1, 1, 1]}}
    plain = train(make_model(blocks), batch, steps=2)
    trained = train(make_model({**blocks, 'train': {'compile': 'blocks'}}), batch, steps=2)
    assert trained.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=1e-6, msg=name)
    assert 4 == len(compiled) < sum(blocks['network_g']['num_blocks'])  # for C, 2C halved, 4C, and 2C at full size


def test_a_bad_step_changes_nothing_and_the_next_good_one_counts(make_model, batch):
    model = make_model({'train': {'max_bad_steps': 2}})
    before = weights(model)
    bad = {**batch, 'lq': batch['lq'].clone()}
    bad['lq'][0, 0, 0, 0] = float('nan')
    after = train(model, bad, steps=1)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    assert model.bad_steps == 1
    after = train(model, batch, steps=1)
    assert model.bad_steps == 0
    for name, value in train(make_model(), batch, steps=1).items():
        assert torch.equal(after[name], value), name  # the optimiser's state was not touched either


def test_bad_steps_in_a_row_stop_the_run_with_advice(make_model, batch):
    model = make_model({'train': {'max_bad_steps': 3}})
    bad = {**batch, 'gt': torch.full_like(batch['gt'], float('inf'))}
    with pytest.raises(TrainingDiverged, match=r'iteration 3: 3 steps in a row .* not finite .*l_pix inf.*Lower train'):
        train(model, bad, steps=5)


def test_a_network_whose_channels_would_be_broadcast_is_refused(make_model, batch):
    gray = {'type': 'RRDBNet', 'num_in_ch': 3, 'num_out_ch': 1, 'scale': 2, 'num_block': 1, 'num_grow_ch': 4}
    gray |= {'upscale': ..., 'num_feat': 8, 'num_blocks': ...}
    model = make_model({'network_g': gray})
    with pytest.raises(InputError, match=r'\[\d+, 1, \d+, \d+\] .* ground truth has \[\d+, 3, '):
        train(model, batch, steps=1)


@pytest.mark.parametrize('size', [(1, 1), (3, 7), (16, 9)])
def test_any_size_also_for_networks_that_need_multiples(make_model, size):
    swinir = {'type': 'SwinIR', 'upscale': 2, 'window_size': 8, 'img_size': 16, 'depths': [1], 'embed_dim': 8}
    swinir |= {'num_heads': [2], 'mlp_ratio': 2, 'upsampler': 'pixelshuffledirect', 'resi_connection': '1conv'}
    rrdb = {'type': 'RRDBNet', 'num_in_ch': 3, 'num_out_ch': 3, 'scale': 2, 'num_block': 1, 'num_grow_ch': 4}
    rrdb |= {'upscale': ..., 'num_feat': 8}
    by_default = {**swinir, 'window_size': ..., 'img_size': 14}  # 7
    for network in (swinir, by_default, rrdb, {}):
        changes = {'network_g': {'num_feat': ..., 'num_blocks': ..., **network}} if network else {}
        model = make_model(changes)
        model.feed_data({'lq': torch.rand(1, 3, *size)})
        model.test()
        assert model.output.shape == (1, 3, 2 * size[0], 2 * size[1])


def test_self_ensemble_is_equivariant_and_keeps_an_equivariant_result(make_model):
    bicubic = {'network_g': {'type': 'Bicubic', 'num_feat': ..., 'num_blocks': ...}}
    changes = {'val': {'self_ensemble': True}}
    lq = torch.rand(1, 3, 9, 14)

    plain, ensemble = make_model(bicubic, is_train=False), make_model({**bicubic, **changes}, is_train=False)
    outputs = []
    for model in (plain, ensemble):
        model.feed_data({'lq': lq})
        model.test()
        outputs.append(model.output)
    torch.testing.assert_close(*outputs)

    model = make_model(changes)
    results = []
    for image in (lq, lq.flip(-1).transpose(-1, -2)):
        model.feed_data({'lq': image})
        model.test()
        results.append(model.output)
    torch.testing.assert_close(results[0].flip(-1).transpose(-1, -2), results[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('ensemble', [False, True])
def test_inference_is_chosen_by_option(make_model, ensemble):
    outputs = []
    for inference in (None, {'method': 'strips', 'strip': 8}, {'method': 'tiles', 'tile': 12, 'overlap': 4}):
        model = make_model({'val': {'inference': inference, 'self_ensemble': ensemble}})
        with torch.no_grad():
            for parameter in model.net_g_ema.parameters():
                parameter.copy_(torch.linspace(-0.2, 0.2, parameter.numel()).reshape(parameter.shape))
        model.feed_data({'lq': torch.linspace(0, 1, 3 * 20 * 10).reshape(1, 3, 20, 10)})
        model.test()
        outputs.append(model.output)
    whole, strips, tiles = outputs
    torch.testing.assert_close(strips, whole, rtol=1e-5, atol=1e-5)
    assert tiles.shape == whole.shape and (tiles - whole).abs().max() > 1e-4


def test_testing_leaves_training_mode_as_it_was(make_model, batch):
    model = make_model({'train': {'ema_decay': 0}})
    assert not hasattr(model, 'net_g_ema')
    model.feed_data(batch)
    model.test()
    assert model.net_g.training
    assert not model.output.requires_grad
