import numpy as np
import pytest
from real_files import decoded, read_image, read_lmdb, write_image

from data_prep.check_pairs import check_pairs
from data_prep.produce import Way
from data_prep.tiles import Cut, folder_paths, tile_starts, write_tiles

QUIET = Way(workers=2, progress=False)


def basicsr_starts(length, crop_size, step, thresh_size=0):
    """As BasicSR's extract_subimages.py finds them, by its rule."""
    starts = np.arange(0, length - crop_size + 1, step)
    if length - (starts[-1] + crop_size) > thresh_size:
        starts = np.append(starts, length - crop_size)
    return starts.tolist()


@pytest.mark.parametrize(
    ('length', 'size', 'step', 'starts'),
    [
        (480, 480, 240, [0]),
        (481, 480, 240, [0, 1]),
        (960, 480, 240, [0, 240, 480]),
        (1000, 480, 240, [0, 240, 480, 520]),
        (2040, 480, 240, [0, 240, 480, 720, 960, 1200, 1440, 1560]),
    ],
)
def test_tile_starts(length, size, step, starts):
    assert tile_starts(length, size, step) == starts == basicsr_starts(length, size, step)


def test_tile_starts_for_every_length():
    for length in range(48, 200):
        assert tile_starts(length, 48, 20) == basicsr_starts(length, 48, 20)


@pytest.mark.parametrize('target', ['tiles', 'tiles.lmdb'])
def test_every_pixel_is_in_a_tile(photo_folder, tmp_path, target):
    outcome = write_tiles(folder_paths(photo_folder), str(tmp_path / target), Cut(40, 20), QUIET)
    assert outcome.records == 6 * 3 * 3
    if target.endswith('lmdb'):
        tiles = {f'{key}.png': decoded(data) for key, data in read_lmdb(tmp_path / target).items()}
    else:
        tiles = {path.name: read_image(path) for path in (tmp_path / target).glob('*.png')}
    assert len(tiles) == 54 and sorted(tiles)[:2] == ['photo0_s001.png', 'photo0_s002.png']
    whole, covered = read_image(photo_folder / 'photo0.png'), np.zeros((72, 64), bool)
    corners = [(top, left) for top in (0, 20, 32) for left in (0, 20, 24)]
    for number, (top, left) in enumerate(corners, 1):
        np.testing.assert_array_equal(tiles[f'photo0_s{number:03d}.png'], whole[top : top + 40, left : left + 40])
        covered[top : top + 40, left : left + 40] = True
    assert covered.all()


def test_tiles_of_official_low_quality_folders_have_the_names_of_their_partners(tmp_path):
    """DIV2K's 0001x4.png belongs to 0001.png; a name that only ends like that is left alone."""
    for folder, side, names in (('gt', 64, ['0001', '000002', 'boxx4']), ('lq', 16, ['0001x4', '000002x4', 'boxx4'])):
        for name in names:
            write_image(tmp_path / folder / f'{name}.png', np.zeros((side, side, 3), np.uint8))
        cut = Cut(side // 2, side // 4)
        write_tiles(folder_paths(tmp_path / folder), str(tmp_path / f'{folder}.lmdb'), cut, QUIET)
    gt, lq = (set(read_lmdb(tmp_path / f'{folder}.lmdb')) for folder in ('gt', 'lq'))
    assert gt == lq and len(gt) == 27 and '0001_s001' in gt and 'boxx4_s009' in gt
    assert check_pairs(str(tmp_path / 'gt.lmdb'), str(tmp_path / 'lq.lmdb'), 4, progress=False).problems == []


def test_counts_tell_what_will_come(tmp_path):
    img = np.random.default_rng(0).integers(0, 255, (130, 97, 3), np.uint8)
    write_image(tmp_path / 'f' / 'a.png', img)
    for cut in (Cut(30, 17), Cut(30, 30, multiscale=True), Cut(97, 50, multiscale=True)):
        target = str(tmp_path / f'{cut.size}{cut.multiscale}{cut.step}')
        assert write_tiles(folder_paths(tmp_path / 'f'), target, cut, QUIET).records == cut.tiles_of(130, 97)


def test_small_and_unreadable_images_are_named_before_anything_is_made(photo_folder, tmp_path):
    folder = tmp_path / 'f'
    write_image(folder / 'large.png', np.zeros((80, 90, 3), np.uint8))
    for number in range(3):
        data = (photo_folder / f'photo{number}.png').read_bytes()
        (folder / f'photo{number}.png').write_bytes(data)
    (folder / 'text.png').write_text('no image')
    message = (
        r'at least 68x68 pixels were expected \(the tiles have 68 pixels\), but in .*/f 3 of 5 are smaller: photo0.png '
        r'\(72x64\), .* \| text\.png: .*could not be recognised.* Leave them out by --skip-broken, or .* by --size'
    )
    with pytest.raises(ValueError, match=message):
        write_tiles(folder_paths(folder), str(tmp_path / 't'), Cut(68, 34), QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['f']
    outcome = write_tiles(folder_paths(folder), str(tmp_path / 't'), Cut(68, 34), Way(2, False, skip_broken=True))
    assert outcome.records == 4 and len(outcome.skipped) == 4
    assert outcome.skipped[0] == 'photo0.png (72x64): smaller than a tile'


@pytest.mark.parametrize('target', ['tiles', 'tiles.lmdb'])
@pytest.mark.parametrize(
    ('names', 'multiscale', 'tile'),
    [(('0001x2', '0001x4'), False, '0001'), (('0001', '0001x4'), False, '0001'), (('a', 'aT0'), True, 'aT0')],
)
def test_images_whose_tiles_would_share_a_name_are_named_before_anything_is_made(
    tmp_path, names, multiscale, tile, target
):
    for number, name in enumerate(names):
        write_image(tmp_path / 'f' / f'{name}.png', np.full((64, 64, 3), number, np.uint8))
    message = rf'{names[0]}\.png and {names[1]}\.png would both be called {tile}_s001\.png'
    with pytest.raises(ValueError, match=message):
        write_tiles(folder_paths(tmp_path / 'f'), str(tmp_path / target), Cut(40, 20, multiscale), QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['f']
    if multiscale:  # without copies the names differ
        assert write_tiles(folder_paths(tmp_path / 'f'), str(tmp_path / target), Cut(40, 20), QUIET).records == 18


def test_impossible_steps():
    with pytest.raises(ValueError, match=r'between 1 and their size 68, or pixels would be lost, got 240'):
        Cut(68)
    with pytest.raises(ValueError, match=', got 0'):
        Cut(68, 0)
