"""Photographs that need no download: those inside the scikit-image package.

Only files that the installed package contains are used, 8 bits deep. Two of the colour photographs are held out for
validation. Of the stereo pair one view is used. Some low-quality ones, gray, are for looking at results.
"""

import shutil
from pathlib import Path

import skimage.data

from data_prep.output import identity_of, resumable

# file -> (author or source, licence), as scikit-image's documentation of skimage.data states them
TRAIN = {
    'astronaut.png': ('NASA, Great Images in NASA', 'public domain'),
    'rocket.jpg': ('SpaceX', 'public domain'),
    'motorcycle_left.png': ('D. Scharstein et al., Middlebury 2014 stereo benchmark', 'no licence stated'),
    'hubble_deep_field.jpg': ('NASA and ESA', 'public domain'),
    'ihc.png': ('Center for Microscopy and Molecular Imaging', 'no known copyright restrictions'),
    'retina.jpg': ('Mikael Häggström', 'CC0'),
}
VAL = {
    'coffee.png': ('Rachel Michetti, Pikolo Espresso Bar', 'CC0'),
    'chelsea.png': ('Stefan van der Walt', 'CC0'),
}
REAL = {
    'page.png': ('scikit-image, photograph of a page', 'no licence stated'),
    'text.png': ('Wikimedia Commons, Corner.png', 'public domain'),
    'coins.png': ('Brooklyn Museum Collection', 'no known copyright restrictions'),
}


def write_sample(out):
    """Copy the photographs to ``out/train``, ``out/val``, ``out/real``, with a text file of authors and licences.

    Args:
        out (str | Path): Folder that must not exist, or hold them already: then nothing is done.

    Returns:
        list[str]: A line for each photograph: file, author, licence.

    Raises:
        FileExistsError: ``out`` exists and holds something else.
        FileNotFoundError: The installed scikit-image lacks one of the files.
    """
    shipped = Path(skimage.data.__file__).parent
    photographs = {
        f'{folder}/{name}': origin
        for folder, group in (('train', TRAIN), ('val', VAL), ('real', REAL))
        for name, origin in group.items()
    }
    lines = [f'{file}: {author}; {licence}' for file, (author, licence) in photographs.items()]
    if all(Path(out, file).is_file() for file in (*photographs, 'LICENSES.txt')):
        return lines
    with resumable(out, identity_of({}, kind='sample')) as part:
        for file in photographs:
            source = shipped / Path(file).name
            if not source.is_file():
                raise FileNotFoundError(
                    f'The photograph {source.name} was expected inside the scikit-image package, but '
                    f'{shipped} does not contain it. Install scikit-image 0.24 or newer from '
                    'PyPI.'
                )
            (part / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, part / file)
        (part / 'LICENSES.txt').write_text(
            'Photographs shipped with scikit-image.\n' + '\n'.join(lines) + '\n', encoding='utf-8'
        )
    return lines
