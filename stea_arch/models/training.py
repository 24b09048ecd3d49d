"""What all our models share: how BasicSR's training and test loops reach our steps, files and validations."""

import torch
from basicsr.utils import get_root_logger
from torch.nn.parallel import DistributedDataParallel

from stea_arch import compat
from stea_arch.archs.labnet_arch import compile_blocks
from stea_arch.inference import upscale_tensor
from stea_arch.models.checkpoint_store import CheckpointStore, get_random_state, set_random_state
from stea_arch.models.ensemble import input_multiple, self_ensemble
from stea_arch.models.evaluator import Evaluator
from stea_arch.models.graphed_step import GraphedStep
from stea_arch.models.guarded_step import GuardedStep, TrainingDiverged, follow
from stea_arch.models.progress import TrainingBar
from stea_arch.models.resumed_options import follow_options
from stea_arch.models.vgg import find_vgg19
from stea_arch.resume import Pipeline
from stea_arch.system.errors import InputError
from stea_arch.system.launch import gather
from stea_arch.system.stopping import Stopped, request
from stea_arch.system.threads import continue_with_threads

AMP_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


class TrainingMixin:
    """Stands before BasicSR's SRModel or SRGANModel and replaces what they do with files, steps and validations.

    The work is done by objects with one job each: :class:`GuardedStep` and :class:`GraphedStep` (the end of a step, and
    the step as a whole), :class:`CheckpointStore` (files), :class:`Evaluator` (validations and tests). A subclass
    defines ``optimize_parameters``, which ends in :meth:`guarded_step` and :meth:`finish_step`, and, where it differs
    from a network of one input, ``generator_inputs``, ``watched``, ``extra_state`` and ``load_extra_state``.

    Option keys beyond BasicSR's:

    - ``train.amp`` (``bf16`` | ``fp16`` | ~): networks run in mixed precision; losses are always taken in fp32, and
      scaled dynamically with ``fp16``.
    - ``train.grad_clip_norm`` (float | ~): largest norm of the gradient of all parameters of a network.
    - ``train.max_bad_steps`` (int, default 20): a step whose loss or gradient is not finite changes no network; after
      this many of them in a row the run stops. On a GPU this is noticed every ``logger.print_freq`` steps.
    - ``train.cuda_graph`` (bool): on a GPU, run the step as one CUDA graph; a CPU has none and runs it as usual.
    - ``train.compile`` (``blocks`` | ~): compile the blocks of a LabNet or RealNet, see ``compile_blocks``.
    - ``train.optim_g.type``: ``AdamW`` too.
    - ``path.vgg19`` (str | ~): file with the weights of VGG19 for ``train.perceptual_opt``; ~: see ``find_vgg19``.
    - ``val.self_ensemble`` (bool): test with the mean over eight flips and rotations.
    - ``val.inference`` (``{method: whole | strips | tiles, ...}`` | ~): how an image is computed, with sizes,
      see :func:`stea_arch.inference.upscale_tensor`.
    - ``val.save_best`` (name of a metric | ~): keep the weights that score best on the first validation dataset.
    - ``logger.keep_checkpoints`` (int | ~): how many of the newest checkpoints stay on the disk.
    - ``logger.pbar`` (bool): a progress bar of the training.

    Raises:
        TrainingDiverged: From ``optimize_parameters``, see ``train.max_bad_steps``.
        ValueError: When built: the perceptual loss has no weights.
    """

    def __init__(self, opt):
        self.store, self.evaluator = CheckpointStore(self), Evaluator(self)
        super().__init__(opt)

    def init_training_settings(self):
        train_opt = self.opt['train']
        self.amp_dtype = AMP_DTYPES.get(train_opt.get('amp'))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp_dtype is torch.float16)
        self.guard = GuardedStep(self.scaler, self.device, train_opt.get('grad_clip_norm'), self.opt['dist'])
        self.max_bad_steps = train_opt.get('max_bad_steps', 20)
        self.known_skipped = 0
        self.step = 0
        self.resumed = False  # until the first step after
        self.logged = {}
        self.random_state = get_random_state()
        self.bar = TrainingBar(self.opt)
        perceptual = train_opt.get('perceptual_opt')
        if perceptual and perceptual['type'] == 'PerceptualLoss' and perceptual.get('vgg_type', 'vgg19') == 'vgg19':
            compat.take_vgg19_from(find_vgg19(self.opt['path'].get('vgg19')))
        super().init_training_settings()
        if train_opt.get('compile') == 'blocks':
            compile_blocks(self.get_bare_model(self.net_g))
        if train_opt.get('cuda_graph') and self.device.type == 'cuda':
            if self.opt['dist'] or self.opt['num_gpu'] > 1:
                raise InputError(
                    'train.cuda_graph: true is for a single process on one GPU: write num_gpu: 1 and start without '
                    'torchrun, or write false.'
                )
            self.training_step = GraphedStep(self.training_step, self.optimizers)

    def training_step(self, *batch):
        """Forward pass, losses, backward pass and :meth:`guarded_step` of one batch, reading no value back.

        Returns:
            dict[str, Tensor]: ``output``, and what is logged.
        """
        raise NotImplementedError

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

    def watched(self, output, *inputs):
        """Further scalars of a step to log, ``{name: Tensor}``, from what ``net_g`` made of its inputs."""
        return {}

    def run_network(self, net, *inputs):
        """``net(*inputs)`` in the chosen precision; the result in fp32."""
        with torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None):
            output = net(*inputs)
        return output.float()

    def image_losses(self, output, pixel_gt, percep_gt):
        """Pixel and perceptual loss of ``output``, whichever there are, by BasicSR's names."""
        if output.shape != pixel_gt.shape:  # channels would be broadcast
            raise InputError(
                f'network_g gives images of {list(output.shape)} (B, C, H, W), but the ground truth has '
                f'{list(pixel_gt.shape)}: its scale and channels must be those of the images.'
            )
        losses = {}
        if self.cri_pix:
            losses['pix'] = self.cri_pix(output, pixel_gt)
        if self.cri_perceptual:
            l_percep, l_style = self.cri_perceptual(output, percep_gt)
            losses.update({k: v for k, v in (('percep', l_percep), ('style', l_style)) if v is not None})
        return losses

    def guarded_step(self, parts):
        """Step all optimisers and let the EMA follow, or none: :class:`GuardedStep`. Returns the gradients' norms."""
        stepped, norms = self.guard(parts)
        if self.ema_decay > 0:
            self.model_ema(self.ema_decay, stepped)
        return norms

    def model_ema(self, decay=0.999, stepped=1):
        follow(self.net_g_ema, self.get_bare_model(self.net_g), decay, stepped)

    def update_learning_rate(self, current_iter, warmup_iter=-1):
        self.stop_if_asked(current_iter - 1)
        if self.resumed:
            self.resumed = False
            self.evaluator.catch_up()
        super().update_learning_rate(current_iter, warmup_iter)

    def finish_step(self, current_iter, values):
        """Keep what a step is logged with, ``{name: Tensor}``, and look at skipped steps where that costs no time.

        The random state is kept too: the next batch, which may draw from it, is loaded before :meth:`stop_if_asked`.
        """
        self.logged = values
        self.random_state = get_random_state()
        self.bar.update(current_iter, values)
        if self.device.type == 'cpu' or current_iter % self.opt['logger']['print_freq'] == 0:
            self._look_at_skipped_steps()

    @property
    def bad_steps(self):
        """How many steps were skipped since the last one that was not."""
        return int(self.guard.in_a_row)

    @property
    def log_dict(self):
        """The values of the last step as numbers, over all processes; reading them waits for the device."""
        return self.reduce_loss_dict(self.logged)

    def get_optimizer(self, optim_type, params, lr, **kwargs):
        kinds = {'Adam': torch.optim.Adam, 'AdamW': torch.optim.AdamW}
        if optim_type not in kinds:
            return super().get_optimizer(optim_type, params, lr, **kwargs)
        return kinds[optim_type](params, lr, fused=True, **kwargs)

    def _look_at_skipped_steps(self):
        skipped = int(self.guard.skipped)
        new, self.known_skipped = skipped - self.known_skipped, skipped
        if not new:
            return
        values = ', '.join(f'{name} {value:.4g}' for name, value in self.log_dict.items())
        state = f'{values}, learning rate {self.get_current_learning_rate()[0]:.3g}'
        get_root_logger().warning(
            f'{new} step(s) skipped up to iteration {self.step}, weights stay as they are; the last values: {state}.'
        )
        in_a_row = self.bad_steps
        if in_a_row >= self.max_bad_steps:
            raise TrainingDiverged(
                f'Training stopped at iteration {self.step}: {in_a_row} steps in a row had a loss or gradient that is '
                f'not finite ({state}). The weights are those of iteration {self.step - in_a_row}; the last saved '
                f'state is in {self.opt["path"]["training_states"]}, and --auto_resume continues from it. Lower '
                'train.optim_g.lr, set train.grad_clip_norm (0.5, say), use train.amp: bf16 in place of fp16, or look '
                'at the images in the data.'
            )

    def extra_state(self):
        """What a model adds to the training state, ``{name: plain values and tensors}``; called on every process."""
        return {}

    def load_extra_state(self, state):
        """Take over what :meth:`extra_state` added to the training state."""

    def save(self, epoch, current_iter):
        """Save networks and state of an iteration, then remove old ones. Called on every process.

        The state is written after the networks, and removed before them: where a state is, its networks are too.
        """
        super().save(epoch, current_iter)
        if keep := self.opt['logger'].get('keep_checkpoints'):
            self.store.prune(keep)

    def save_network(self, net, net_label, current_iter, param_key='params'):
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        self.store.save_network(nets, f'{net_label}_{"latest" if current_iter == -1 else current_iter}', keys)

    def save_best_network(self):
        """Keep the present weights as ``net_g_best.pth``, in the format of every other checkpoint."""
        averaged = hasattr(self, 'net_g_ema')
        nets = [self.net_g, self.net_g_ema] if averaged else [self.net_g]
        self.store.save_network(nets, 'net_g_best', ['params', 'params_ema'][: len(nets)])

    def save_training_state(self, epoch, current_iter):
        if current_iter == -1:  # the end of the run: there is nothing to continue
            return
        state = {
            'epoch': epoch,
            'iter': current_iter,
            'optimizers': [o.state_dict() for o in self.optimizers],
            'schedulers': [s.state_dict() for s in self.schedulers],
            'scaler': self.scaler.state_dict(),
            'bad_steps': self.bad_steps,
            'random_states': gather(self.random_state),
            'threads': torch.get_num_threads(),
            'seed': int(self.opt['manual_seed']),
            **self.extra_state(),
        }
        self.store.save_state(state)

    def load_network(self, net, load_path, strict=True, param_key='params'):
        self.store.load_network(net, load_path, strict, param_key)

    def resume_training(self, resume_state):
        """Continue where ``resume_state`` was saved: optimiser, schedule, loss scale, random state, best metrics.

        Raises:
            ValueError: It is of a model with another number of optimisers, such as another stage.
        """
        held, needed = len(resume_state['optimizers']), len(self.optimizers)
        if held != needed:
            raise InputError(
                f'The training state holds {held} optimiser(s) and {self.opt["model_type"]} has {needed}: it is of '
                'another stage or model. Start from its network: path.pretrain_network_g, with resume_state: ~.'
            )
        for group in [group for state in resume_state['optimizers'] for group in state['param_groups']]:
            group.update(fused=True, foreach=None)  # also those of a state that another model saved
        written = [(o.state_dict()['param_groups'], s.state_dict()) for o, s in zip(self.optimizers, self.schedulers)]
        try:
            super().resume_training(resume_state)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f'The optimisers of the training state do not fit the networks of the option file ({error}). Use the '
                'options it was trained with, or start from its network: path.pretrain_network_g.'
            ) from error
        for optimizer, scheduler, saved, options in zip(
            self.optimizers, self.schedulers, resume_state['schedulers'], written
        ):
            follow_options(optimizer, scheduler, saved, *options)
        self.step = resume_state['iter']
        aside = self.store.set_aside(self.step)
        if 'random_states' not in resume_state:
            get_root_logger().warning('The state was saved by another model: it continues, but not exactly.')
            return
        if resume_state['scaler']:
            self.scaler.load_state_dict(resume_state['scaler'])
        elif self.scaler.is_enabled():
            scale = self.scaler.get_scale()
            get_root_logger().info(f'The state was saved without a loss scale: that of fp16 starts at {scale:g}.')
        self.guard.in_a_row.fill_(resume_state['bad_steps'])
        states = resume_state['random_states']
        if len(states) == self.opt['world_size']:
            self.random_state = states[self.opt['rank']]
            set_random_state(self.random_state)
        else:
            get_root_logger().warning(
                f'The state was saved by {len(states)} processes, and this run has {self.opt["world_size"]}: it '
                'continues, but not exactly.'
            )
        if self.device.type == 'cpu' and (said := continue_with_threads(resume_state.get('threads'))):
            get_root_logger().warning(said)
        self.load_extra_state(resume_state)
        self.evaluator.replay(self.step, aside)
        self.resumed = True

    def stop_if_asked(self, done):
        """Between two steps: where this process (or, at every ``print_freq``, another one) was asked to, save and end.

        Args:
            done (int): Steps that are done.

        Raises:
            Stopped: With the state that is saved now.
        """
        request.armed = True
        if self.opt['dist'] and done % self.opt['logger']['print_freq']:
            return  # all processes must see it at the same step
        asked = next(filter(None, gather(request.signal)), None)
        if asked is None:
            return
        state = self.store.state_path(done)
        if done and not state.is_file():
            self.save(Pipeline.sampler.epoch, done)
        raise Stopped(state if done else None, asked)

    def nondist_validation(self, dataloader, current_iter, tb_logger, save_img):
        self.evaluator(dataloader, current_iter, tb_logger, save_img)

    dist_validation = nondist_validation  # each process takes its share

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
