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
