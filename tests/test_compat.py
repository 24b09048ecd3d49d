"""Each patch of compat.py is still needed, does what it says, and survives being applied twice."""

import argparse
import contextlib
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import threading

import basicsr.data.prefetch_dataloader
import basicsr.train
import basicsr.utils.options
import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY

import stea_arch
from stea_arch import resume, train
from stea_arch.data.sampler import ResumableSampler
from stea_arch.system.errors import InputError
from stea_arch.system.opencv import check_opencv


def original(module, name):
    return module._stea_arch_originals[name]


def test_basicsr_cannot_be_imported_without_us():
    """Fails once BasicSR or torchvision has mended it: then drop ``restore_functional_tensor``."""
    done = subprocess.run([sys.executable, '-c', 'import basicsr'], capture_output=True, text=True)
    assert "No module named 'torchvision.transforms.functional_tensor'" in done.stderr


def test_grayscale_is_torchvision_s():
    from torchvision.transforms.functional import rgb_to_grayscale

    assert importlib.import_module('basicsr.data.degradations').rgb_to_grayscale is rgb_to_grayscale


def test_basicsr_resumes_on_cuda_only():
    """Fails once ``load_resume_state`` asks for no device: then ours need only pick the last complete state."""
    assert 'torch.cuda.current_device()' in inspect.getsource(original(basicsr.train, 'load_resume_state'))
    assert basicsr.train.load_resume_state is resume.load_resume_state


def test_basicsr_samples_without_position():
    assert not hasattr(original(basicsr.train, 'EnlargedSampler'), 'start_at')
    assert basicsr.train.EnlargedSampler is ResumableSampler


def test_basicsr_cannot_launch_on_a_cpu(monkeypatch):
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(ZeroDivisionError):
        original(basicsr.utils.options, 'init_dist')('pytorch')


def test_launcher_without_torchrun_says_how_to_start(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r'RANK, WORLD_SIZE, LOCAL_RANK is not set.*torchrun --nproc_per_node'):
        basicsr.utils.options.init_dist('pytorch')


def test_restarts_that_would_hang_are_refused(monkeypatch):
    variables = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'TORCHELASTIC_MAX_RESTARTS')
    for name in variables:
        monkeypatch.setenv(name, '1')
    monkeypatch.setenv('TORCHELASTIC_USE_AGENT_STORE', 'True')
    with pytest.raises(InputError, match='--max-restarts=1 expects TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1'):
        basicsr.utils.options.init_dist('pytorch')


def test_basicsr_evaluates_forced_values_and_we_do_not(tmp_path):
    code = f"[__import__('os').mkdir({str(tmp_path / 'executed')!r})]"
    original(basicsr.utils.options, '_postprocess_yml_value')(code)
    assert (tmp_path / 'executed').is_dir()
    (tmp_path / 'executed').rmdir()
    with contextlib.suppress(ValueError):
        basicsr.utils.options._postprocess_yml_value(code)
    assert not (tmp_path / 'executed').exists()
    assert basicsr.utils.options._postprocess_yml_value('1e-4') == 1e-4
    assert basicsr.utils.options._postprocess_yml_value('[1, 2]') == [1, 2]


def test_basicsr_draws_a_seed_for_each_process():
    """Fails once it is drawn once for all of them: then ``DrawnSeed`` need only say that it was drawn."""
    assert 'seed = random.randint(1, 10000)' in inspect.getsource(basicsr.utils.options.parse_options)
    assert isinstance(basicsr.utils.options.random.randint(1, 10000), resume.DrawnSeed)


def test_basicsr_expands_one_path_and_we_expand_lists(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    with pytest.raises(TypeError):
        original(basicsr.utils.options, 'osp').expanduser(['~/a', 'b'])
    assert basicsr.utils.options.osp.expanduser(['~/a', 'b']) == ['/home/me/a', 'b']
    assert basicsr.utils.options.osp.expanduser('~/a') == '/home/me/a'
    assert basicsr.utils.options.osp.join('a', 'b') == os.path.join('a', 'b')


def test_importing_twice_is_harmless():
    names = dict.fromkeys(('LabNet', 'RealNet', 'Bicubic'), ARCH_REGISTRY)
    names |= dict.fromkeys(('ClassicalDegradationDataset', 'RealWorldDataset'), DATASET_REGISTRY)
    names |= dict.fromkeys(('LabNetModel', 'RealNetModel', 'RealGANModel'), MODEL_REGISTRY)
    before = basicsr.train.create_train_val_dataloader, original(basicsr.train, 'create_train_val_dataloader')
    importlib.reload(stea_arch)
    code = (
        'import sys, stea_arch\n'
        'for name in [n for n in sys.modules if n.startswith("stea_arch")]: del sys.modules[name]\n'
        'import stea_arch\n'
        'from basicsr.archs import build_network\n'
        'print(sum(p.numel() for p in build_network({"type": "LabNet", "num_feat": 16}).parameters()))\n'
        'import basicsr.train as t\n'
        'print(t._stea_arch_originals["create_train_val_dataloader"].__module__)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == 'basicsr.train', done.stderr
    assert all(name in registry for name, registry in names.items())
    assert original(basicsr.train, 'create_train_val_dataloader') is before[1]


def test_an_error_while_prefetching_ends_the_run(monkeypatch):
    """Without the patch the thread ends and leaves nothing to take, for which the loop would wait."""
    module = basicsr.data.prefetch_dataloader

    def images():
        yield 1
        raise ValueError('no image')

    monkeypatch.setattr(threading, 'excepthook', lambda args: None)
    theirs = original(module, 'PrefetchGenerator')(images(), 2)
    theirs.join(10)
    assert not theirs.is_alive() and theirs.queue.qsize() == 1
    ours = module.PrefetchGenerator(images(), 2)
    assert next(ours) == 1
    with pytest.raises(ValueError, match='no image'):
        next(ours)
    assert list(module.PrefetchDataLoader(1, dataset=[1, 2, 3], batch_size=None)) == [1, 2, 3]


def test_colours_are_where_older_projects_look():
    from basicsr.utils import color_util, matlab_functions

    assert 'def rgb2ycbcr' not in inspect.getsource(matlab_functions)
    assert matlab_functions.rgb2ycbcr is color_util.rgb2ycbcr


WANDB = """
import json, types
util = types.SimpleNamespace()  # as of 0.20
def init(*, project, name, id, resume, config, sync_tensorboard):
    json.dump([project, name, id, resume, config['scale'], sync_tensorboard], open('wandb.json', 'w'))
"""


def test_wandb_follows_a_run(tiny_options, run_main, tmp_path, monkeypatch, capsys):
    """A module stands in for the real one, with its arguments and the names that BasicSR asks for."""
    options = tiny_options({'val': ..., 'train': {'total_iter': 1}, 'logger': {'use_tb_logger': True}})
    options['logger']['wandb'] = {'project': 'mine'}
    monkeypatch.setitem(sys.modules, 'wandb', None)
    with pytest.raises(SystemExit):
        run_main(train.main, options)
    assert 'logger.wandb: needs the package wandb: pip install wandb' in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, 'wandb')
    (tmp_path / 'wandb.py').write_text(WANDB)
    monkeypatch.syspath_prepend(tmp_path)
    run_main(train.main, options)
    *known, resume, scale, synchronized = json.loads((tmp_path / 'wandb.json').read_text())
    assert known[:2] == ['mine', 'tiny'] and re.fullmatch('[0-9a-f]{8}', known[2])
    assert (resume, scale, synchronized) == ('never', 2, True)
    monkeypatch.delitem(sys.modules, 'wandb')


def test_opencv_without_system_libraries_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv2', None)
    real_import = __import__

    def without_libgl(name, *args, **kwargs):
        if name == 'cv2':
            raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr('builtins.__import__', without_libgl)
    with pytest.raises(ImportError, match=r'libGL\.so\.1.*\n.*opencv-python-headless'):
        check_opencv()


def test_flags_are_those_of_basicsr(monkeypatch, tmp_path):
    """BasicSR parses the same command line after us, and passes over our own flags alone."""
    from stea_arch.commands._pipeline import _parser

    class Seen(Exception):
        pass

    def stop(parser, *args):
        raise Seen(parser)

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_known_args', stop)
    with pytest.raises(Seen) as seen:
        basicsr.utils.options.parse_options(os.fspath(tmp_path))
    theirs, ours = (
        {flag for action in parser._actions for flag in action.option_strings}
        for parser in (seen.value.args[0], _parser(True))
    )
    assert ours == theirs


def test_basicsr_takes_auto_resume_written_with_a_hyphen(tiny_options, run_main):
    opt = {}
    flags = ['--auto-resume', '--import', 'a', '--import', './b.py', '--loose']
    run_main(lambda: opt.update(basicsr.utils.options.parse_options('.')[0]), tiny_options(), *flags)
    assert opt['auto_resume']


def test_basicsr_refuses_flags_that_nobody_knows(tiny_options, fail_main):
    error = fail_main(2, lambda: basicsr.utils.options.parse_options('.'), tiny_options(), '--force-yml', 'name=other')
    assert 'unrecognized arguments: --force-yml name=other' in error


def test_folders_of_every_kind_of_image_are_read(tmp_path):
    """Names are sorted as OpenCV's decoders and other programs' files have them."""
    images = ['a.ppm', 'b.pgm', 'c.jp2', 'd.exr', 'e.hdr', 'f.PNG', 'g.avif', 'h']
    for name in [*images, 'Thumbs.db', 'notes.TXT', 'meta.json', 'desktop.ini', 'README.md', '.hidden.png']:
        (tmp_path / name).touch()
    options = {'dataroot_lq': str(tmp_path), 'io_backend': {'type': 'disk'}}
    assert [os.path.basename(path) for path in DATASET_REGISTRY.get('SingleImageDataset')(options).paths] == images
    found = basicsr.data.data_util.paths_from_folder(str(tmp_path))
    assert sorted(found) == [str(tmp_path / name) for name in images]
