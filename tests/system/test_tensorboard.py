"""TensorBoard starts on the log of a training, after nothing but this package was installed."""

import json
import re
import subprocess
import sys
import urllib.request

import pytest
from waiting import wait_until

from stea_arch import train


@pytest.fixture
def log(tiny_options, run_main):
    options = tiny_options({'train': {'total_iter': 4}, 'val': {'val_freq': 4}})
    options['logger'] |= {'use_tb_logger': True, 'print_freq': 2}
    return run_main(train.main, options) / 'tb_logger'


def test_it_starts_and_shows_scalars_and_images(log, tmp_path):
    command = [sys.executable, '-m', 'tensorboard.main', '--logdir', str(log), '--port', '0', '--load_fast=false']
    with open(tmp_path / 'out.txt', 'w+') as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            said = tmp_path / 'out.txt'
            wait_until(lambda: re.search(r'http://\S+:\d+/', said.read_text()), process, said)
            port = re.search(r'http://\S+:(\d+)/', said.read_text())[1]

            def ask(path):
                with urllib.request.urlopen(f'http://localhost:{port}/data/plugin/{path}', timeout=60) as answer:
                    return json.load(answer)

            wait_until(lambda: ask('scalars/tags'), process, said)
            losses = ask('scalars/scalars?run=tiny&tag=losses/l_pix')
            assert [step for _, step, _ in losses] == [2, 4] and all(value > 0 for *_, value in losses)
            (metric,) = ask('scalars/scalars?run=tiny&tag=metrics/val/psnr')
            assert metric[1] == 4 and metric[2] > 10
            images = ask('images/images?run=tiny&tag=crops/val&sample=0')
            assert [image['step'] for image in images] == [4]
        finally:
            process.kill()
            process.wait()
