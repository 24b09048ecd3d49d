"""The training model: BasicSR's SRModel with mixed precision, guarded steps and exact, crash-proof checkpoints."""

from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY

from stea_arch.models.training import TrainingMixin
from stea_arch.registry import register


@register(MODEL_REGISTRY)
class LabNetModel(TrainingMixin, SRModel):
    """Trains and tests any ``network_g`` with a pixel loss, a perceptual loss or both, on CPU and CUDA.

    Its option keys are SRModel's and those of ``TrainingMixin``.
    """

    def optimize_parameters(self, current_iter):
        self.step = current_iter
        self.optimizer_g.zero_grad()
        self.output = self.run_network(self.net_g, *self.generator_inputs())
        losses = {f'l_{name}': value for name, value in self.image_losses(self.gt, self.gt).items()}
        total = sum(losses.values())
        self.scaler.scale(total).backward()
        (grad_norm,) = self.step_all_or_none([(self.optimizer_g, self.net_g, total)], losses)

        self.log_dict = self.reduce_loss_dict({**losses, **self.watched()})
        self.log_dict['grad_norm'] = grad_norm.item()
        self.bar.update(current_iter, self.log_dict)
