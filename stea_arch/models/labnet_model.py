"""The training model: BasicSR's SRModel with mixed precision, guarded steps and exact, crash-proof checkpoints."""

from collections import OrderedDict

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY
from torch.nn.parallel import DistributedDataParallel

from stea_arch.inference import upscale_tensor
from stea_arch.models.checkpoints import CheckpointMixin
from stea_arch.models.ensemble import input_multiple, self_ensemble
from stea_arch.models.progress import TrainingBar
from stea_arch.models.validation import ValidationMixin
from stea_arch.registry import register

AMP_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


class TrainingDiverged(RuntimeError):
    """Too many steps in a row had a loss or gradient that is not finite."""


@register(MODEL_REGISTRY)
class LabNetModel(CheckpointMixin, ValidationMixin, SRModel):
    """Trains and tests any ``network_g`` with a pixel loss, a perceptual loss or both, on CPU and CUDA.

    Option keys beyond SRModel's:

    - ``train.amp`` (``bf16`` | ``fp16`` | ~): the forward pass under autocast; the loss is always taken in fp32.
      ``fp16`` scales the loss dynamically.
    - ``train.grad_clip_norm`` (float | ~): largest norm of the gradient of all parameters.
    - ``train.max_bad_steps`` (int, default 20): a step whose loss or gradient is not finite changes nothing; after
      this many of them in a row the run stops.
    - ``train.optim_g.type``: ``AdamW`` too.
    - ``val.self_ensemble`` (bool): test with the mean over eight flips and rotations.
    - ``val.inference`` (``{method: whole | strips | tiles | local, ...}`` | ~): how an image is computed, with sizes,
      see :func:`stea_arch.inference.upscale_tensor`.
    - ``val.save_best`` (name of a metric | ~): keep the weights that score best on the first validation dataset.
    - ``logger.keep_checkpoints`` (int | ~): how many of the newest checkpoints stay on the disk.
    - ``logger.pbar`` (bool): a progress bar of the training.

    Raises:
        TrainingDiverged: From ``optimize_parameters``, see ``train.max_bad_steps``.
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

    def optimize_parameters(self, current_iter):
        self.step = current_iter
        self.optimizer_g.zero_grad()
        with torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None):
            self.output = self.net_g(self.lq)
        self.output = self.output.float()
        losses = self._losses()
        total = sum(losses.values())
        self.scaler.scale(total).backward()

        self.scaler.unscale_(self.optimizer_g)
        grad_norm = torch.nn.utils.clip_grad_norm_(self.net_g.parameters(), self.grad_clip_norm)
        if self._finite_everywhere(total, grad_norm):
            self.bad_steps = 0
            self.scaler.step(self.optimizer_g)
            if self.ema_decay > 0:
                self.model_ema(decay=self.ema_decay)
        else:
            self._count_bad_step(grad_norm, losses)
        self.scaler.update()

        self.log_dict = self.reduce_loss_dict(losses)
        self.log_dict['grad_norm'] = grad_norm.item()
        self.bar.update(current_iter, self.log_dict)

    def _losses(self):
        losses = OrderedDict()
        if self.cri_pix:
            losses['l_pix'] = self.cri_pix(self.output, self.gt)
        if self.cri_perceptual:
            l_percep, l_style = self.cri_perceptual(self.output, self.gt)
            losses.update({k: v for k, v in (('l_percep', l_percep), ('l_style', l_style)) if v is not None})
        return losses

    def _finite_everywhere(self, *values):
        """Whether loss and gradient are finite, on every process: all must step or none."""
        finite = torch.stack([torch.isfinite(value.detach()).all() for value in values]).all().float()
        if self.opt['dist']:
            torch.distributed.all_reduce(finite, torch.distributed.ReduceOp.MIN)
        return bool(finite)

    def _count_bad_step(self, grad_norm, losses):
        self.bad_steps += 1
        values = ', '.join(f'{name} {value.item():.4g}' for name, value in losses.items())
        state = f'gradient norm {grad_norm.item()}, {values}, learning rate {self.get_current_learning_rate()[0]:.3g}'
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
