"""What setup.py names is what the code needs: every import, every file that is no Python."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]
MADE = ('.*', '*.egg-info', '__pycache__', 'build', 'dist', 'datasets', 'experiments', 'results', 'runs', 'tb_logger')
DISTRIBUTIONS = {
    'cv2': 'opencv-python',
    'PIL': 'pillow',
    'yaml': 'pyyaml',
    'skimage': 'scikit-image',
    'pillow_jxl': 'pillow-jxl-plugin',
}


@pytest.fixture(scope='module')
def arguments():
    """Those that setup.py calls ``setup`` with."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, 'setup', lambda **arguments: found.update(arguments))
        patch.chdir(ROOT)
        exec(compile((ROOT / 'setup.py').read_text(), str(ROOT / 'setup.py'), 'exec'), {'__file__': ROOT / 'setup.py'})
    return found


def imports(folder):
    """Top-level modules that the files under a folder import, but for Python's own and ours; PyTorch brings Triton."""
    names = set()
    for file in (ROOT / folder).rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    names = {name.partition('.')[0] for name in names}
    ours = {
        file.stem for place in (folder, 'benchmarks', 'tools') for file in (ROOT / place).rglob('*.py')
    }  # run as scripts
    return names - sys.stdlib_module_names - {'stea_arch', 'data_prep', 'triton'} - ours


def distributions(requirements):
    return {requirement.partition('>')[0].partition('=')[0].lower() for requirement in requirements}


@pytest.mark.parametrize(
    ('folder', 'extras'),
    [
        ('data_prep', []),
        ('stea_arch', ['formats', 'metrics', 'openvino', 'spandrel', 'video', 'wandb']),
        ('tests', ['tests']),
        ('benchmarks', ['benchmarks']),
    ],
)
def test_every_import_is_named(arguments, folder, extras):
    named = [*arguments['install_requires'], *(name for extra in extras for name in arguments['extras_require'][extra])]
    needed = {DISTRIBUTIONS.get(name, name).lower().replace('_', '-') for name in imports(folder)}
    assert needed and needed <= distributions(named)


def test_every_file_beside_the_code_is_installed(arguments):
    installed = set()
    for package, patterns in arguments['package_data'].items():
        folder = ROOT / package.replace('.', '/')
        installed |= {file for pattern in patterns for file in folder.glob(pattern)}
    folders = [ROOT / package.replace('.', '/') for package in arguments['packages']]
    files = {file for folder in folders for file in folder.iterdir() if file.is_file() and file.suffix != '.py'}
    assert files and files <= installed
    # folders without an __init__.py would be left out altogether
    assert {file.parent for name in ('stea_arch', 'data_prep') for file in (ROOT / name).rglob('*.py')} == set(folders)


PYTHON = f"""#!/bin/sh
# an interpreter of Python VERSION whose pip only notes what it was asked for
torch="${{0%/bin/python}}/torch"
echo "$*" >> asked.txt
case "$*" in
*version_info*) exec {sys.executable} -c "import sys; sys.version_info = (VERSION, 0); $2" ;;
*urlopen*) exit $UNREACHABLE ;;
*"import torch"*) [ -n "$PYTHONPATH" ] && echo cpu || cat "$torch" 2>/dev/null ;;
*"-m venv"*)
    for last; do :; done
    rm -rf $last && mkdir -p $last/bin && cp "$0" $last/bin/python && touch $last/pip $last/bin/activate ;;
*"-m pip"*)
    [ -f "${{0%/bin/python}}/pip" ] || exit 1
    case "$*" in
    *uninstall*) rm "$torch" ;;
    *"torch torchvision"*) [ -f "$torch" ] || case "$*" in *whl/cpu*) echo cpu ;; *) echo cuda ;; esac > "$torch" ;;
    esac ;;
esac
"""


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def python(version):
    return PYTHON.replace('VERSION', version.replace('.', ', '))


@pytest.fixture
def clone(tmp_path):
    """A folder with the scripts and, as bin/python3, a Python 3.11 that installs nothing."""
    for name in ('install.sh', 'setup.py', 'tests/minimum.sh'):
        write(tmp_path / 'clone' / name, (ROOT / name).read_text())
    for name in ('python3', 'python3.11'):
        write(tmp_path / 'bin' / name, python('3.11'))
    return tmp_path / 'clone'


def install(clone, script='install.sh', *, card=False, reachable=True, fails=False, **env):
    """What Python was asked for in turn, and what was said on the way."""
    write(clone.parent / 'bin/nvidia-smi', f'#!/bin/sh\nexit {int(not card)}\n')
    write(clone / 'asked.txt', '')
    kept = {name: text for name, text in os.environ.items() if name not in ('PYTHON', 'TORCH', 'PYTHONPATH')}
    env = {**kept, 'PATH': f'{clone.parent}/bin:{kept["PATH"]}', 'UNREACHABLE': str(int(not reachable)), **env}
    done = subprocess.run(['bash', script], cwd=clone, env=env, capture_output=True, text=True)
    assert bool(done.returncode) == fails, done.stderr
    return (clone / 'asked.txt').read_text(), done.stdout + done.stderr


@pytest.mark.parametrize(('card', 'reachable'), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize('wanted', ['', 'cpu', 'cuda'])
def test_install_takes_the_build_for_the_machine_or_the_one_that_is_asked_for(clone, card, reachable, wanted):
    asked, _ = install(clone, card=card, reachable=reachable, TORCH=wanted)
    (torch,) = re.findall(r'install --quiet torch torchvision(.*)', asked)
    cpu = wanted == 'cpu' or (not wanted and reachable and not card)
    assert torch == (' --index-url https://download.pytorch.org/whl/cpu' if cpu else '')


def test_install_keeps_the_build_of_torch_until_the_other_one_is_asked_for(clone):
    builds = []
    for wanted in ('', 'cuda', '', 'cpu', 'cuda', 'cuda'):
        install(clone, TORCH=wanted)
        builds.append((clone / '.venv/torch').read_text().strip())
    assert builds == ['cpu', 'cuda', 'cuda', 'cpu', 'cuda', 'cuda']


def test_install_does_nothing_where_it_is_done(clone):
    assert '-m pip' in install(clone)[0]
    assert '-m pip' not in install(clone)[0]


@pytest.mark.parametrize(('script', 'folder'), [('install.sh', '.venv'), ('tests/minimum.sh', '.venv-minimum')])
def test_an_installation_that_was_stopped_before_pip_was_there_goes_on(clone, script, folder):
    write(clone / folder / 'bin/python', python('3.11'))
    assert re.search('install --quiet .*torch torchvision', install(clone, script)[0])


def test_an_environment_of_someone_else_without_pip_is_left_alone(clone):
    write(clone / '.venv/bin/python', python('3.11'))
    write(clone / '.venv/bin/activate', '')
    asked, said = install(clone, fails=True)
    assert '-m venv' not in asked and 'ensurepip' in said


@pytest.mark.parametrize('change', ['moved', 'copied', 'another Python'])
def test_an_environment_of_another_place_or_python_is_made_anew(clone, change):
    install(clone)
    if change == 'another Python':
        write(clone / '.venv/bin/python', python('3.12'))
    else:
        made = clone
        clone = shutil.copytree(made, made.with_name('other'))
        if change == 'moved':
            shutil.rmtree(made)
    asked, _ = install(clone)
    assert '-m venv --clear .venv' in asked and 'install --quiet torch torchvision' in asked


def test_a_torch_outside_of_the_environment_does_not_count(clone):
    assert 'install --quiet torch torchvision' in install(clone, PYTHONPATH='/modules/torch')[0]


@pytest.mark.parametrize(
    ('env', 'present', 'sentence'),
    [
        ({'PYTHON': 'python-that-is-missing'}, None, 'python-that-is-missing is no interpreter; Python 3.11 to 3.14'),
        ({'PYTHON': 'python3.9'}, None, 'PYTHON=python3.9 is 3.9; Python 3.11 to 3.14 is needed'),
        ({'PYTHON': 'python3.13'}, '3.12', '.venv is of Python 3.12, PYTHON=python3.13 is 3.13. Remove .venv'),
        ({}, '3.9', '.venv is of Python 3.9; 3.11 to 3.14 is needed. Remove it'),
        ({}, '3.15', '.venv is of Python 3.15; 3.11 to 3.14 is needed. Remove it'),
        ({'TORCH': 'gpu'}, None, 'TORCH is gpu; it may be cuda or cpu'),
    ],
)
def test_install_says_what_it_cannot_use_before_it_downloads(clone, env, present, sentence):
    for version in ('3.9', '3.13'):
        write(clone.parent / 'bin' / f'python{version}', python(version))
    if present:
        write(clone / '.venv/bin/python', python(present))
        write(clone / '.venv/pip', '')
    asked, said = install(clone, fails=True, **env)
    assert '-m ' not in asked and sentence in said


def test_git_for_windows_leaves_the_line_ends_of_scripts(tmp_path):
    there = shutil.copytree(ROOT, tmp_path / 'there', ignore=shutil.ignore_patterns(*MADE))
    shutil.copytree(ROOT / '.ci', there / '.ci')
    shutil.copy(ROOT / '.gitattributes', there)
    git = ['git', '-c', 'core.autocrlf=true', '-c', 'user.name=a', '-c', 'user.email=a@b']
    for command in (['init', '-q'], ['add', '.'], ['commit', '-q', '-m', 'a'], ['clone', '-q', '.', '../here']):
        subprocess.run([*git, *command], cwd=there, check=True, capture_output=True)
    files = {file.relative_to(there) for file in there.rglob('*') if file.is_file() and '.git' not in file.parts}
    scripts = {file: (there / file).read_bytes() for file in files if (there / file).read_bytes().startswith(b'#!')}
    assert {Path('install.sh'), Path('.ci/run')} <= scripts.keys()
    assert {file: (tmp_path / 'here' / file).read_bytes() for file in scripts} == scripts
    assert b'\r\n' in (tmp_path / 'here/setup.py').read_bytes()


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """A copy of the clone, and the wheel and the source distribution that are made of it."""
    clone = shutil.copytree(ROOT, tmp_path_factory.mktemp('built') / 'clone', ignore=shutil.ignore_patterns(*MADE))
    shutil.copytree(ROOT / '.ci', clone / '.ci')
    command = [sys.executable, 'setup.py', '-q', 'sdist', 'bdist_wheel']
    subprocess.run(command, cwd=clone, check=True, capture_output=True)
    return clone


def files_under(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*')
        if path.is_file() and not {'dist', 'build', 'stea_arch.egg-info'} & set(path.relative_to(folder).parts)
    }


def test_the_wheel_brings_the_option_files(built, tmp_path):
    with zipfile.ZipFile(next(built.glob('dist/*.whl'))) as wheel:
        wheel.extractall(tmp_path / 'site')
    options = files_under(ROOT / 'options')
    assert options and files_under(tmp_path / 'site/stea_arch/option_files') == options
    code = (
        'from stea_arch.commands.options import main; main(["list"]); main(["copy", "LabNet-S_x4_gpu.yml", "mine"]);'
        'from stea_arch.options.reading import read_file;'
        'print([read_file(start + "train/LabNet-T_x4.yml")[0]["name"] for start in ("", "options/")])'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(tmp_path / 'site')},
        capture_output=True,
        text=True,
    )
    shown = done.stdout.splitlines()
    assert {line.split()[0] for line in shown[:-2]} == {name for name in options if name.endswith('.yml')}, done.stderr
    assert shown[-1] == "['LabNet-T_x4', 'LabNet-T_x4']"
    schema = re.match(r'# yaml-language-server: \$schema=(.*)', (tmp_path / 'mine/LabNet-S_x4_gpu.yml').read_text())[1]
    assert Path(schema) == tmp_path / 'site/stea_arch/option_files/schema.json'


def test_the_source_distribution_has_everything(built):
    with tarfile.open(next(built.glob('dist/*.tar.gz'))) as archive:
        packed = {name.partition('/')[2] for name in archive.getnames()}
    assert files_under(built) <= packed


def test_the_oldest_versions_are_those_that_are_declared(arguments):
    """tests/minimum.sh tries them; the declared one, with as many more numbers as a release has."""
    declared = [*arguments['install_requires'], *arguments['extras_require']['tests']]
    declared = dict(re.match(r'([\w-]+)[>=]=([\d.]+)', one).groups() for one in declared)
    lines = (ROOT / 'tests/minimum.txt').read_text().splitlines()
    tried = dict(line.split('==') for line in lines if not line.startswith('#'))
    assert tried.keys() == declared.keys()
    for name, version in declared.items():
        assert f'{tried[name]}.'.startswith(f'{version}.'), name


def test_exec_writes_to_the_names_of_its_caller_while_basicsr_is_built():
    """As before Python 3.13, and as the setup.py of basicsr expects."""
    code = """
def get_version():
    exec('version = 1')
    return locals()['version']

assert get_version() == 1 and exec.__name__ == 'exec_in_caller'
"""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT / 'tools/basicsr_build')}
    subprocess.run([sys.executable, '-c', code], env=environment, check=True)
