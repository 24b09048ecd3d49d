import json

import second_order_speed


def test_benchmark_measures_all_parts(tmp_path, capsys):
    sizes = ['--region', '96', '--gt-size', '64', '--rounds', '3', '--num-feat', '16', '--num-blocks', '1']
    second_order_speed.main(['--out', str(tmp_path / 'new' / 'speed.json'), *sizes])
    report = json.loads((tmp_path / 'new' / 'speed.json').read_text())
    row = report['rows'][0]
    assert report['versions']['threads'] == 1 and 'share' in capsys.readouterr().out
    assert all(row[f'{name}_ms'] > 0 for name in ('kernels', 'ours', 'basicsr', 'network')) and 0 < row['share'] < 1
