"""Training batches made on the device: degraded in second order, mixed through the pair pool."""

import numpy as np
import torch
import torch.nn.functional as F

from stea_arch.degradations.batch_steps import paired_crop, usm_sharpen
from stea_arch.degradations.pair_pool import PairPool
from stea_arch.degradations.second_order import SecondOrderSampler, degrade
from stea_arch.system.launch import gather


class SecondOrderMixin:
    """Stands before a model and turns RealWorldDataset's regions and kernels into pairs.

    Two streams (``network_g.streams: 2``) get two versions of each patch: one that is only blurred, one that is only
    noisy. Batches without kernels (validation, a dataset of pairs) are taken as they are.

    Option keys, at the top level: those of ``SecondOrderSampler`` and

    - ``gt_size`` (int): side of a ground-truth patch in pixels, a multiple of the scale.
    - ``queue_size`` (int, default 180): pairs in the pool of each process; 0: no pool.

    What is drawn for a batch depends on ``manual_seed``, the process and the iteration alone; the pool is part of the
    training state.
    """

    def init_training_settings(self):
        super().init_training_settings()
        self.sampler = SecondOrderSampler.from_options(self.opt, self.opt['scale'])
        self.pool = PairPool(self.opt.get('queue_size', 180), self._seed('pool'))
        self.noise_lq = None  # what the second stream gets, if there is one

    def _seed(self, *what):
        """A number from the run's seed, the process, and a name or an iteration."""
        words = [word if isinstance(word, int) else int.from_bytes(word.encode()) for word in what]
        sequence = np.random.SeedSequence([self.opt['manual_seed'], self.opt['rank'], *words])
        return int(sequence.generate_state(1, np.uint64)[0]) >> 1

    @torch.no_grad()
    def feed_data(self, data):
        if 'kernel1' not in data:
            super().feed_data(data)
            return
        gt = data['gt'].to(self.device)
        kernels = [data[name].to(self.device) for name in ('kernel1', 'kernel2', 'sinc_kernel')]
        rng = np.random.default_rng(self._seed(self.step + 1))
        params = self.sampler.draw(len(gt), self.opt['gt_size'], rng)
        source, target = self.degraded_and_wanted(gt)
        parts = ('blur', 'noise') if self.opt['network_g'].get('streams') == 2 else ('all',)
        lqs = [degrade(source, *kernels, params, part) for part in parts]
        (lq, *more), (gt,) = paired_crop(lqs, [target], params)
        self.lq, self.gt, *more = self.pool.exchange(lq, gt, *more)
        self.noise_lq = more[0] if more else None

    def degraded_and_wanted(self, gt):
        """The image that is degraded and the one that becomes ``self.gt``: both sharpened where ``gt_usm`` is on."""
        gt = usm_sharpen(gt) if self.opt.get('gt_usm', True) else gt
        return gt, gt

    def generator_inputs(self):
        return (self.lq,) if self.noise_lq is None else (self.lq, self.noise_lq)

    @torch.no_grad()
    def watched(self, output, *inputs):
        """``colour_error``: how far mean colours of input and reduced output are apart, in [0, 1]; GANs tend to drift.

        The mean over images and channels of ``|mean over pixels (area-averaged output - input)|``.
        """
        reduced = F.interpolate(output, size=inputs[0].shape[-2:], mode='area')
        wanted = sum(inputs) / len(inputs)
        return {'colour_error': (reduced - wanted).mean((2, 3)).abs().mean()}

    def extra_state(self):
        return {**super().extra_state(), 'pools': gather(self.pool.state_dict())}

    def load_extra_state(self, state):
        super().load_extra_state(state)
        if len(state.get('pools', ())) == self.opt['world_size']:  # else it fills anew
            self.pool.load_state_dict(state['pools'][self.opt['rank']])
