import importlib.util
import json
from pathlib import Path


def test_benchmark_measures_all_parts(tmp_path, capsys):
    path = Path(__file__).parents[2] / 'benchmarks' / 'second_order_speed.py'
    spec = importlib.util.spec_from_file_location('second_order_speed', path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    sizes = ['--region', '96', '--gt-size', '64', '--rounds', '3', '--num-feat', '16', '--num-blocks', '1']
    benchmark.main(['--out', str(tmp_path / 'new' / 'speed.json'), *sizes])
    report = json.loads((tmp_path / 'new' / 'speed.json').read_text())
    row = report['rows'][0]
    assert report['versions']['threads'] == 1 and 'share' in capsys.readouterr().out
    assert all(row[f'{name}_ms'] > 0 for name in ('kernels', 'ours', 'basicsr', 'network')) and 0 < row['share'] < 1
