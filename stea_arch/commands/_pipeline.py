"""What ``stea-train`` and ``stea-test`` share: BasicSR's flags, the strict check, and errors without a traceback."""

import argparse
import gc
import logging
import os
import sys
from pathlib import Path

from stea_arch.first_step import undo_start
from stea_arch.options import OptionError, read_options
from stea_arch.system.allocator import keep_freed_memory
from stea_arch.system.errors import InputError
from stea_arch.system.imports import add_flag, import_modules
from stea_arch.system.stopping import Stopped, request
from stea_arch.system.threads import choose_threads, watch_cores


def run(is_train):
    """Check the option file named on the command line, then hand over to BasicSR's pipeline.

    The working directory is the root: ``experiments/``, ``results/`` and ``tb_logger/`` are made there. A wrong
    option file ends the program with status 2 and the list of what is wrong; data, a checkpoint or a training that
    turns out to be bad, or a full disk, ends it with status 1 and the error's own paragraph. SIGINT and SIGTERM let a
    training save its state before it ends. Any other error keeps its traceback.
    """
    args = _parser(is_train).parse_args()
    keep_freed_memory()
    watch_cores()
    opt = None
    try:
        with request.listening():
            try:
                import_modules(args.imports)
                opt = read_options(args.opt, args.force_yml or (), is_train=is_train, loose=args.loose)
            except (OptionError, InputError, OSError) as error:
                _end(args, 2, f'{args.opt}: {error}')
            _run_pipeline(args, is_train)
    except Stopped as stopped:
        what = f'{stopped.saved} is saved; --auto_resume continues from it' if stopped.saved else 'no step was made'
        _end(args, 128 + stopped.signal, f'Stopped: {what}.')
    except KeyboardInterrupt:
        _end(args, 128 + (request.signal or 2), f'\nInterrupted.{_what_is_saved(args, opt) if is_train else ""}')


def _run_pipeline(args, is_train):
    import torch.distributed as dist

    from stea_arch.models.training import TrainingDiverged
    from stea_arch.weights.files import CheckpointNotWritten

    if is_train:
        from basicsr.train import train_pipeline as pipeline
    else:
        from basicsr.test import test_pipeline as pipeline
    choose_threads()
    logging.raiseExceptions = False  # a full disk must not answer each line of the log with a traceback
    try:
        pipeline(os.getcwd())
    except (InputError, OSError, TrainingDiverged, CheckpointNotWritten) as error:
        _end(args, 1, f'{args.opt}: {error}')
    finally:
        gc.collect()  # the model refers to itself: its heartbeat and its process group end with it, not later or never
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        if is_train:
            undo_start(args.opt)


def _end(args, status, text):
    """Leave the program; of several processes the first one says why."""
    if status != 2 or int(os.environ.get('RANK', 0)) == 0:
        print(text, file=sys.stderr)
    sys.exit(status)


def _what_is_saved(args, opt):
    """What there is to continue from after an interruption in the midst of things."""
    if opt is None:
        return ''
    name = opt['name'] if not args.debug or opt['name'].startswith('debug') else f'debug_{opt["name"]}'
    states = list(Path('experiments', name, 'training_states').glob('*.state'))
    newest = max(states, key=lambda state: state.stat().st_mtime, default=None)
    return f' --auto_resume continues from {newest}.' if newest else ' No state had been saved.'


def _parser(is_train):
    verb = 'train' if is_train else 'test'
    parser = argparse.ArgumentParser(
        prog=f'stea-{verb}',
        description=f'Check a BasicSR option file strictly, then {verb} with it.',
        allow_abbrev=False,  # BasicSR reads the same command line
    )
    parser.add_argument('-opt', required=True, metavar='FILE', help='option file (YAML)')
    parser.add_argument('--force_yml', nargs='+', metavar='KEY:KEY=VALUE', help='override values of the file')
    add_flag(parser)
    parser.add_argument('--loose', action='store_true', help='only warn of keys that nothing reads')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='pytorch: torchrun')
    parser.add_argument(
        '--auto_resume', '--auto-resume', action='store_true', help='continue from the last complete state'
    )
    parser.add_argument('--debug', action='store_true', help="BasicSR's debug mode: validate and save often")
    parser.add_argument('--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser
