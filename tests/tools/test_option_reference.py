"""The page of all option keys is what tables and docstrings say, and the shipped files use nothing that it lacks."""

import re
from pathlib import Path

import pytest
from option_reference import described, main, markdown, meaning_of, page

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


def test_docstring_entries():
    text = """Something.

    Args:
        first (int): A number,
            and more of it: two lines.
        second (str), third (str | None): Both.

    - ``train.fourth`` (``a`` | ~, default ~): a word.

    not an entry: because it has no brackets.
    """
    assert described(text) == {
        'first': 'A number, and more of it: two lines.',
        'second': 'Both.',
        'third': 'Both.',
        'fourth': 'a word.',
    }


def test_the_second_pass_is_said():
    assert meaning_of('blur_prob2', ['x\n\nblur_prob (float): probability.']) == 'Probability (second pass)'


def test_a_key_without_a_meaning_is_an_error():
    with pytest.raises(KeyError, match='no docstring says what unheard_of means'):
        meaning_of('unheard_of', ['', None])


def test_bars_do_not_break_the_table():
    assert markdown([('key', 'a | b', ':func:`stea_arch.x.f` of ``y``')]).splitlines()[-1] == (
        '| `key` | a \\| b | `f` of `y` |'
    )
