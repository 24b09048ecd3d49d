"""What all our models share: mixed precision, guarded steps, any device, checkpoints, validation."""

import torch
from basicsr.utils import get_root_logger
from torch.nn.parallel import DistributedDataParallel

from stea_arch import compat
from stea_arch.inference import upscale_tensor
from stea_arch.models.checkpoints import CheckpointMixin
from stea_arch.models.ensemble import input_multiple, self_ensemble
from stea_arch.models.progress import TrainingBar
from stea_arch.models.validation import ValidationMixin
from stea_arch.models.vgg import find_vgg19

AMP_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


class TrainingDiverged(RuntimeError):
    """Too many steps in a row had a loss or gradient that is not finite."""


class TrainingMixin(CheckpointMixin, ValidationMixin):
    """Stands before BasicSR's SRModel or SRGANModel; a model adds its losses in ``optimize_parameters``.

    Option keys beyond BasicSR's:

    - ``train.amp`` (``bf16`` | ``fp16`` | ~): networks run in mixed precision; losses are always taken in fp32, and
      scaled dynamically with ``fp16``.
    - ``train.grad_clip_norm`` (float | ~): largest norm of the gradient of all parameters of a network.
    - ``train.max_bad_steps`` (int, default 20): a step whose loss or gradient is not finite changes no network; after
      this many of them in a row the run stops.
    - ``train.optim_g.type``: ``AdamW`` too.
    - ``path.vgg19`` (str | ~): file with the weights of VGG19 for ``train.perceptual_opt``; ~: see ``find_vgg19``.
    - ``val.self_ensemble`` (bool): test with the mean over eight flips and rotations.
    - ``val.inference`` (``{method: whole | strips | tiles | local, ...}`` | ~): how an image is computed, with sizes,
      see :func:`stea_arch.inference.upscale_tensor`.
    - ``val.save_best`` (name of a metric | ~): keep the weights that score best on the first validation dataset.
    - ``logger.keep_checkpoints`` (int | ~): how many of the newest checkpoints stay on the disk.
    - ``logger.pbar`` (bool): a progress bar of the training.

    Raises:
        TrainingDiverged: From ``optimize_parameters``, see ``train.max_bad_steps``.
        ValueError: When built: the perceptual loss has no weights.
    """

    def init_training_settings(self):
        train_opt = self.opt['train']
        self.amp_dtype = AMP_DTYPES.get(train_opt.get('amp'))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp_dtype is torch.float16)
        self.grad_clip_norm = train_opt.get('grad_clip_norm') or float('inf')
        self.max_bad_steps = train_opt.get('max_bad_steps', 20)
        self.bad_steps = 0
        self.step = 0
        self.validated = {}  # dataset -> step at which it was validated last
        self.bar = TrainingBar(self.opt)
        perceptual = train_opt.get('perceptual_opt')
        if perceptual and perceptual.get('vgg_type', 'vgg19') == 'vgg19':
            compat.take_vgg19_from(find_vgg19(self.opt['path'].get('vgg19')))
        super().init_training_settings()

    def get_optimizer(self, optim_type, params, lr, **kwargs):
        if optim_type == 'AdamW':
            return torch.optim.AdamW(params, lr, **kwargs)
        return super().get_optimizer(optim_type, params, lr, **kwargs)

    def model_to_device(self, net):
        if self.opt['dist'] and self.device.type == 'cpu':
            find_unused = self.opt.get('find_unused_parameters', False)
            return DistributedDataParallel(net, find_unused_parameters=find_unused)
        return super().model_to_device(net)

    def print_network(self, net):
        net = self.get_bare_model(net)
        parameters = sum(p.numel() for p in net.parameters())
        get_root_logger().info(f'Network {type(net).__name__} with {parameters:,d} parameters on {self.device}')

    def generator_inputs(self):
        """What ``net_g`` is called with in a training step."""
        return (self.lq,)

    def watched(self):
        """Further scalars of this step to log, ``{name: Tensor}``."""
        return {}

    def run_network(self, net, *inputs):
        """``net(*inputs)`` in the chosen precision; the result in fp32."""
        with torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None):
            output = net(*inputs)
        return output.float()

    def image_losses(self, pixel_gt, percep_gt):
        """Pixel and perceptual loss of ``self.output``, whichever there are, by BasicSR's names."""
        losses = {}
        if self.cri_pix:
            losses['pix'] = self.cri_pix(self.output, pixel_gt)
        if self.cri_perceptual:
            l_percep, l_style = self.cri_perceptual(self.output, percep_gt)
            losses.update({k: v for k, v in (('percep', l_percep), ('style', l_style)) if v is not None})
        return losses

    def step_all_or_none(self, parts, losses):
        """After the backward passes: every optimiser steps and the EMA follows, or, if anything is not finite, none.

        Args:
            parts (list[tuple]): Optimiser, its network, and the sum of its losses, of each network that is trained.
            losses (dict[str, Tensor]): By name, for the warning.

        Returns:
            list[Tensor]: Norm of each network's gradient, before clipping.
        """
        norms = []
        for optimizer, net, _ in parts:
            self.scaler.unscale_(optimizer)
            norms.append(torch.nn.utils.clip_grad_norm_(net.parameters(), self.grad_clip_norm))
        if self._finite_everywhere(*norms, *(total for _, _, total in parts)):
            self.bad_steps = 0
            for optimizer, _, _ in parts:
                self.scaler.step(optimizer)
            if self.ema_decay > 0:
                self.model_ema(decay=self.ema_decay)
        else:
            self._count_bad_step(norms, losses)
        self.scaler.update()
        return norms

    def _finite_everywhere(self, *values):
        """Whether losses and gradients are finite, on every process: all must step or none."""
        finite = torch.stack([torch.isfinite(value.detach()).all() for value in values]).all().float()
        if self.opt['dist']:
            torch.distributed.all_reduce(finite, torch.distributed.ReduceOp.MIN)
        return bool(finite)

    def _count_bad_step(self, norms, losses):
        self.bad_steps += 1
        values = ', '.join(f'{name} {value.item():.4g}' for name, value in losses.items())
        rates = f'learning rate {self.get_current_learning_rate()[0]:.3g}'
        state = f'gradient norm {" and ".join(str(norm.item()) for norm in norms)}, {values}, {rates}'
        get_root_logger().warning(f'Iteration {self.step} is skipped, weights stay as they are: {state}.')
        if self.bad_steps >= self.max_bad_steps:
            raise TrainingDiverged(
                f'Training stopped at iteration {self.step}: {self.bad_steps} steps in a row had a loss or gradient '
                f'that is not finite ({state}). The weights are those of iteration {self.step - self.bad_steps}; the '
                f'last saved state is in {self.opt["path"]["training_states"]}, and --auto_resume continues from it. '
                'Lower train.optim_g.lr, set train.grad_clip_norm (0.5, say), use train.amp: bf16 in place of fp16, '
                'or look at the images in the data.'
            )

    def test(self):
        net = self.net_g_ema if hasattr(self, 'net_g_ema') else self.get_bare_model(self.net_g)
        val_opt = self.opt.get('val', {})
        run = self_ensemble if val_opt.get('self_ensemble') else upscale_tensor
        multiple = input_multiple(self.opt['network_g'])
        was_training = net.training
        net.eval()
        with torch.inference_mode():
            self.output = run(net, self.lq, multiple=multiple, **(val_opt.get('inference') or {}))
        net.train(was_training)
