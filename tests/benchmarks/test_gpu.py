import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import gpu_pack
import pytest
import torch
import torch.nn.functional as F
from gpu import Run
from gpu_correctness import judge, relative
from gpu_timing import count_traffic

ROOT = Path(__file__).parents[2]


def run_script(*arguments, **environment):
    command = [sys.executable, str(ROOT / 'benchmarks' / 'gpu.py'), *arguments]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_refuses_without_cuda(tmp_path):
    run = run_script('--out', str(tmp_path / 'gpu.json'), CUDA_VISIBLE_DEVICES='')
    assert run.returncode == 1 and 'This measures a GPU; --toy runs without one. The Triton kernels' in run.stderr
    assert not list(tmp_path.iterdir())


def test_counts_what_operations_move():
    x, weight = torch.randn(2, 4, 8, 8), torch.randn(6, 4, 1, 1, requires_grad=True)

    def convolve():
        return F.gelu(F.conv2d(x.flip(0).permute(0, 1, 3, 2), weight)).view(-1)

    # flip and GELU read and write a map, the convolution reads the weight too; permute and view are free
    maps = 2 * x.nbytes + (x.nbytes + 3 * x.nbytes // 4 * 2) + 2 * (x.nbytes * 3 // 2)
    assert count_traffic(convolve) == maps + weight.nbytes


def test_counts_a_block_without_a_gpu():
    run = run_script('--count')
    if importlib.util.find_spec('triton') is None:
        assert 'The Triton kernels cannot be used' in run.stderr
        return
    counted = json.loads(run.stdout)
    assert 0 < counted['fused+kernels'] < counted['ours+kernels'] < counted['plain'] < counted['fused']  # deals out


def test_all_stages_at_toy_size(tmp_path):
    out = tmp_path / 'gpu.json'
    run = run_script('--toy', '--minutes', '10', '--out', str(out))
    assert run.returncode == 0, run.stderr[-3000:]
    rows = {row['name']: row for row in json.loads(out.read_text())['results']}
    failed = {name: row['error'] for name, row in rows.items() if 'error' in row}
    graph = failed.pop('LabNet training step 1x8x8 bf16 ours+graph')
    assert graph == 'RuntimeError: a CUDA graph needs CUDA', 'a case that fails is written down, and the next follows'
    if importlib.util.find_spec('triton') is not None:
        assert not failed
    checked = [row for name, row in rows.items() if name.startswith('correct') and name not in failed]
    assert checked and all(row['correct'] for row in checked)
    steps = [row for row in rows.values() if 'form' in row]
    assert {row['mode'] for row in steps} == {'train', 'infer'} and all(row['ms'] > 0 for row in steps)
    assert next(iter(rows.values()))['name'] in run.stdout


def test_what_is_wrong_is_seen():
    exact = torch.randn(4, dtype=torch.float64)
    assert not judge({'results': relative(exact.float() * 1.001, exact)}, 1e-4)['correct']
    assert not judge({'results': relative(exact * float('nan'), exact)}, 1e-4)['correct']


def test_stops_in_time_and_goes_on_where_it_stopped(tmp_path):
    run = Run(tmp_path / 'gpu.json', 1, True, time.time(), None)
    assert run.measure('first', dict, {'value': 1})['value'] == 1
    assert run.measure('first', dict) is None
    later = Run(tmp_path / 'gpu.json', 1, True, time.time(), run.start)
    assert later.measure('first', dict) is None
    assert later.measure('second', lambda: 1 / 0)['error'] == 'ZeroDivisionError: division by zero'
    assert [row['name'] for row in json.loads(run.out.read_text())['results']] == ['first', 'second']
    over = Run(tmp_path / 'late.json', 1, True, time.time() - 60, None)
    assert over.measure('first', dict) is None and not over.out.exists()


def test_pack(tmp_path, monkeypatch):
    images = tmp_path / 'photos'
    (images / 'a').mkdir(parents=True)
    (images / 'a' / 'one.jpg').write_bytes(bytes(2**20))
    (images / 'two.PNG').write_bytes(bytes(10))
    (images / 'notes.txt').write_bytes(bytes(10))
    monkeypatch.setattr(gpu_pack, 'fetch_wheels', lambda folder, python: (folder / f'{python}.whl').write_bytes(b'123'))
    pack = tmp_path / 'pack'
    monkeypatch.setattr(sys, 'argv', ['gpu_pack.py', str(pack), str(images), '--most', '2'])
    gpu_pack.main()
    files = sorted(str(path.relative_to(pack)) for path in pack.rglob('*') if path.is_file())
    assert files == ['data/photos/a_one.jpg', 'data/photos/two.PNG', 'wheels/3.12.whl']
    with pytest.raises(SystemExit, match='exists'):
        gpu_pack.main()
    monkeypatch.setattr(sys, 'argv', ['gpu_pack.py', str(tmp_path / 'large'), str(images), '--most', '0.5'])
    with pytest.raises(SystemExit, match=r'more than the 0\.5 MiB'):
        gpu_pack.main()
