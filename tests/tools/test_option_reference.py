"""The page of all option keys is what tables and docstrings say, and the shipped files use nothing that it lacks."""

import re
from pathlib import Path

import pytest
from option_reference import main, markdown, page, rows_of

from stea_arch.degradations.second_order_sampling import SecondOrderSampler
from stea_arch.options.kinds import Key, integer
from stea_arch.options.schema import SECOND_ORDER

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_page_is_up_to_date(tmp_path):
    assert main(['--out', str(tmp_path / 'page.md')]) == 0
    committed = (ROOT / 'options/REFERENCE.md').read_text(encoding='utf-8')
    assert (tmp_path / 'page.md').read_text(encoding='utf-8') == committed, 'run python tools/option_reference.py'


def test_every_key_marked_as_ours_in_the_option_files_is_on_the_page():
    keys = set(re.findall(r'^\| `(?:[\w.]+\.)?(\w+)`', page(), re.MULTILINE))
    marked = {}
    for file in sorted((ROOT / 'options').rglob('*.yml')):
        for line in file.read_text(encoding='utf-8').splitlines():
            found = re.match(r'\s*(\w+):.*# ours', line)
            if found and found[1] not in ('type', 'model_type', 'name'):
                marked[found[1]] = f'{file.relative_to(ROOT)}: {line.strip()}'
    assert len(marked) > 20
    assert not {key: where for key, where in marked.items() if key not in keys}


def test_types_marked_as_ours_have_a_section():
    text = page()
    for name in ('LabNet', 'RealNet', 'Bicubic', 'ClassicalDegradationDataset', 'RealWorldDataset'):
        assert f'type: {name}`\n' in text


def test_a_key_without_a_meaning_is_an_error():
    with pytest.raises(KeyError, match=r'nothing says what train\.unheard_of means'):
        list(rows_of({'unheard_of': Key(integer())}, 'train.'))


def test_the_second_pass_is_said():
    rows = {name: (meaning) for name, _, meaning in rows_of(SECOND_ORDER, defaults_of=SecondOrderSampler)}
    assert rows['jpeg_range2'] == 'Lowest and highest quality, above 0, to 100 (second pass). Default: [30.0, 95.0]'


def test_bars_do_not_break_the_table():
    assert markdown([('key', 'a | b', 'c')]).splitlines()[-1] == '| `key` | a \\| b | c |'
