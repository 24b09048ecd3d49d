"""What README and docs show runs as it is typed, and what they name exists.

A block after ``<!-- runnable -->`` runs in an empty folder that has the clone's options. What stands after ``runnable``
is added to each stea-train, and photographs are cut down, so that it takes seconds.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import stea_arch

ROOT = Path(stea_arch.__file__).parents[1]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'CHANGELOG.md', *sorted((ROOT / 'docs').glob('*.md'))]
MARK = re.compile(r'^<!-- runnable ?(.*?) ?-->$', re.MULTILINE)
BLOCK = re.compile(MARK.pattern + r'\n```(bash|python)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
BLOCKS = {
    f'{page.name}-{number}': match.groups()
    for page in PAGES
    for number, match in enumerate(BLOCK.finditer(page.read_text(encoding='utf-8')), 1)
}
SIDES = {'train': 240, 'val': 64, 'real': 24}  # pixels of the photographs of stea-data sample
CUT = f"""
import sys
from pathlib import Path
from PIL import Image
for folder, side in {SIDES}.items():
    for path in Path(sys.argv[1], folder).iterdir():
        image = Image.open(path)
        left, top = image.width // 3, image.height // 3
        left, top = min(left, image.width - side), min(top, image.height - side)
        image.crop((left, top, left + side, top + side)).save(path)
"""


def commands():
    """The console commands of setup.py: name -> module."""
    found = re.findall(r"'(stea-\w+)=([\w.]+):main'", (ROOT / 'setup.py').read_text(encoding='utf-8'))
    assert found
    return dict(found)


@pytest.fixture
def clone(tmp_path):
    """A folder with the options of the clone, and an environment in which its commands are found."""
    programs, folder = tmp_path / 'bin', tmp_path / 'clone'
    (folder / '.venv/bin').mkdir(parents=True)
    (folder / '.venv/bin/activate').touch()
    (folder / 'options').symlink_to(ROOT / 'options')
    programs.mkdir()
    start = f'{sys.executable} -c "import sys; from {{}} import main; sys.exit(main())" "$@"'
    scripts = {name: start.format(module) for name, module in commands().items()}
    scripts['stea-train'] += ' $ADDED'
    scripts['stea-data'] += f' && if [ "$1" = sample ]; then {sys.executable} -c {shlex.quote(CUT)} "$2"; fi'
    scripts['python'] = f'exec {sys.executable} "$@"'
    files = {programs / name: script for name, script in scripts.items()} | {folder / 'install.sh': ':'}
    for path, script in files.items():
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)
    path = os.pathsep.join([str(programs), os.environ['PATH']])
    return folder, {**os.environ, 'PATH': path, 'PYTHONPATH': str(ROOT)}


@pytest.mark.parametrize('block', BLOCKS)
def test_what_is_shown_runs(clone, block):
    added, language, code = BLOCKS[block]
    folder, environment = clone
    program = ['bash', '-euo', 'pipefail', '-c'] if language == 'bash' else [sys.executable, '-c']
    done = subprocess.run(
        [*program, code], cwd=folder, env={**environment, 'ADDED': added}, capture_output=True, text=True
    )
    assert done.returncode == 0, f'{code}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}'


def test_every_mark_stands_before_a_block():
    assert len(BLOCKS) == sum(len(MARK.findall(page.read_text(encoding='utf-8'))) for page in PAGES) > 8


def anchors(page):
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r'^#+ (.+)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_what_is_named_exists(page):
    text = page.read_text(encoding='utf-8')
    missing = []
    for target in re.findall(r'\]\((?!https?:)([^)]+)\)', text):
        path, _, anchor = target.partition('#')
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)
    paths = re.findall(r'(?<![\w/.])(?:options|benchmarks|docs|tests|tools|stea_arch|data_prep)/[\w./*-]*[\w*]', text)
    missing += [path for path in paths if not list(ROOT.glob(path))]
    known = {file.name for file in (ROOT / 'options').rglob('*.yml')}
    missing += [name for name in re.findall(r'[\w-]+_x\d\w*\.yml', text) if name not in known]
    missing += [name for name in re.findall(r'(?<!\S)\./(\w+\.sh)', text) if not (ROOT / name).is_file()]
    missing += [name for name in re.findall(r'\bstea-[a-z]+', text) if name not in {*commands(), 'stea-report'}]
    missing += [name for name in re.findall(r'python -m ([\w.]+)', text) if not importlib.util.find_spec(name)]
    assert missing == []


def test_the_front_door_stays_short():
    assert len((ROOT / 'README.md').read_text(encoding='utf-8').splitlines()) <= 170


def test_the_citation_names_this_version():
    assert f'\nversion: {stea_arch.__version__}\n' in (ROOT / 'CITATION.cff').read_text(encoding='utf-8')
