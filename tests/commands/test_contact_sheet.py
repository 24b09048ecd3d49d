import json

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from stea_arch.commands.contact_sheet import SHOWN, main
from stea_arch.degradations.second_order import SecondOrderSampler
from stea_arch.degradations.second_order_kernels import KernelSampler
from stea_arch.results.contact_sheet import describe, draw_samples
from stea_arch.results.picture import MARGIN


def run(image, out, *arguments):
    return main([str(image), '--out', str(out), '--size', '48', *arguments])


def tile(sheet, position):
    """The picture's ``position``-th tile of the first row, shrunk to ``size``."""
    left = MARGIN + position * (SHOWN + MARGIN)
    return np.asarray(sheet)[MARGIN : MARGIN + SHOWN, left : left + SHOWN]


@pytest.mark.parametrize('recipe', ['full', 'blur_jpeg'])
def test_sheet_and_its_replay(photo_folder, tmp_path, recipe):
    image = photo_folder / 'photo0.png'
    assert run(image, tmp_path / 'new' / 'sheet.png', '--recipe', recipe, '--num', '5') == 0
    content = json.loads((tmp_path / 'new' / 'sheet.json').read_text())
    assert len(content['samples']) == 5 and content['scale'] == 4 and content['versions']['torch']
    assert run(image, tmp_path / 'again.png', '--replay', str(tmp_path / 'new' / 'sheet.json')) == 0
    sheet, again = (Image.open(path) for path in (tmp_path / 'new' / 'sheet.png', tmp_path / 'again.png'))
    np.testing.assert_array_equal(np.asarray(sheet), np.asarray(again))
    truth = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)[12:60, 8:56]  # the middle of 72 x 64
    shown = Image.fromarray(truth).resize((SHOWN, SHOWN), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(tile(sheet, 0), np.asarray(shown))
    means = [tile(sheet, position).mean((0, 1)) for position in range(4)]
    assert all(np.abs(mean - truth.mean((0, 1))).max() < 30 for mean in means[1:])  # degraded, but the same scene
    assert not np.array_equal(tile(sheet, 1), tile(sheet, 2))


def test_options_of_a_file(photo_folder, tmp_path):
    opt = {'scale': 2, 'jpeg_range': [40, 40], 'datasets': {'train': {'kernel_list': ['iso'], 'kernel_prob': [1]}}}
    (tmp_path / 'opt.yml').write_text(yaml.safe_dump(opt))
    assert run(photo_folder / 'photo1.png', tmp_path / 's.png', '-opt', str(tmp_path / 'opt.yml'), '--num', '3') == 0
    samples = json.loads((tmp_path / 's.json').read_text())['samples']
    assert {sample['params']['scale'] for sample in samples} == {2}
    assert all(sample['params']['first']['qualities'] == [40] for sample in samples)
    assert {sample['kernels']['first']['family'] for sample in samples} <= {'iso', 'sinc'}


def test_text_names_what_happens():
    for kernels, params in draw_samples(30, 64, SecondOrderSampler(4), KernelSampler(), seed=0):
        text = '\n'.join(describe(kernels, params))
        for one in (params.first, params.second):
            assert f'{one.factor:.2f} x' in text and f'{one.noise.kind} {one.noise.levels[0]:.2f}' in text
            assert f'JPEG {one.qualities[0]:.0f}' in text
        assert ('no blur' in text) == (not params.second.blur) and ('no sinc' in text) == (kernels.final is None)
        end = text[text.index('\n3 ') :]
        assert (end.index('JPEG') > end.index('to result')) == params.jpeg_last
        assert max(map(len, text.splitlines())) < 46  # what fits below a tile


def test_says_what_is_wrong(photo_folder, tmp_path, capsys):
    (tmp_path / 'bad.png').write_bytes(b'none')
    assert run(tmp_path / 'bad.png', tmp_path / 's.png', '--recipe', 'full') == 2
    assert 'could not be decoded' in capsys.readouterr().err
    assert run(photo_folder / 'photo0.png', tmp_path / 's.png', '--recipe', 'full', '--scale', '5') == 2
    assert 'scale must be 2, 3 or 4' in capsys.readouterr().err
    assert run(photo_folder / 'photo0.png', tmp_path / 's.png', '--recipe', 'full', '--num', '0') == 2
    assert '--num must be at least 1, got 0' in capsys.readouterr().err
    (tmp_path / 'other.json').write_text('{"samples": [{"kernels": {}}]}')
    (tmp_path / 'list.yml').write_text('- 1\n')
    assert run(photo_folder / 'photo0.png', tmp_path / 's.png', '--replay', str(tmp_path / 'other.json')) == 2
    assert 'other.json should be the JSON that was written beside an earlier sheet' in capsys.readouterr().err
    assert run(photo_folder / 'photo0.png', tmp_path / 's.png', '-opt', str(tmp_path / 'list.yml')) == 2
    assert 'list.yml: 1 problem in the options:\n  expected keys and values' in capsys.readouterr().err
    assert run(photo_folder / 'photo0.png', tmp_path / 's.what', '--recipe', 'full', '--num', '1') == 2
    assert 'unknown file extension: .what' in capsys.readouterr().err
    assert not (tmp_path / 's.png').exists() and not (tmp_path / 's.json').exists()
