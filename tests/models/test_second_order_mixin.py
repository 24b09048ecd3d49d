"""Batches made on the device, and RealNet's pixel stage that is trained on them."""

import numpy as np
import pytest
import torch

from stea_arch.degradations.batch_steps import paired_crop, usm_sharpen
from stea_arch.degradations.second_order import SecondOrderSampler, degrade
from stea_arch.models import checkpoint_store

KERNELS = ('kernel1', 'kernel2', 'sinc_kernel')


def by_hand(model, regions, sharpen, part='all'):
    """The first batch from the published steps, with the model's own draw of parameters."""
    opt = model.opt
    words = np.random.SeedSequence([opt['manual_seed'], 0, 1]).generate_state(1, np.uint64)
    rng = np.random.default_rng(int(words[0]) >> 1)
    sampler = SecondOrderSampler(2, resize_range=(0.5, 1.5), resize_range2=(0.5, 1.2))
    params = sampler.draw(2, 32, rng)
    gt = usm_sharpen(regions['gt']) if sharpen else regions['gt']
    (lq,), (gt,) = paired_crop([degrade(gt, *(regions[k] for k in KERNELS), params, part)], [gt], params)
    return lq, gt


@pytest.mark.parametrize('gt_usm', [True, False])
def test_pixel_stage_degrades_and_wants_the_same_image(make_real, regions, gt_usm):
    model = make_real({'gt_usm': gt_usm})
    model.feed_data(regions)
    lq, gt = by_hand(model, regions, gt_usm)
    assert lq.shape == (2, 3, 16, 16) and gt.shape == (2, 3, 32, 32)
    assert torch.equal(model.lq, lq) and torch.equal(model.gt, gt)
    model.optimize_parameters(1)
    assert {'l_pix', 'colour_error', 'grad_norm'} == set(model.log_dict)


def test_gan_stage_degrades_the_sharpened_and_keeps_the_plain(make_real, regions):
    model = make_real(stage='gan')
    model.feed_data(regions)
    lq, _ = by_hand(model, regions, True)
    _, gt = by_hand(model, regions, False)
    assert torch.equal(model.lq, lq) and torch.equal(model.gt, gt)


@pytest.mark.parametrize('stage', ['pixel', 'gan'])
def test_two_streams_get_the_blurred_and_the_noisy_version(make_real, regions, stage):
    model = make_real(
        {'network_g': {'type': 'RealNet', 'streams': 2, 'attention': 'none', 'large_field': False}}, stage
    )
    seen = []
    model.net_g.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs))
    model.feed_data(regions)
    model.optimize_parameters(1)
    blurred, noisy = (by_hand(model, regions, True, part)[0] for part in ('blur', 'noise'))
    assert len(seen) == 2 and torch.equal(seen[0], blurred) and torch.equal(seen[1], noisy)

    model.feed_data({'lq': torch.rand(1, 3, 8, 8)})  # one image when it is validated
    model.test()
    assert model.output.shape == (1, 3, 16, 16)


def test_pool_mixes_batches_and_pairs_stay_together(make_real, regions):
    model = make_real({'gt_usm': False})
    passed = []
    for iteration in range(1, 6):
        level = iteration / 8  # a flat image tells which batch a pair came from
        model.feed_data({**regions, 'gt': torch.full_like(regions['gt'], level)})
        model.optimize_parameters(iteration)
        for lq, gt in zip(model.lq, model.gt, strict=True):
            assert (gt == gt[0, 0, 0]).all()
            assert abs(lq.mean() - gt.mean()) < 0.1
            passed.append(round(gt.mean().item() * 8))
    assert passed[:4] == [1, 1, 2, 2]  # the pool of four fills; afterwards older pairs come out
    assert all(number < iteration for iteration, number in zip((3, 3, 4, 4, 5, 5), passed[4:], strict=True))


@pytest.mark.parametrize('gaussian', [0, 1])
@pytest.mark.parametrize('stage', ['pixel', 'gan'])
def test_nan_in_a_batch_is_skipped_once_and_never_comes_back(make_real, regions, stage, gaussian):
    model = make_real({'gaussian_noise_prob': gaussian, 'gaussian_noise_prob2': gaussian}, stage)
    bad = {**regions, 'gt': regions['gt'].clone()}
    bad['gt'][1, 0, 5, 5] = float('nan')
    skipped = []
    for iteration, data in enumerate([regions, bad, *[regions] * 6], 1):
        model.feed_data(data)
        model.optimize_parameters(iteration)
        skipped.append(model.bad_steps)
    assert skipped == [0, 1, *[0] * 6]
    assert all(tensor.isfinite().all() for tensor in model.pool.state_dict()['tensors'])


def test_a_state_of_another_stage_or_number_of_processes_goes_on_with_an_empty_pool(make_real, regions, monkeypatch):
    said = []
    monkeypatch.setattr(checkpoint_store.get_root_logger(), 'warning', said.append)
    model = make_real()
    model.feed_data(regions)
    model.optimize_parameters(1)
    saved = model.scaler.state_dict(), [s.state_dict() for s in model.schedulers], model.optimizer_g.state_dict()
    state = {'iter': 1, 'bad_steps': 0, 'scaler': saved[0], 'schedulers': saved[1], 'optimizers': [saved[2]]}
    for more in (
        {'random_states': [{}, {}], 'pools': [{}, {}]},
        {'random_states': [checkpoint_store.get_random_state()]},
    ):
        resumed = make_real()
        resumed.resume_training({**state, **more})
        assert resumed.step == 1 and resumed.pool.filled == 0
    assert said == ['The state was saved by 2 processes, and this run has 1: it continues, but not exactly.']


def test_a_state_of_the_pixel_stage_does_not_resume_the_gan_stage(make_real):
    model = make_real(stage='gan')
    state = {'iter': 1, 'optimizers': [model.optimizer_g.state_dict()], 'schedulers': [{}]}
    with pytest.raises(
        ValueError, match=r'holds 1 optimiser\(s\) and \w+ has 2: it is of another stage or model\. Start'
    ):
        model.resume_training(state)


def test_every_iteration_process_and_seed_draws_anew(make_real, regions):
    def first(**changes):
        model = make_real({'queue_size': 0})
        model.opt.update(changes.get('opt', {}))
        model.step = changes.get('step', 0)
        model.feed_data(regions)
        return model.lq

    assert torch.equal(first(), first())
    for changes in ({'step': 1}, {'opt': {'rank': 1}}, {'opt': {'manual_seed': 4}}):
        assert not torch.equal(first(), first(**changes)), changes


def test_pairs_are_taken_as_they_are(make_real, batch):
    model = make_real()
    model.feed_data(batch)
    assert torch.equal(model.lq, batch['lq']) and torch.equal(model.gt, batch['gt'])


def test_colour_error_is_the_distance_of_means(make_real):
    model = make_real()
    lq = torch.rand(2, 3, 8, 8)
    shift = torch.tensor([0.1, -0.2, 0.0]).view(1, 3, 1, 1)
    output = torch.nn.functional.interpolate(lq, scale_factor=2) + shift
    assert model.watched(output, lq)['colour_error'].item() == pytest.approx(0.1, abs=1e-6)
