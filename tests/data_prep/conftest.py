"""Photographs in the layouts of the archives."""

import pytest
from basicsr.utils.file_client import FileClient, LmdbBackend
from real_files import write_image
from skimage import data as skimage_data


@pytest.fixture(scope='session')
def archives(tmp_path_factory):
    """DIV2K and Flickr2K in miniature, as their archives unpack: 3 and 2 crops of scikit-image's photographs."""
    root = tmp_path_factory.mktemp('archives')
    astronaut, coffee, cat = skimage_data.astronaut(), skimage_data.coffee(), skimage_data.chelsea()
    images = [astronaut[:130, 150:310], coffee[100:230, 100:260], cat[50:180, 100:260]]
    for number, img in enumerate(images, 1):
        write_image(root / 'DIV2K' / 'DIV2K_train_HR' / f'{number:04d}.png', img)
    for number, img in enumerate((astronaut[200:330, 100:220], coffee[200:320, 300:440]), 1):
        write_image(root / 'Flickr2K' / 'Flickr2K_HR' / f'{number:06d}.png', img)
    return root


@pytest.fixture
def basicsrs_reader(monkeypatch):
    """BasicSR's own reader of LMDBs in the place of ours, see ``compat.one_environment_an_lmdb``."""
    monkeypatch.setitem(FileClient._backends, 'lmdb', LmdbBackend)
