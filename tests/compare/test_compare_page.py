"""The pages: well-formed, self-contained, with the numbers in the right places."""

import base64
import math
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from stea_arch.compare.crops import make_crops
from stea_arch.compare.curve import draw_curve, ticks
from stea_arch.compare.literature import published_results
from stea_arch.compare.markdown import as_markdown
from stea_arch.compare.page import as_html
from stea_arch.compare.tables import NOTHING, Cell, overview, set_table
from stea_arch.compare.testsets import TestSet

VOID = ('meta', 'img', 'br')
KERNELS = ['sigma1.80', 'sigma3.20']


class Checked(HTMLParser):
    """Fails on tags that do not match; collects what refers to something outside, ids, links and cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.outside, self.ids, self.links, self.rows, self.images = [], [], set(), set(), [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        for name in ('src', 'href', 'data', 'xlink:href'):
            value = attrs.get(name, '')
            if value and not value.startswith(('data:', '#')):
                self.outside.append(value)
        if 'id' in attrs:
            assert attrs['id'] not in self.ids
            self.ids.add(attrs['id'])
        if attrs.get('href', '').startswith('#'):
            self.links.add(attrs['href'][1:])
        if tag == 'img':
            self.images.append(attrs['src'])
        if tag == 'tr':
            self.rows.append([])
        if tag in ('td', 'th'):
            self.rows[-1].append('')
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if 'td' in self.open or 'th' in self.open:
            self.rows[-1][-1] += data


def fake(label, psnr):
    groups = {kernel: {'psnr': psnr - at, 'ssim': 0.8} for at, kernel in enumerate(KERNELS)}
    records = [
        {'image': 'photo0', 'group': kernel, 'psnr': values['psnr'], 'ssim': 0.8} for kernel, values in groups.items()
    ]
    return {
        'network': label, 'parameters': 1234567, 'mean': {'psnr': psnr - 0.5, 'ssim': 0.8}, 'groups': groups,
        'exact': {}, 'images': records, 'commit': 'abc123', 'date': '2026-01-02T03:04:05', 'device': 'cpu',
        'versions': {},
    }  # fmt: skip


@pytest.fixture
def comparison(photo_folder, tmp_path):
    metrics = {
        name: {'type': f'calculate_{name}', 'crop_border': 4, 'test_y_channel': True} for name in ('psnr', 'ssim')
    }
    testset = TestSet('Set <5>', {'protocol': 'gaussian8', 'gt': str(photo_folder), 'num_kernels': 2}, 4)
    pictures = {}
    for label in ('A & B', 'C'):
        pictures[label] = tmp_path / f'{len(pictures)}.png'
        img = np.full((72, 64, 3), 60 * len(pictures), np.uint8)
        cv2.imwrite(str(pictures[label]), img)
    section = {
        'dataset': 'Set <5>',
        'test': testset.describe(),
        'metrics': metrics,
        'results': {'A & B': fake('A & B', 30.0), 'C': fake('C', 31.0), 'D': {'error': 'no "weights" <here>'}},
        'sigmas': {kernel: case.params.sigma_x for kernel, case in zip(KERNELS, testset.cases)},
        'published': {'DAN': {'psnr': 32.5, 'ssim': 0.9}},
        'crops': [make_crops(testset, 0, pictures, 24), make_crops(testset, 1, pictures, 24, [60, 60, 20])],
    }
    costs = {
        'input': [64, 64],
        'networks': {
            'A & B': {'macs': 2.5e9, 'latency_seconds': 0.1234, 'latency_range': [0.12, 0.2], 'peak_bytes': 3 * 2**20}
        },
        'failed': {},
        'warning': 'Latencies say little.',
        'protocol': {'latency': 'median', 'macs': 'counted', 'memory': 'peak', 'device': 'cpu'},
    }
    parts = {4: {'sections': [section], 'costs': costs}}
    return {'name': 'two & more', 'labels': ['A & B', 'C', 'D'], 'remarks': [], 'scales': parts}


def test_html_is_well_formed_and_self_contained(comparison):
    text = as_html(comparison)
    page = Checked(text)
    assert not page.outside and 'http' not in re.sub(r'data:[^"]*', '', text).replace('www.w3.org', '')
    assert page.links <= page.ids and page.links
    assert '<h1>two &amp; more</h1>' in text and 'no &#34;weights&#34; &lt;here&gt;' in text
    rows = [row for row in page.rows if row[0].startswith(('A & B', 'C', 'D'))]
    assert rows[0] == ['A & B', '1,234,567', '2.50 G', '123 ms 120 to 200', '3.0 MiB', '29.50 / 0.8000']
    assert rows[2] == ['D', *[NOTHING] * 4, 'failed']
    assert rows[3][0] == 'DAN published' and rows[3][-1] == '32.50 / 0.9000'
    assert rows[5] == ['C', '30.50', '0.8000', '31.00', '30.00']
    assert '<b>30.50</b>' in text and '<b>29.50' not in text


def test_pictures_in_the_page_are_the_crops_losslessly(comparison):
    page = Checked(as_html(comparison))
    section = comparison['scales'][4]['sections'][0]
    expected = [tile for crops in section['crops'] for tile in crops['tiles'].values()]
    shown = []
    for source in page.images:
        data = np.frombuffer(base64.b64decode(source.partition(',')[2]), np.uint8)
        shown.append(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    per_case = len(section['crops'][0]['tiles']) + 1  # the whole image comes first
    tiles = [image for number, image in enumerate(shown) if number % per_case]
    assert len(tiles) == len(expected) == 8
    for one, other in zip(tiles, expected):
        np.testing.assert_array_equal(one, other)


def test_a_chosen_region_is_moved_into_the_image_and_onto_the_grid(comparison):
    section = comparison['scales'][4]['sections'][0]
    chosen = section['crops'][1]
    assert chosen['how'] == 'chosen' and chosen['region'] == [52, 44, 20]
    assert chosen['tiles']['truth'].shape == (20, 20, 3) and chosen['tiles']['input'].shape == (5, 5, 3)
    assert section['crops'][0]['region'][2] == 24


def test_markdown_has_the_same_cells(comparison):
    text = as_markdown(comparison)
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']
    assert ['A & B', '1,234,567', '2.50 G', '123 ms (120 to 200)', '3.0 MiB', '29.50 / 0.8000'] in lines
    assert ['C', '**30.50**', '**0.8000**', '**31.00**', '**30.00**'] in lines
    assert ['DAN †', '32.50', '0.9000', NOTHING, NOTHING] in lines
    assert ['D', 'failed', *[NOTHING] * 3] in lines
    assert 'Failed: D on Set <5> x4: no "weights" <here>' in text
    assert 'cropped at the bottom and right to multiples of 4, the scale' in text


def test_a_mean_of_nothing_is_not_called_exact(comparison):
    section = comparison['scales'][4]['sections'][0]
    section['metrics'], section['published'] = {'niqe': {'type': 'calculate_niqe', 'crop_border': 0}}, {}
    for label in ('A & B', 'C'):  # every image too small: no value at all
        section['results'][label] |= {'mean': {}, 'groups': {}, 'images': [{'image': 'photo0'}]}
    for table in (overview([section], None), set_table(section)):
        assert [row.cells[-1].text for row in table.rows] == [NOTHING, NOTHING, 'failed']
    section['results']['C'] |= {'mean': {'niqe': math.inf}, 'exact': {'niqe': 1}}
    assert overview([section], None).rows[1].cells[-1].text == 'exact'


def test_exact_is_better_than_any_number(comparison):
    section = comparison['scales'][4]['sections'][0]
    section['results']['C']['mean']['psnr'] = math.inf
    section['results']['D'] = fake('D', 29.0)
    comparison['scales'][4]['costs'] = None
    for column, table in ((1, overview([section], None)), (0, set_table(section))):
        assert [row.cells[column].best for row in table.rows if row.kind == 'ours'] == [False, True, False]
    text = as_html(comparison)
    assert '<td data-v="Infinity"><b>exact / 0.8000</b>' in text  # as JavaScript reads it
    rising = [bool(mark) for mark in re.findall('<th scope="col"( data-rising)?>', text)]
    assert rising == [True, True, False, True] + 4 * [False]  # names, parameters, the set; names, two metrics, kernels


def test_lower_is_best_where_it_is_and_cropping_is_named(comparison):
    section = comparison['scales'][4]['sections'][0]
    section['metrics'] = {'niqe': {'type': 'calculate_niqe', 'crop_border': 0}}
    section['published'] = {}
    for label, value in (('A & B', 5.0), ('C', 7.0)):
        section['results'][label] |= {'mean': {'niqe': value}, 'groups': {}, 'images': [{'niqe': value}]}
    assert [row.cells[0].best for row in set_table(section).rows] == [True, False, False]
    assert [row.cells[-1].best for row in overview([section], None).rows] == [True, False, False]
    section['test']['cropped_to_multiples_of'] = 12
    comparison['scales'][4]['sections'][0]['crops'] = []
    assert 'multiples of 12 (the scale is 4)' in as_markdown(comparison)
    assert as_html(comparison).count('<th scope="col" data-rising>') == 5 + 1 + 2  # names, costs, NIQE; names, NIQE


@pytest.mark.parametrize(
    ('metrics', 'text', 'value'),
    [
        (['psnr', 'lpips', 'ssim'], f'32.50 / {NOTHING} / 0.9000', 32.5),
        (['lpips', 'psnr'], f'{NOTHING} / 32.50', None),
        (['ssim', 'psnr'], '0.9000 / 32.50', 0.9),
    ],
)
def test_published_numbers_stand_under_their_metric(comparison, metrics, text, value):
    section = comparison['scales'][4]['sections'][0]
    section['metrics'] = {metric: {} for metric in metrics}
    assert overview([section], None).rows[-1].cells[-1] == Cell(text, value)
    cells = [cell.text for cell in set_table(section).rows[-1].cells]
    assert cells == [*text.split(' / '), NOTHING, NOTHING]  # by kernel nothing is published


def test_published_results_stand_beside_the_same_protocol_only(photo_folder, tmp_path):
    """Those of five images stand beside five images, not beside a sixth, fewer, other crops or another protocol."""
    for number in range(5):
        (tmp_path / f'{number}.png').symlink_to(photo_folder / f'photo{number}.png')
    (tmp_path / 'list.txt').write_text(''.join(f'{number}.png\n' for number in range(5)))

    def found(name='Set5', scale=4, kernels=8, folder=tmp_path, **changes):
        section = {'protocol': 'gaussian8', 'gt': str(folder), **changes}
        return published_results(name, TestSet(name, section, scale).describe(), kernels)

    assert found()['DANv2'] == {'psnr': 32.00, 'ssim': 0.8885} and list(found()) == ['IKC', 'DANv1', 'DANv2']
    assert found(scale=2)['IKC'] == {'psnr': 37.19, 'ssim': 0.9526}
    assert found(crop_to=4) == found()  # at x4 that is the scale
    for changes in (
        {'kernels': 4},
        {'protocol': 'bicubic'},
        {'name': 'Set14'},
        {'name': 'sample_val'},
        {'folder': photo_folder},
        {'folder': photo_folder, 'leave_out': ['photo5.png']},
        {'leave_out': ['0.png']},
        {'meta_info': str(tmp_path / 'list.txt')},
        {'crop_to': 12},
        {'crop_to': 4, 'scale': 2},
    ):
        assert found(**changes) == {}, changes


def test_curve_places_values_to_scale():
    svg = draw_curve(
        {'A': (0, [(1.0, 20.0), (2.0, 30.0), (3.0, 40.0)]), 'B<': (1, [(1.0, 40.0), (3.0, 40.0)])}, 'x', 'y'
    )
    points = [
        [tuple(map(float, p.split(','))) for p in line.split()] for line in re.findall('polyline points="(.*?)"', svg)
    ]
    (a1, a2, a3), (b1, b3) = points
    assert a2[0] == pytest.approx((a1[0] + a3[0]) / 2, abs=0.1) and a2[1] == pytest.approx((a1[1] + a3[1]) / 2, abs=0.1)
    assert a1[1] > a3[1] and a3 == b3 and b1[0] == a1[0]
    names = [float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)" fill', svg)]
    assert abs(names[0] - names[1]) >= 15  # two lines that end alike keep their names apart
    assert 'B&lt;' in svg and Checked(svg)
    assert draw_curve({'A': (0, [(1.0, 2.0)])}, 'x', 'y') == ''


@pytest.mark.parametrize('low, high', [(24.9, 28.1), (0, 0.013), (30, 30), (-3, 1e4), (0.7301, 0.7608)])
def test_ticks_cover_the_range_by_round_steps(low, high):
    found = ticks(low, high)
    assert found[0] <= low and found[-1] >= high and 2 <= len(found) <= 8
    steps = np.diff(found)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    mantissa = steps[0] / 10.0 ** math.floor(math.log10(steps[0] * 1.0001))
    assert min(abs(mantissa - round_step) for round_step in (1, 2, 2.5, 5, 10)) < 1e-6
