"""LabNet on a GPU: is it right there, and how fast is it, beside other networks and beside the limits of the card?

One command, which fits into minutes and can be stopped at any moment: every result is in the JSON as soon as it is
there, the most valuable ones first. What fails is recorded with its error, and the next case follows.

    python benchmarks/gpu.py --minutes 7 --out benchmarks/gpu.json
    python benchmarks/gpu.py --toy --out toy.json    the same stages on the CPU at toy sizes, to see that they run
    python benchmarks/gpu.py --count                 the memory traffic of one block, counted without a GPU

At first helper processes compile all that is to be compiled, while the results are checked; nothing is timed before
they have ended. See gpu_forms.py for the forms of a network, and
gpu_timing.py for how time is taken. The share of the bandwidth is the traffic of all operations, each input and output
counted once as if nothing stayed in a cache, divided by the time and by the bandwidth of a large copy.
"""

import argparse
import functools
import json
import multiprocessing
import os
import sys
import time
import traceback
from pathlib import Path

import torch
from gpu_correctness import check_kernels, check_networks, check_steps
from gpu_forms import Case, make_step, switched
from gpu_kernels import measure_kernels, prepare_kernels
from gpu_timing import count_traffic, free, measure_bandwidth, measure_matrix_rate, peak_memory, time_median
from plain_form import make_plain
from torch._subclasses.fake_tensor import FakeTensorMode

from stea_arch import triton_ops
from stea_arch.archs.block import FusedBlock, LabBlock
from stea_arch.system.files import whole_or_nothing
from stea_arch.system.versions import get_commit, get_versions

PREPARING = 0.3  # largest share of the time that compiling beforehand may take


class Run:
    """What the stages share: device, time that is left, and the report, which is on the disk after every result."""

    def __init__(self, out, minutes, toy, start, resumed):
        self.out, self.toy = out, toy
        self.start, self.end = start, start + 60 * minutes
        self.device = torch.device('cpu' if toy else 'cuda')
        self.report = {'versions': get_versions(), 'commit': get_commit(), 'minutes': minutes, 'results': []}
        if resumed:
            self.report = json.loads(out.read_text())
        self.done = {row['name'] for row in self.report['results']}

    def left(self):
        """Seconds until the time is over."""
        return self.end - time.time()

    def measure(self, name, function, *args):
        """Put what ``function(*args)`` returns, a dict, or how it failed, under ``name`` into the report.

        Returns:
            dict | None: what was put; None if no time was left for it, or it was put before.
        """
        if self.left() < 5 or name in self.done:
            return None
        start = time.time()
        try:
            result = function(*args)
        except Exception as error:
            result = {'error': f'{type(error).__name__}: {error}'[:2000], 'where': traceback.format_exc()[-3000:]}
        result = {'name': name, **result, 'seconds': round(time.time() - start, 2)}
        self.report['results'].append(result)
        self.done.add(name)
        self.write()
        shown = {key: value for key, value in result.items() if key != 'where'}
        print(f'{time.time() - self.start:6.1f} s  {json.dumps(shown)[:600]}', flush=True)
        try:
            free(self.device)
        except RuntimeError as error:
            print(f'The GPU is lost to this process, another one goes on: {error}', flush=True)
            os.execv(sys.executable, [sys.executable, *sys.argv, '--resumed', str(self.start)])
        return result

    def write(self):
        """Put the report to its place on the disk."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with whole_or_nothing(self.out) as path:
            path.write_text(json.dumps(self.report, indent=1) + '\n')


def measure_limits(run):
    """Bandwidth and rate of multiply-adds of the card, which shares are counted in."""
    size, side = (2**20, 64) if run.toy else (2**30, 8192)
    run.report['bandwidth'] = measure_bandwidth(run.device, size)
    return {
        'copy_gigabytes_per_second': round(run.report['bandwidth'] / 1e9, 1),
        'bf16_tera_multiply_adds_per_second': round(measure_matrix_rate(run.device, side) / 1e12, 1),
    }


def measure_form(run, case, form):
    """One form of one step: time, samples a second, memory, traffic."""
    start = time.monotonic()
    made = []  # with its first calls and its capture: a graph's replay allocates nothing that could be watched
    peak = peak_memory(lambda: made.append(make_step(case, form, run.device, run.toy)), run.device)
    step = made.pop()
    peak = peak if 'graph' in form else peak_memory(step, run.device)
    ready = time.monotonic() - start
    timed = time_median(step, run.device, 0.05 if run.toy else 0.8)
    result = {
        'network': case.network,
        'mode': 'train' if case.train else 'infer',
        'input': [case.batch, case.height, case.width],
        'dtype': case.dtype,
        'form': form,
        **timed,
        'images_per_second': round(1000 * case.batch / timed['ms'], 2),
        'peak_mib': peak,
        'ready_seconds': round(ready, 1),
    }
    if 'graph' not in form and 'compile' not in form:
        traffic = count_traffic(step)
        result['traffic_bytes'] = traffic
        result['share_of_bandwidth'] = round(traffic / (timed['ms'] / 1000) / run.report['bandwidth'], 3)
    return result


def count_block(batch, channels, height, width):
    """Traffic of one block's forward in bf16, in sizes of its input, by form: counted on tensors without content.

    ``TRITON_INTERPRET=1`` must be set before Triton is imported, as the tensors are on the CPU; nothing is computed.
    """
    block = LabBlock(channels, 'stea', True).to(torch.bfloat16)
    plain = make_plain(block)
    fused = FusedBlock(block)
    counted = {}
    for name, module, on in [
        ('plain', plain, False),
        ('ours', block, False),
        ('ours+kernels', block, True),
        ('fused', fused, False),
        ('fused+kernels', fused, True),
    ]:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            x = torch.empty(batch, channels, height, width, dtype=torch.bfloat16)
            x = x.contiguous(memory_format=torch.channels_last)
            counted[name] = round(count_traffic(switched(lambda module=module, x=x: module(x), on)) / x.nbytes)
    return counted


def stage_correctness(run):
    """Kernels, networks and steps against operations and machines that are known to be right."""
    for name, function, *args in (*check_kernels(run), *check_networks(run), *check_steps(run)):
        run.measure(f'correct: {name}', function, *args)


def stage_kernels(run):
    """Every kernel against stock operations, at the shapes that the networks meet."""
    for name, function, *args in measure_kernels(run.device, run.toy):
        if run.left() < 0.5 * (run.end - run.start):  # the networks matter more
            return
        run.measure(f'kernels: {name}', function, *args)


def stage_networks(run):
    """Forms of steps, the most wanted first."""
    prepared = run.report.get('preparation', {})
    late = {*prepared.get('failed', ()), *prepared.get('not_done', ())}  # to be compiled here, which takes long
    forms = list_forms(run.toy)
    for case, form in sorted(forms, key=lambda each: name_preparation(*each) in late):
        run.measure(f'{case} {form}', measure_form, run, case, form)


# name -> function of the Run; each gives ``run.measure`` what is to be put into the report, while ``run.left()`` lasts
STAGES = {'correctness': stage_correctness, 'kernels': stage_kernels, 'networks': stage_networks}

FAST = ('ours+kernels+compile+graph', 'ours+planes+compile+graph')


def list_forms(toy):
    """(case, form) of all that is timed, the most wanted first; plain forms twice show how far times repeat."""
    if toy:
        train, infer = (Case('LabNet', 1, 8, 8, 'bf16', each) for each in (True, False))
        return [
            *((train, form) for form in ('plain', 'ours', 'ours+compile', 'ours+graph')),
            *((infer, form) for form in ('plain', 'fused')),
            *((Case('EDSR', 1, 8, 8, 'bf16', each), 'last') for each in (True, False)),
        ]
    forms = []

    def add(network, batch, size, dtype, train, *names):
        height, width = size if isinstance(size, tuple) else (size, size)
        forms.extend((Case(network, batch, height, width, dtype, train), name) for name in names)

    add('LabNet-S', 16, 48, 'bf16', True, 'plain', 'ours', 'ours+graph', 'ours+kernels+graph', 'ours+planes+graph')
    add('LabNet-S', 16, 48, 'bf16', True, 'ours+compile', 'ours+compile+graph', *FAST)
    add('LabNet', 16, 64, 'bf16', True, 'plain', 'plain+graph', 'ours+graph', 'ours+kernels+graph', 'ours+planes+graph')
    add('LabNet', 16, 64, 'bf16', True, 'ours+compile+graph', *FAST)
    add('LabNet', 16, 64, 'bf16', False, 'plain', 'plain+graph', 'ours+graph', 'fused', 'fused+graph')
    add('LabNet', 16, 64, 'bf16', False, 'fused+kernels+graph', 'ours+planes+graph')
    add('LabNet', 16, 64, 'bf16', False, 'fused+compile+graph', 'fused+kernels+compile+graph')
    for network, layout in (('RCAN', 'last'), ('EDSR-L', 'last'), ('SwinIR', 'first')):
        add(network, 16, 64, 'bf16', True, layout, f'{layout}+graph')
        add(network, 16, 64, 'bf16', False, f'{layout}+graph')
    add('EDSR', 16, 48, 'bf16', True, 'last', 'last+graph', 'last+compile+graph')
    for batch, size in ((64, 48), (64, 64)):
        add('LabNet-S', batch, size, 'bf16', True, 'plain', 'ours+graph', 'ours+kernels+graph', *FAST)
        add('EDSR', batch, size, 'bf16', True, 'last+graph')
    add('LabNet', 1, (180, 320), 'bf16', False, 'plain', 'plain+graph', 'fused+graph', 'fused+kernels+graph')
    for network in ('RCAN', 'EDSR-L'):
        add(network, 1, (180, 320), 'bf16', False, 'last+graph')
        add(network, 16, 64, 'bf16', True, 'first+graph')
    add('SwinIR, window 16, of the size of HAT', 16, 64, 'bf16', True, 'first+graph')
    add('SwinIR, window 16, of the size of HAT', 16, 64, 'bf16', False, 'first+graph')
    add('LabNet', 16, 64, 'fp32', True, 'plain+graph', 'ours+graph', 'ours+kernels+graph')
    add('LabNet', 16, 64, 'fp32', False, 'plain+graph', 'fused+graph', 'fused+kernels+graph')
    for batch, size in ((32, 48), (32, 64), (16, 64)):
        add('LabNet-S', batch, size, 'bf16', True, 'ours+kernels+graph', 'ours+planes+graph')
    add('RCAN', 16, 64, 'bf16', True, 'last+compile+graph')
    add('LabNet', 16, 64, 'bf16', True, 'plain')
    add('LabNet', 16, 64, 'bf16', False, 'plain')
    return forms


def list_preparations(toy):
    """Name -> function that compiles something by running it once; the Triton kernels, which all the rest uses, first.

    Networks are cut to two blocks a stage, which is every size and layout of input that a block of the whole one meets.
    """
    jobs = {f'kernels {name}': job for name, job in prepare_kernels(torch.device('cuda'), toy).items()}
    for case, form in list_forms(toy):
        if 'compile' in form and not toy:
            jobs.setdefault(name_preparation(case, form), functools.partial(_run_short, case, form))
    return jobs


def name_preparation(case, form):
    """Under which name a form is prepared, where it is."""
    return f'{case} {form}'.removesuffix('+graph')


def _run_short(case, form):
    make_step(case, form.removesuffix('+graph'), torch.device('cuda'), short=True)()


def _prepare(name):
    """Run one preparation, in a helper process; returns its name, how it failed or None, and the seconds it took."""
    start, error = time.monotonic(), None
    from torch._inductor import config  # not before, as it imports Triton, which reads TRITON_INTERPRET then

    config.compile_threads = 1
    try:
        list_preparations(False)[name]()
        free(torch.device('cuda'))
    except Exception as caught:
        error = f'{type(caught).__name__}: {caught}'[:500]
    return name, error, round(time.monotonic() - start, 1)


class Preparation:
    """Compiles in helper processes, which leave the results in the caches of Triton and Inductor on the disk.

    Made before the GPU is touched, as they are forks of this process.
    """

    def __init__(self, toy):
        self.results = []
        self.names = list(list_preparations(toy))
        self.pool = multiprocessing.get_context('fork').Pool(len(os.sched_getaffinity(0))) if self.names else None
        if self.pool:
            self.pending = {name: self.pool.apply_async(_prepare, (name,)) for name in self.names}

    def wait(self, end, only=''):
        """Until all whose name starts with ``only`` are done, or it is ``end`` by the clock."""
        for name in self.names:
            if name.startswith(only):
                self.pending[name].wait(max(0, end - time.time()))

    def close(self):
        """End the helpers, done or not: for each preparation its error or None and its seconds, if it was done."""
        done = [self.pending[name].get() for name in self.names if self.pending[name].ready()]
        if self.pool:
            self.pool.terminate()
            self.pool.join()
        left = sorted(set(self.names) - {name for name, *_ in done})
        return {
            'seconds_of_each': {name: seconds for name, error, seconds in done if error is None},
            'failed': {name: error for name, error, _ in done if error is not None},
            'not_done': left,
        }


def print_tables(report):
    """The times of all kernels and of all forms of a step, a line each, and what went wrong."""
    for row in report['results']:
        for part, times in row.get('ms', {}).items() if row['name'].startswith('kernels') else ():
            shown = '  '.join(
                f'{way} {ms:.3f}' if isinstance(ms, float) else f'{way} failed' for way, ms in times.items()
            )
            print(f'{row["name"]:38} {part:16} {shown}')
    print(f'{"case":52} {"form":28} {"ms":>9} {"images/s":>9} {"MiB":>7} {"vs plain":>8}')
    first = {}
    for row in report['results']:
        if 'form' not in row or 'error' in row:
            continue
        case = row['name'].removesuffix(f' {row["form"]}')
        base = first.setdefault(case, row['ms'])
        peak = row['peak_mib'] or 0
        shown = f'{row["ms"]:9.3f} {row["images_per_second"]:9.1f} {peak:7} {base / row["ms"]:8.2f}'
        print(f'{case:52} {row["form"]:28} {shown}')
    for row in report['results']:
        if 'error' in row or not row.get('correct', True):
            print('WRONG:', row['name'], row.get('error', row.get('errors')))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=7, help='no case is begun after this time')
    parser.add_argument('--out', type=Path, default=Path('benchmarks/gpu.json'))
    parser.add_argument('--stages', nargs='+', choices=STAGES, default=list(STAGES))
    parser.add_argument('--toy', action='store_true', help='toy sizes on the CPU, kernels in the interpreter')
    parser.add_argument('--resumed', type=float, help=argparse.SUPPRESS)  # start of a run that lost its GPU
    parser.add_argument('--count', action='store_true', help='count the traffic of one block instead')
    args = parser.parse_args()
    if args.toy or args.count:
        os.environ['TRITON_INTERPRET'] = '1'
    if args.count:
        triton_ops.enable()
        print(json.dumps(count_block(16, 128, 64, 64), indent=2))
        return
    preparation = None if args.resumed else Preparation(args.toy)
    start = args.resumed or time.time()
    try:
        if not args.toy:
            triton_ops.enable()
    except RuntimeError as error:
        raise SystemExit(f'This measures a GPU; --toy runs without one. {error}') from None
    torch.backends.cudnn.benchmark = True
    run = Run(args.out, args.minutes, args.toy, start, args.resumed)
    budget = start + PREPARING * 60 * args.minutes
    if preparation:
        preparation.wait(budget, only='kernels')
        run.report['kernels_ready_seconds'] = round(time.time() - start, 1)
    for stage in args.stages:
        if stage != 'correctness':
            if preparation:
                preparation.wait(budget)
                run.report['preparation'] = preparation.close()
                preparation = None
            run.measure('limits', measure_limits, run)
        STAGES[stage](run)
    print_tables(run.report)


if __name__ == '__main__':
    main()
