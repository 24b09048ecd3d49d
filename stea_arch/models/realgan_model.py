"""RealNet's second stage: second-order degradation, pixel, perceptual and adversarial loss."""

from basicsr.models.srgan_model import SRGANModel
from basicsr.utils.registry import MODEL_REGISTRY

from stea_arch.degradations.batch_steps import usm_sharpen
from stea_arch.models.second_order import SecondOrderMixin
from stea_arch.models.training import TrainingMixin
from stea_arch.registry import register


@register(MODEL_REGISTRY)
class RealGANModel(SecondOrderMixin, TrainingMixin, SRGANModel):
    """Trains any ``network_g`` against a ``network_d`` as BasicSR's RealESRGANModel does, on CPU and CUDA.

    Both networks step or none: a batch whose loss or gradient is not finite in either changes neither, nor the EMA.
    One loss scale serves both with ``train.amp: fp16``. RealESRGANModel itself is bound to CUDA, so this is built on
    SRGANModel. Option keys beyond those of SRGANModel, ``TrainingMixin`` and ``SecondOrderMixin``:

    - ``l1_gt_usm`` (bool, default true): sharpen the target of the pixel loss by unsharp masking. What is degraded
      always is sharpened.
    - ``percep_gt_usm`` (bool, default true): sharpen the target of the perceptual loss.
    - ``gan_gt_usm`` (bool, default true): sharpen what the discriminator is shown as real.

    Logged beside the losses: ``out_d_real`` and ``out_d_fake``, the discriminator's mean outputs (logits), both
    gradient norms, and ``colour_error``.
    """

    def degraded_and_wanted(self, gt):
        return usm_sharpen(gt), gt  # the target is sharpened after the pool, for each loss as it wants

    def optimize_parameters(self, current_iter):
        self.step = current_iter
        targets = self._targets()
        self.optimizer_g.zero_grad()
        self.optimizer_d.zero_grad()
        self.output = self.run_network(self.net_g, *self.generator_inputs())
        losses, parts = {}, []
        if current_iter % self.net_d_iters == 0 and current_iter > self.net_d_init_iters:
            losses.update(self._generator_losses(targets))
            total = sum(losses.values())
            self.scaler.scale(total).backward()
            parts.append((self.optimizer_g, self.net_g, total))
        d_losses, outputs = self._discriminator_backward(targets['gan'])
        parts.append((self.optimizer_d, self.net_d, sum(d_losses.values())))
        losses.update(d_losses)
        norms = self.guarded_step(parts)

        names = ('grad_norm', 'grad_norm_d')[-len(norms) :]
        values = {**losses, **outputs, **self.watched(self.output, *self.generator_inputs())}
        values = {name: value.detach() for name, value in values.items()}
        self.finish_step(current_iter, {**values, **dict(zip(names, norms, strict=True))})

    def _targets(self):
        wanted = {name: self.opt.get(f'{name}_gt_usm', True) for name in ('l1', 'percep', 'gan')}
        sharp = usm_sharpen(self.gt) if any(wanted.values()) else None
        return {name: sharp if sharpened else self.gt for name, sharpened in wanted.items()}

    def _generator_losses(self, targets):
        losses = {
            f'l_g_{name}': loss
            for name, loss in self.image_losses(self.output, targets['l1'], targets['percep']).items()
        }
        # without the wrapper of DDP, which would wait for gradients of the discriminator
        critic = self.get_bare_model(self.net_d).requires_grad_(False)
        losses['l_g_gan'] = self.cri_gan(self.run_network(critic, self.output), True, is_disc=False)
        critic.requires_grad_(True)
        return losses

    def _discriminator_backward(self, real):
        losses, outputs = {}, {}
        for name, image in (('real', real), ('fake', self.output.detach())):
            output = self.run_network(self.net_d, image)
            loss = self.cri_gan(output, name == 'real', is_disc=True)
            self.scaler.scale(loss).backward()
            losses[f'l_d_{name}'], outputs[f'out_d_{name}'] = loss.detach(), output.detach().mean()
        return losses, outputs
