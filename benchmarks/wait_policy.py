"""What a training step costs with threads that spin, sleep or are few, on a quiet and on a busy machine.

    python benchmarks/wait_policy.py --out benchmarks/wait_policy.json

Steps of LabNet-T on four patches of 48x48, in a process of its own for each policy, in turn. ``busy`` is the same
beside as many loops of arithmetic as there are cores, ``crowded`` beside three times as many. Minimum, median and
maximum of the seconds of a step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORES = str(len(os.sched_getaffinity(0)))
LOADS = {'quiet': 0, 'busy': 1, 'crowded': 3}  # loops for each core
POLICIES = {
    'active': {'OMP_WAIT_POLICY': 'active', 'OMP_NUM_THREADS': CORES},
    'passive': {'OMP_WAIT_POLICY': 'passive', 'OMP_NUM_THREADS': CORES},
    'as the commands, all cores': {'OMP_NUM_THREADS': CORES},
    'as the commands': {},  # see stea_arch.system.threads
}
STEPS = """
from stea_arch.system.threads import choose_threads, wait_passively, watch_cores
wait_passively()
watch_cores()
import json, time, torch
choose_threads()
from stea_arch.archs.labnet_arch import LabNet
net = LabNet(num_feat=16, num_blocks=[1, 1, 1, 1, 1, 1], upscale=2, dilations=[2, 3], padding='partial')
optimizer = torch.optim.Adam(net.parameters(), fused=True)
lq, gt = torch.rand(4, 3, 48, 48), torch.rand(4, 3, 96, 96)
seconds = []
for step in range({steps} + 2):
    start = time.perf_counter()
    optimizer.zero_grad()
    torch.nn.functional.l1_loss(net(lq), gt).backward()
    optimizer.step()
    seconds.append(time.perf_counter() - start)
print(json.dumps(seconds[2:]))
"""


def measure(policy, steps, loops, limit):
    """Seconds of each step; None where they took longer than ``limit`` seconds altogether."""
    env = {key: value for key, value in os.environ.items() if key != 'OMP_NUM_THREADS'}
    env |= {'PYTHONPATH': str(ROOT), **POLICIES[policy]}
    running = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(int(CORES) * loops)]
    try:
        command = [sys.executable, '-c', STEPS.format(steps=steps)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit, check=True)
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for loop in running:
            loop.kill()
            loop.wait()


def main(argv=None):
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description='Seconds of a training step by how threads wait.')
    parser.add_argument('--steps', type=int, default=10)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--limit', type=float, default=300, help='seconds after which a process is given up')
    parser.add_argument('--out', type=Path, metavar='JSON')
    args = parser.parse_args(argv)

    from stea_arch.system.versions import get_versions

    load_before = os.getloadavg()
    rows = {(load, policy): [] for load in LOADS for policy in POLICIES}
    for _ in range(args.rounds):
        for (load, policy), seconds in rows.items():
            found = measure(policy, args.steps, LOADS[load], args.limit)
            seconds.append(found)
            print(load, policy, 'given up' if found is None else f'{statistics.median(found):.2f} s a step', flush=True)
    table = []
    for (load, policy), rounds in rows.items():
        steps = sorted(second for found in rounds if found for second in found)
        row = {'load': load, 'policy': policy, 'given_up': rounds.count(None)}
        if steps:
            row |= {'min': steps[0], 'median': statistics.median(steps), 'max': steps[-1]}
        table.append(row)
    content = {'protocol': __doc__, 'steps': args.steps, 'load_average': load_before, 'rows': table}
    content |= {'versions': get_versions()}
    if args.out:
        args.out.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
