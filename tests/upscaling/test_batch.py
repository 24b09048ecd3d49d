import struct
import threading

import numpy as np
import pytest
from PIL import Image

from stea_arch.images.decode import read_photo
from stea_arch.upscaling import batch, progress
from stea_arch.upscaling.batch import Job, check_results, find_images, plan, run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: photos/{a.png,b.jpg,notes.txt,.hidden.png,deep/c.png} and d.webp."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos' / 'deep').mkdir(parents=True)
    for number, name in enumerate(
        ['photos/a.png', 'photos/b.jpg', 'photos/.hidden.png', 'photos/deep/c.png', 'd.webp']
    ):
        Image.new('RGB', (6, 4), (40 * number, 90, 30)).save(name)
    (tmp_path / 'photos' / 'notes.txt').write_text('no image')
    return tmp_path


def planned(inputs, **arguments):
    return {str(job.source): str(job.target) for job in plan(find_images(inputs), **arguments)}


@pytest.mark.parametrize('order', [1, -1])
def test_folders_files_and_patterns(folder, order):
    assert planned(['photos', 'd.webp', 'photos/**/c*', 'photos/a.png'][::order]) == {
        'photos/a.png': 'photos/a_x4.png',  # named twice, done once
        'photos/b.jpg': f'{folder}/photos_x4/b.jpg',
        'd.webp': 'd_x4.webp',
        'photos/deep/c.png': 'photos/deep/c_x4.png',
    }
    assert planned(['photos', 'photos/deep'][::order])['photos/deep/c.png'] == f'{folder}/photos/deep_x4/c.png'
    assert planned(['photos/*'], out='out') == {'photos/a.png': 'out/a.png', 'photos/b.jpg': 'out/b.jpg'}
    assert planned(['d.webp'], scale=1.5, extension='.png') == {'d.webp': 'd_x1.5.png'}
    assert planned(['d.webp'], out='some/e.tiff') == {'d.webp': 'some/e.tiff'}
    assert planned(['d.webp'], out='e.jpeg', extension='.jpg') == {'d.webp': 'e.jpeg'}
    (folder / 'f.png').mkdir()
    assert planned(['d.webp'], out='f.png') == {'d.webp': 'f.png/d.webp'}


def test_folders_keep_what_lies_below_them(folder, monkeypatch):
    """Also where a name repeats, and where the results lie in the folder itself."""
    for name in ('photos/deep/a.png', 'photos/.secret/a.png', 'photos/big/e.png'):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new('L', (2, 2)).save(name)
    below = ['a.png', 'b.jpg', 'deep/a.png', 'deep/c.png']
    found = {str(job.source): str(job.target) for job in plan(find_images(['photos'], 'photos/big'), 'photos/big')}
    assert found == {f'photos/{name}': f'photos/big/{name}' for name in below}
    found = planned(['photos'], suffix='_new', extension='.webp')
    assert found['photos/deep/a.png'] == f'{folder}/photos_new/deep/a.webp'
    assert run(plan(find_images(['photos']), 'out'), double) == []
    written = sorted(str(path.relative_to(folder / 'out')) for path in (folder / 'out').rglob('*.*'))
    assert written == sorted([*below, 'big/e.png'])
    monkeypatch.chdir(folder / 'photos' / 'deep')
    assert planned(['.'])['a.png'] == f'{folder}/photos/deep_x4/a.png'


def test_a_suffix_of_one_s_own(folder):
    assert planned(['d.webp'], suffix='-large') == {'d.webp': 'd-large.webp'}
    assert planned(['d.webp'], suffix='-large', out='o') == {'d.webp': 'o/d-large.webp'}
    (folder / 'd.webp').rename(folder / 'photos' / 'a-large.webp')
    assert {path.name for path in find_images(['photos'], suffix='-large')} == {'a.png', 'b.jpg', 'c.png'}
    with pytest.raises(ValueError, match='is the whole name of the result: leave --suffix out'):
        planned(['photos/a.png'], out='e.png', suffix='-large')


@pytest.mark.parametrize(
    ('inputs', 'arguments', 'error', 'message'),
    [
        (['absent.png'], {}, FileNotFoundError, r'no image under absent\.png: a file, a folder .* or a pattern'),
        (['photos/*.tif'], {}, FileNotFoundError, r'no image under photos/\*\.tif'),
        (['photos/deep', 'photos/deep/*.bmp'], {}, FileNotFoundError, r'no image under photos/deep/\*\.bmp'),
        (['photos/a.png'], {'out': 'photos'}, ValueError, r'result of photos/a\.png would replace the input photos/a'),
        (['d.webp', 'photos/b.jpg'], {'out': 'photos', 'extension': '.jpg'}, ValueError, r'replace the input photos/b'),
        (['photos/a.png', 'photos/deep/a.png'], {'out': 'o'}, ValueError, r'a\.png and .*a\.png would both become o/a'),
        (['d.webp'], {'out': 'e.png', 'extension': '.jpg'}, ValueError, r'--out e\.png and --format name different'),
        (['photos/notes.txt'], {}, ValueError, r'photos/notes\.txt: not readable as'),
        (['photos/an_image'], {}, ValueError, r'an_image_x4 does not end as an image does.*--format'),
    ],
)
def test_what_cannot_be_done_is_said_before(folder, inputs, arguments, error, message):
    Image.new('L', (2, 2)).save('photos/deep/a.png')
    Image.new('L', (2, 2)).save('photos/an_image', 'PNG')
    with pytest.raises(error, match=message):
        planned(inputs, **arguments)


def test_an_input_is_known_under_any_of_its_names(folder):
    (folder / 'link').symlink_to(folder / 'photos')
    with pytest.raises(ValueError, match='would replace the input photos/a'):
        planned(['photos/a.png'], out='link')


def double(pixels):
    return pixels.repeat(2, 0).repeat(2, 1)


def test_all_but_the_broken_are_done(folder):
    (folder / 'photos' / 'a0.png').write_bytes(b'broken')
    Image.new('RGB', (6, 4), (9, 9, 9)).save('odd.png')
    jobs = plan(find_images(['photos/*', 'd.webp', 'odd.png']), out='out', extension='.png')
    finished = []

    def upscale(pixels):
        if pixels[0, 0, 0] == 9:
            struct.pack('B', 256)
        if pixels[0, 0, 0] > 100:  # d.webp
            raise MemoryError('too large')
        return double(pixels)

    failed = run(jobs, upscale, done=finished.append)
    assert finished == jobs
    assert [(str(source), reason.split(' (')[0]) for source, reason in failed] == [
        ('photos/a0.png', 'not readable as PNG, JPEG, WebP, AVIF, TIFF or BMP'),
        ('d.webp', 'too large'),
        ('odd.png', 'struct.error: ubyte format requires 0 <= number <= 255'),
    ]
    assert sorted(path.name for path in (folder / 'out').iterdir()) == ['a.png', 'b.png']
    np.testing.assert_array_equal(read_photo('out/b.png').pixels, double(read_photo('photos/b.jpg').pixels))


def test_what_is_looked_at_beforehand_may_fail_in_any_way(folder, monkeypatch):
    for module in (batch, progress):
        monkeypatch.setattr(module, 'read_header', {}.__getitem__)
    check_results([Job(folder / 'd.webp', folder / 'x.png')], 4)
    assert progress._pixels(folder / 'd.webp') == 0


def test_a_failure_to_write_is_reported_too(folder):
    jobs = plan(find_images(['photos']), out='out')
    (folder / 'out').write_text('a file where the folder should be')
    assert len(run(jobs, double)) == 3


@pytest.mark.parametrize('out', ['notes.txt', 'notes.txt/below', 'notes.txt/a.png'])
def test_a_file_is_no_place_for_results(folder, out):
    (folder / 'notes.txt').write_text('a file')
    with pytest.raises(ValueError, match=r'notes\.txt is a file|a file in .*notes\.txt was tried \(Not a directory\)'):
        planned(['d.webp'], out=out)


def test_a_folder_that_cannot_be_written_to_is_said(folder, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, 'Permission denied', str(dir))

    with pytest.raises(ValueError, match=r'cannot be written to /proc/x: a file in /proc was tried'):
        planned(['d.webp'], out='/proc/x')
    monkeypatch.setattr(batch.tempfile, 'TemporaryFile', refuse)  # as root may write anywhere
    with pytest.raises(
        ValueError, match=r'cannot be written to o: a file in .* was tried \(Permission denied\).*--out'
    ):
        planned(['d.webp'], out='o')
    assert not (folder / 'o').exists()


def test_the_home_folder_has_a_short_name(folder, monkeypatch):
    monkeypatch.setenv('HOME', str(folder / 'photos'))
    assert planned(['d.webp'], out='~/new') == {'d.webp': f'{folder}/photos/new/d.webp'}


@pytest.mark.parametrize(
    ('inputs', 'out', 'message'),
    [
        (['d.webp'], 'x.heic', r'--out x\.heic ends in \.heic: expected one of \.png, .* write x\.heic/'),
        (['photos'], 'new/x.jp2', r'ends in \.jp2'),
        (['photos'], 'all.png', r'ends in \.png: expected a folder for several images'),
    ],
)
def test_an_ending_that_is_not_known_makes_no_folder(folder, inputs, out, message):
    with pytest.raises(ValueError, match=message):
        planned(inputs, out=out)
    for meant in (f'{out}/', 'v1.2'):
        assert all(target.startswith(meant) for target in planned(inputs, out=meant).values())


def test_names_that_are_too_long_are_said_before(folder, monkeypatch):
    monkeypatch.setattr('platform.node', lambda: 'n' * 64)  # a name of a computer is no part of it
    (folder / 'd.webp').rename(folder / f'{"d" * 226}.webp')
    with pytest.raises(ValueError, match=r'can have 230 bytes, but d+_x4\.webp has 234'):
        planned([f'{"d" * 226}.webp'])
    longest = planned([f'{"d" * 226}.webp'], out=f'o/{"e" * 226}.png')
    jobs = [Job(folder / source, folder / target) for source, target in longest.items()]
    assert run(jobs, double) == []


@pytest.mark.parametrize(
    ('size', 'mode', 'name', 'scale', 'message'),
    [
        ((16, 4100), 'RGB', 'a.webp', 4, r'WEBP can be 16383 pixels wide and high, but the result has 64x16400.*png'),
        ((16400, 2), 'L', 'a.jpg', 4, r'JPEG can be 65500 .* 65600x8'),
        ((16, 16), 'RGBA', 'a.jpg', 4, r'JPEG cannot hold its transparency.*--format png'),
        ((16, 16), 'LA', 'a.jpeg', 4, r'JPEG cannot hold its transparency'),
        ((16, 16), 'RGBA', 'a.bmp', 4, r'BMP cannot hold its transparency'),
    ],
)
def test_what_a_format_cannot_hold_is_said_before(folder, size, mode, name, scale, message):
    Image.new(mode, size).save('first.png')
    jobs = [Job(folder / 'd.webp', folder / 'x.png'), Job(folder / 'first.png', folder / name)]
    with pytest.raises(ValueError, match=rf'(?s)1 of 2 results could not be written:.*first\.png: a {message}'):
        check_results(jobs, scale)
    check_results([Job(folder / 'first.png', folder / 'a.png')], scale)
    check_results(jobs, 0.5) if mode in ('RGB', 'L') else None


def test_what_is_opaque_becomes_a_jpeg(folder):
    Image.new('RGBA', (16, 16), (9, 99, 200, 255)).save('a.png')
    jobs = plan(find_images(['a.png']), extension='.jpg')
    check_results(jobs, 2)
    assert run(jobs, double) == []
    assert read_photo('a_x4.jpg').pixels.shape == (32, 32, 3)


def test_earlier_results_are_no_inputs(folder):
    for name in ('photos/a_x4.png', 'photos/b_x1.5.webp', 'photos/a_x4_compare.png', 'photos/lone_x4.png'):
        Image.new('RGB', (4, 4)).save(name)
    for entry in ('photos', 'photos/*'):
        assert sorted(path.name for path in find_images([entry]) if path.name != 'c.png') == [
            'a.png',
            'b.jpg',
            'lone_x4.png',
        ]
    assert [path.name for path in find_images(['photos/a_x4.png'])] == ['a_x4.png']  # whoever names it means it


def test_a_folder_says_what_it_leaves_out(folder):
    Image.new('RGB', (4, 4)).save('photos/a_x4.png')
    for name in ('raw.cr2', 'b.gif'):
        (folder / 'photos' / name).write_bytes(b'')
    (folder / 'elsewhere').mkdir()
    (folder / 'photos' / 'deep' / 'link').symlink_to(folder / 'elsewhere')
    notes = []
    find_images(['photos', 'd.webp'], note=notes.append)
    assert notes == [
        'photos: left out other types (b.gif, notes.txt, raw.cr2); earlier results (a_x4.png); linked folders (link).',
    ]


def test_a_result_is_there_whole_or_not_at_all(folder, monkeypatch):
    Image.new('RGB', (3, 3)).save('old.png')
    before = (folder / 'old.png').read_bytes()

    def crash(path, data):
        with open(path, 'wb') as file:
            file.write(data[:20])
        raise OSError('disk full')

    monkeypatch.setattr(batch.Path, 'write_bytes', crash)
    failed = run([Job(folder / 'd.webp', folder / 'old.png')], double)
    assert failed == [(folder / 'd.webp', 'disk full')]
    assert (folder / 'old.png').read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ['d.webp', 'old.png', 'photos']


def test_the_network_runs_here_and_little_is_held(folder, monkeypatch):
    """Never more than the images ahead, the one at hand and the results behind are decoded and not yet written."""
    for number in range(12):
        Image.new('RGB', (4, 4)).save(f'photos/n{number:02}.png')
    held, most, lock = 0, 0, threading.Lock()
    read, write = batch.read_photo, batch._write

    def count(change):
        nonlocal held, most
        with lock:
            held += change
            most = max(most, held)

    def read_and_count(path):
        count(1)
        return read(path)

    def write_and_count(*args):
        write(*args)
        count(-1)

    monkeypatch.setattr(batch, 'read_photo', read_and_count)
    monkeypatch.setattr(batch, '_write', write_and_count)
    threads = set()

    def upscale(pixels):
        threads.add(threading.current_thread())
        return double(pixels)

    assert run(plan(find_images(['photos'])), upscale) == []
    assert threads == {threading.main_thread()}
    assert held == 0
    assert 2 <= most <= 2 * batch.AHEAD + 2


def test_an_interruption_leaves_what_is_done(folder):
    def upscale(pixels):
        if (folder / 'photos_x4').is_dir():
            raise KeyboardInterrupt
        return double(pixels)

    for number in range(9):
        Image.new('RGB', (4, 4)).save(f'photos/n{number}.png')
    with pytest.raises(KeyboardInterrupt):
        run(plan(find_images(['photos'])), upscale)
    for path in (folder / 'photos_x4').glob('*.*'):
        assert read_photo(path).pixels.shape[0] in (8, 10)


@pytest.mark.parametrize('kind', ['png', 'html'])
def test_comparisons_stand_beside(folder, kind):
    assert run(plan(find_images(['d.webp']), compare=kind), double) == []
    assert (folder / f'd_x4_compare.{kind}').is_file()


@pytest.mark.parametrize(
    ('inputs', 'name', 'arguments', 'message'),
    [
        # one name for both comparisons, which two threads would write at the same time
        (['photos'], 'photos/a.jpg', {'compare': 'html'}, r'both become .*photos_x4/a_compare\.html'),
        (['photos'], 'photos/a_compare.png', {'compare': 'png', 'out': 'o'}, r'both become o/a_compare\.png'),
        (
            ['photos', 'o'],
            'o/a_compare.png',
            {'compare': 'png', 'out': 'o', 'extension': '.webp'},
            r'the input o/a_comp',
        ),
    ],
)
def test_comparisons_replace_nothing(folder, inputs, name, arguments, message):
    (folder / 'o').mkdir()
    Image.new('L', (2, 2)).save(name)
    with pytest.raises(ValueError, match=message):
        plan(find_images(inputs), **arguments)


def test_what_is_lost_beside_the_pixels_is_said(folder):
    Image.new('CMYK', (6, 4)).save('e.jpg', icc_profile=b'no profile')
    warnings = []
    assert run(plan(find_images(['e.jpg', 'd.webp'])), double, warn=lambda *warning: warnings.append(warning)) == []
    assert [(str(source), text) for source, text in warnings] == [
        ('e.jpg', 'its colour profile is damaged and was left out')
    ]
