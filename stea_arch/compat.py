"""The only place that mends foreign code: BasicSR 1.4.2 on today's torch, torchvision and machines without a GPU.

``prepare()`` runs before BasicSR is first imported, ``apply()`` after. Doing either twice changes nothing. Each
function here says what breaks without it, since when, and where upstream stands; tests/test_compat.py fails as soon
as one of them is no longer needed.
"""

import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path

from stea_arch.system.opencv import check_opencv

VERSION = '1.4.2'


def is_ours(folders):
    """Whether the BasicSR in ``folders`` (its ``__path__``) is the one that is mended here, not another project's copy.

    Its version is read from its file, as it has to be known before BasicSR is loaded.
    """
    files = [Path(folder, 'version.py') for folder in folders or ()]
    line = f'^__version__ = ["\']{re.escape(VERSION)}["\']'
    return any(file.is_file() and re.search(line, file.read_text('utf-8', 'replace'), re.M) for file in files)


def prepare():
    """Make ``import basicsr`` possible."""
    check_opencv()
    restore_functional_tensor()


def apply():
    """Put stea_arch's counterparts into the BasicSR modules that look them up by name."""
    resume_on_any_device_and_exactly()
    launch_without_gpu()
    force_yml_without_eval()
    one_seed_for_a_run()
    several_roots()
    sound_estimate()
    folders_are_noted()
    prefetching_hands_errors_on()
    only_images_in_folders()
    flags_beside_its_own()
    one_environment_an_lmdb()
    wandb_ids()
    colours_where_they_were()


def undo():
    """Put BasicSR's own objects back, where one of the above found nothing to replace."""
    for module in [module for name, module in sys.modules.items() if name.startswith('basicsr.')]:
        for name, original in module.__dict__.pop('_stea_arch_originals', {}).items():
            setattr(module, name, original)


def restore_functional_tensor():
    """Give ``basicsr.data.degradations`` the module it imports ``rgb_to_grayscale`` from.

    Breaks: ``import basicsr`` with ModuleNotFoundError. Since: torchvision 0.17 removed
    ``torchvision.transforms.functional_tensor``. Upstream: XPixelGroup/BasicSR#650, merged after 1.4.2, not released.
    """
    name = 'torchvision.transforms.functional_tensor'
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = types.ModuleType(name, 'Stand-in made by stea_arch.compat')
    module.rgb_to_grayscale = rgb_to_grayscale
    sys.modules[name] = module


def resume_on_any_device_and_exactly():
    """Resume without a GPU, from the last complete state, at the very sample where the run stopped.

    Breaks: ``basicsr.train.load_resume_state`` asks for a CUDA device; the sampler restarts the epoch, and every
    epoch's workers repeat the same random numbers; runs on small datasets end before ``total_iter``. Since: always.
    Upstream: XPixelGroup/BasicSR has no release after 1.4.2.
    """
    from stea_arch import resume
    from stea_arch.data.sampler import ResumableSampler

    _replace('basicsr.train', 'load_resume_state', lambda original: resume.load_resume_state)
    _replace('basicsr.train', 'EnlargedSampler', lambda original: ResumableSampler)
    _replace('basicsr.train', 'create_train_val_dataloader', resume.with_resumable_data)


def launch_without_gpu():
    """Let ``--launcher pytorch`` start gloo processes on CPUs.

    Breaks: ``init_dist`` divides by the number of GPUs. Since: always.
    """
    from stea_arch.system.launch import with_cpu

    _replace('basicsr.utils.options', 'init_dist', with_cpu)


def force_yml_without_eval():
    """Read the values of ``--force_yml`` as YAML does, and never evaluate them.

    Breaks: a value that starts with a bracket goes through ``eval``, and 1e-4 stays text. Since: always.
    """
    from stea_arch.system.plain_values import parse_value

    _replace('basicsr.utils.options', '_postprocess_yml_value', lambda original: parse_value)


def one_seed_for_a_run():
    """Draw a seed that the option file leaves open for all processes, and so that a resumed run knows it was drawn.

    Breaks: each process draws its own, and another one in every life of a run. Since: always.
    """
    from stea_arch.resume import DrawnSeed

    def drawing(original):
        return types.SimpleNamespace(randint=lambda low, high: DrawnSeed.draw())

    _replace('basicsr.utils.options', 'random', drawing)


def flags_beside_its_own():
    """Let ``parse_options`` read the command line as our commands do: flags, ``--auto-resume``, names of our files.

    Our own flags are passed over; what nobody knows is refused as before. Breaks: it ends with "unrecognized
    arguments", or finds no such file. Since: always.
    """
    from stea_arch.options.shipped import find_option_file

    def tolerant(original):
        class ArgumentParser(original.ArgumentParser):
            def add_argument(self, *names, **kwargs):
                if '--auto_resume' in names:
                    names += ('--auto-resume',)
                return super().add_argument(*names, **kwargs)

            def parse_args(self, *args, **kwargs):
                self.add_argument('--import', action='append', help=original.SUPPRESS)
                self.add_argument('--loose', action='store_true', help=original.SUPPRESS)
                known = super().parse_args(*args, **kwargs)
                known.opt = str(find_option_file(known.opt))
                return known

        return types.SimpleNamespace(ArgumentParser=ArgumentParser)

    _replace('basicsr.utils.options', 'argparse', tolerant)


def several_roots():
    """Let ``dataroot_gt`` be a list, as our datasets take it.

    Breaks: ``parse_options`` expands ``~`` in it by ``os.path.expanduser``, which takes one path. Since: always.
    """

    def several(original):
        def expanduser(path):
            return [expanduser(one) for one in path] if isinstance(path, list) else original.expanduser(path)

        return types.SimpleNamespace(**{**vars(original), 'expanduser': expanduser})

    _replace('basicsr.utils.options', 'osp', several)


def sound_estimate():
    """Let the training's log estimate the time of the steps that are left, and note when there is a first step.

    Breaks: it counts one step too few, so the last line reads ``eta: -1 day, 23:59:59``. Since: always.
    """
    from stea_arch import first_step

    def estimating(original):
        class MessageLogger(original):
            def __init__(self, opt, start_iter=1, tb_logger=None):
                super().__init__(opt, start_iter, tb_logger)
                self.max_iters += 1
                if start_iter > 0:  # resumed
                    first_step.is_made()

            def reset_start_time(self):  # which BasicSR calls after the first step
                super().reset_start_time()
                first_step.is_made()

        return MessageLogger

    _replace('basicsr.train', 'MessageLogger', estimating)


def folders_are_noted():
    """Let a training that ends before its first step take back the folders that it has made.

    Breaks: such a run leaves folders that hold nothing, and takes the name from an older run. Since: always.
    """
    from stea_arch import first_step

    for name in ('make_exp_dirs', 'mkdir_and_rename'):
        _replace('basicsr.train', name, first_step.noting)


def prefetching_hands_errors_on():
    """Let an error in the thread of ``prefetch_mode: cpu`` (one unreadable image too many, say) end the run.

    Breaks: the thread dies, and the training loop waits for its next batch for ever. Since: always.
    """
    _replace('basicsr.data.prefetch_dataloader', 'PrefetchGenerator', _handing_errors_on)


def _handing_errors_on(original):
    class PrefetchGenerator(original):
        error = None

        def run(self):
            try:
                super().run()
            except BaseException as error:
                self.error = error
                self.queue.put(None)

        def __next__(self):
            try:
                return super().__next__()
            except StopIteration:
                if self.error is None:
                    raise
            raise self.error

    return PrefetchGenerator


def only_images_in_folders():
    """Let the datasets that read a folder pass over what is known not to be an image; other names are tried.

    Breaks: a ``Thumbs.db`` or ``notes.txt`` beside the images ends the test in a traceback. Since: always.
    """
    texts = ('.txt', '.md', '.json', '.yml', '.yaml', '.csv', '.xml', '.html', '.pdf', '.log', '.py')
    others = (*texts, '.db', '.ini', '.mat', '.npy', '.npz', '.zip')

    def images_only(original):
        return lambda *args, **kwargs: (p for p in original(*args, **kwargs) if not p.lower().endswith(others))

    for module in ('basicsr.data.single_image_dataset', 'basicsr.data.data_util'):
        _replace(module, 'scandir', images_only)


def one_environment_an_lmdb():
    """Let BasicSR's datasets read an LMDB through the environment that all of the process share.

    Breaks: each dataset opens its own, which lmdb refuses for two on one LMDB (training and validation, gt and lq),
    and the next read hides that behind KeyError 'type'. Since: lmdb 2.0.
    """
    from basicsr.utils.file_client import FileClient

    from stea_arch.data.lmdb_store import SharedLmdb

    FileClient._backends['lmdb'] = SharedLmdb


def wandb_ids():
    """Give ``init_wandb_logger`` the function that it makes the id of a run with.

    Breaks: every run with ``logger.wandb.project``, with AttributeError. Since: wandb 0.20 dropped
    ``wandb.util.generate_id``.
    """

    def with_ids(original):
        def init_wandb_logger(opt):
            import secrets

            import wandb

            if not hasattr(wandb.util, 'generate_id'):
                wandb.util.generate_id = lambda: secrets.token_hex(4)
            original(opt)

        return init_wandb_logger

    _replace('basicsr.train', 'init_wandb_logger', with_ids)


def colours_where_they_were():
    """Leave ``rgb2ycbcr`` and ``bgr2ycbcr`` in ``basicsr.utils.matlab_functions`` too, where HAT and others look.

    Breaks: importing these projects, with ImportError. Since: BasicSR 1.4.
    """
    from basicsr.utils import color_util, matlab_functions

    matlab_functions.rgb2ycbcr, matlab_functions.bgr2ycbcr = color_util.rgb2ycbcr, color_util.bgr2ycbcr


def take_vgg19_from(path):
    """Let BasicSR's perceptual loss, when it is built next, read VGG19 from ``path``.

    Breaks: ``VGGFeatureExtractor`` looks at one fixed place under the working directory, else downloads. Since:
    always. Not part of ``apply``, as the place is an option of the run.

    Args:
        path (str | Path): File with torchvision's state dict of VGG19.
    """
    import basicsr.archs.vgg_arch

    basicsr.archs.vgg_arch.VGG_PRETRAIN_PATH = str(path)


def _replace(module_name, attribute, make):
    """Set ``module.attribute`` to ``make(original)``. The original stays beside it, for tests and a second import."""
    module = importlib.import_module(module_name)
    originals = module.__dict__.setdefault('_stea_arch_originals', {})
    setattr(module, attribute, make(originals.setdefault(attribute, getattr(module, attribute))))
