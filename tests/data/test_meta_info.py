import pytest

from stea_arch.data.meta_info import read_meta_info


def test_reads_basicsr_lines_and_plain_names(tmp_path):
    file = tmp_path / 'list.txt'
    lines = ['0001_s001.png (480,360,3) 1', '', 'my photo.v2.jpg (10, 20, 1)', 'sub/0002.png', '0003.png and more']
    file.write_text('\n'.join(lines))
    assert read_meta_info(file) == {
        '0001_s001.png': (480, 360, 3),
        'my photo.v2.jpg': (10, 20, 1),
        'sub/0002.png': None,
        '0003.png': None,
    }


def test_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match='one image name a line was expected'):
        read_meta_info(tmp_path / 'none.txt')
    (tmp_path / 'empty.txt').write_text('\n  \n')
    with pytest.raises(ValueError, match=r'At least one image name was expected in .*empty.txt'):
        read_meta_info(tmp_path / 'empty.txt')
    (tmp_path / 'twice.txt').write_text('a.png\na.png (1,1,3) 1\n')
    with pytest.raises(ValueError, match=r'a.png stands there twice'):
        read_meta_info(tmp_path / 'twice.txt')


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('ending', ['\n', '\r\n'])
def test_encodings_and_unusual_names(tmp_path, monkeypatch, encoding, ending):
    names = ['über.png', 'my photo.png', 'img (10,20,3).png', 'a\x0bb\x85c\u2028d.png', 'two  blanks.tif']
    monkeypatch.setenv('HOME', str(tmp_path))
    for text in (' (5,6,3) 1', ''):
        lines = [f'{name}{text}' for name in names]
        (tmp_path / 'list.txt').write_bytes(ending.join(lines).encode(encoding))
        assert list(read_meta_info('~/list.txt')) == names
    assert set(read_meta_info('~/list.txt').values()) == {None}


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        ('a.png\nüber.png\n'.encode('cp1252'), r'list\.txt .* UTF-8.* byte 0xfc in line 2 is not.*Save it as UTF-8'),
        ('a.png\n'.encode('utf-16-le'), r'UTF-16 without its mark'),
    ],
)
def test_other_encodings_are_named(tmp_path, data, message):
    (tmp_path / 'list.txt').write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_meta_info(tmp_path / 'list.txt')
