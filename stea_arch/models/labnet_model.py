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
        results = self.training_step(self.gt, *self.generator_inputs())
        self.output = results['output']
        self.finish_step(current_iter, {name: value for name, value in results.items() if name != 'output'})

    def training_step(self, gt, *inputs):
        self.optimizer_g.zero_grad()
        output = self.run_network(self.net_g, *inputs)
        losses = {f'l_{name}': value for name, value in self.image_losses(output, gt, gt).items()}
        total = sum(losses.values())
        self.scaler.scale(total).backward()
        (grad_norm,) = self.guarded_step([(self.optimizer_g, self.net_g, total)])
        losses = {name: value.detach() for name, value in losses.items()}
        return {'output': output.detach(), **losses, **self.watched(output, *inputs), 'grad_norm': grad_norm}
