"""The option files that come with this package: a copy of the clone's folder ``options``, or in a clone that folder."""

from pathlib import Path

from stea_arch.system.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
FOLDER = next(path for path in (PACKAGE / 'option_files', PACKAGE.parent / 'options') if path.is_dir())


def shipped_files():
    """Their names, such as ``train/LabNet_x4.yml``."""
    return sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob('*/*.yml'))


def find_option_file(name):
    """Where an option file is.

    Args:
        name (str | Path): A file; or one that comes with this package, where there is no such file:
            ``options/train/LabNet_x4.yml``, ``train/LabNet_x4.yml`` or ``LabNet_x4.yml``.

    Returns:
        Path: Of a file.

    Raises:
        FileNotFoundError: It is neither, or may be several.
    """
    if Path(name).is_file():
        return Path(name)
    wanted = f'/{Path(name).as_posix().removeprefix("options/")}'
    found = [shipped for shipped in shipped_files() if f'/{shipped}'.endswith(wanted)]
    if len(found) > 1:
        raise FileNotFoundError(f'{name} is one of {", ".join(found)}: write which')
    if not found:
        where = f'seen from {Path.cwd()}; stea-options list names those that come with stea_arch'
        raise FileNotFoundError(f'there is no option file {name} ({where})')
    return FOLDER / found[0]


def about(name):
    """What a shipped file says about itself in its first comment."""
    lines = (FOLDER / name).read_text(encoding='utf-8').splitlines()
    return next(line for line in lines if not line.startswith('# yaml-language-server')).lstrip('# ')


def copy_option_file(name, folder):
    """Copy a shipped file, for editors with the place of its schema.

    Args:
        name (str): As for :func:`find_option_file`.
        folder (str | Path): Made where it is not there.

    Returns:
        Path: The copy.

    Raises:
        FileNotFoundError: See :func:`find_option_file`.
        ValueError: There is a file of that name already.
    """
    source = find_option_file(name)
    target = Path(folder, source.name)
    if target.exists():
        raise InputError(f'{target} is there already: remove it, or name another folder')
    text = source.read_text(encoding='utf-8').replace('$schema=../schema.json', f'$schema={FOLDER / "schema.json"}', 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding='utf-8')
    return target
