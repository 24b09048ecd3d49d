"""What ``stea-train`` and ``stea-test`` share: BasicSR's flags, the strict check, and errors without a traceback."""

import argparse
import os
import sys
import traceback

import torch.distributed as dist

import stea_arch  # noqa: F401  (fills the registries)
from stea_arch.models.training import TrainingDiverged
from stea_arch.options import OptionError, read_options
from stea_arch.system.allocator import keep_freed_memory
from stea_arch.weights.files import CheckpointNotWritten


def run(is_train):
    """Check the option file named on the command line, then hand over to BasicSR's pipeline.

    The working directory is the root: ``experiments/``, ``results/`` and ``tb_logger/`` are made there. A wrong
    option file ends the program with status 2 and the list of what is wrong; data, a checkpoint or a training that
    turns out to be bad, or a full disk, ends it with status 1 and the error's own paragraph. Any other error keeps its
    traceback.
    """
    args = _parser(is_train).parse_args()
    keep_freed_memory()
    try:
        read_options(args.opt, args.force_yml or (), is_train=is_train)
    except (OptionError, FileNotFoundError) as error:
        if int(os.environ.get('RANK', 0)) == 0:
            print(f'{args.opt}: {error}', file=sys.stderr)
        sys.exit(2)
    if is_train:
        from basicsr.train import train_pipeline as pipeline
    else:
        from basicsr.test import test_pipeline as pipeline
    try:
        pipeline(os.getcwd())
    except KeyboardInterrupt:
        print('\nInterrupted. --auto_resume continues from the last saved state.', file=sys.stderr)
        sys.exit(130)
    except (ValueError, FileNotFoundError, TrainingDiverged, CheckpointNotWritten) as error:
        if not _raised_by_us(error):
            raise
        print(f'{args.opt}: {error}', file=sys.stderr)
        sys.exit(1)
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def _raised_by_us(error):
    """Whether the error was raised in this package, with a message meant for whoever wrote the option file."""
    if type(error).__module__.startswith('stea_arch.'):  # also one that a loader process has passed on
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals['__name__'].partition('.')[0] == 'stea_arch'


def _parser(is_train):
    verb = 'train' if is_train else 'test'
    parser = argparse.ArgumentParser(
        prog=f'stea-{verb}', description=f'Check a BasicSR option file strictly, then {verb} with it.'
    )
    parser.add_argument('-opt', required=True, metavar='FILE', help='option file (YAML)')
    parser.add_argument('--force_yml', nargs='+', metavar='KEY:KEY=VALUE', help='override values of the file')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='pytorch: torchrun')
    parser.add_argument('--auto_resume', action='store_true', help='continue from the last complete state')
    parser.add_argument('--debug', action='store_true', help="BasicSR's debug mode: validate and save often")
    parser.add_argument('--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser
