"""Validation: means, groups, files."""

import json
import math

import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_niqe, calculate_psnr
from basicsr.utils import get_root_logger, tensor2img

from stea_arch.models.evaluator import SIDE, read_json_lines
from stea_arch.results.files import read_json
from stea_arch.results.picture import MARGIN
from stea_arch.results.summary import summarize


class Images(torch.utils.data.Dataset):
    """Six random pairs under three groups; number 2 is flat, so every network with a bicubic skip is exact on it."""

    opt = {'name': 'six', 'phase': 'val'}  # noqa: RUF012

    def __len__(self):
        return 6

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        lq = torch.rand(3, 8, 9, generator=generator)
        gt = torch.rand(3, 16, 18, generator=generator)
        if index == 2:
            lq, gt = torch.full_like(lq, 0.2), torch.full_like(gt, 0.2)
        group = f'sigma{index // 2}'
        return {'lq': lq, 'gt': gt, 'lq_path': f'a/im{index}_{group}.png', 'gt_path': f'a/im{index}', 'group': group}


BICUBIC = {'network_g': {'type': 'Bicubic', 'num_feat': ..., 'num_blocks': ...}}


@pytest.fixture
def loader():
    return torch.utils.data.DataLoader(Images(), batch_size=1)


def psnr(model, index):
    item = Images()[index]
    result = tensor2img(model.net_g(item['lq'][None]))
    return calculate_psnr(result, tensor2img(item['gt']), crop_border=2, test_y_channel=True)


def test_a_test_writes_every_image_and_the_means_by_group(make_model, loader, tmp_path):
    model = make_model({**BICUBIC, 'val': {'save_best': ...}}, is_train=False)
    model.validation(loader, 'run', None, save_img=True)
    file = tmp_path / 'results_root/metrics_six.json'
    content = read_json(file)
    assert 'Infinity' not in file.read_text()  # which is not JSON
    values = [psnr(model, index) for index in range(6)]
    assert values[2] == math.inf
    assert [record['psnr'] for record in content['images']] == values
    assert content['groups']['sigma0']['psnr'] == pytest.approx(np.mean(values[:2]))
    assert content['groups']['sigma1']['psnr'] == pytest.approx(values[3])
    finite = [value for value in values if value != math.inf]
    assert content['mean']['psnr'] == pytest.approx(np.mean(finite))
    assert content['exact'] == {'psnr': 1}
    assert content['parameters'] == 0
    assert content['versions']['basicsr'] == '1.4.2'
    assert all((tmp_path / 'visualization/six' / f'im{i}_sigma{i // 2}_tiny.png').is_file() for i in range(6))


def test_what_has_no_value_is_left_out_of_the_mean_and_counted():
    """NaN is SSIM's of an image smaller than its window; broken weights are another matter, and end the test."""
    records = [{'group': 'a', 'ssim': 0.5}, {'group': 'a', 'ssim': math.nan}, {'group': 'b', 'ssim': math.nan}]
    summary = summarize([*records, {'group': 'b'}], ['ssim'])
    assert summary['mean'] == {'ssim': 0.5} and summary['groups'] == {'a': {'ssim': 0.5}, 'b': {}}
    assert summary['without_value'] == {'ssim': 3} and summary['exact'] == {}


class Small(Images):
    """The first image is too small for SSIM, whose window has 11 pixels and a border of 2 goes off."""

    opt = {'name': 'small', 'phase': 'val'}  # noqa: RUF012

    def __getitem__(self, index):
        item = super().__getitem__(index)
        return {**item, 'lq': item['lq'][:, :4, :4], 'gt': item['gt'][:, :8, :8]} if index == 0 else item


def test_an_image_without_a_value_is_left_out_of_the_mean_and_counted(make_model, tmp_path):
    ssim = {'ssim': {'type': 'calculate_ssim', 'crop_border': 2, 'test_y_channel': False}}
    model = make_model({'val': {'metrics': ssim, 'save_best': 'ssim'}})
    model.validation(torch.utils.data.DataLoader(Small()), 1, None, save_img=False)
    (line,) = read_json_lines(tmp_path / 'experiments_root/validations.jsonl')
    model.validation(torch.utils.data.DataLoader(Images()), 1, None, save_img=False)
    _, whole = read_json_lines(tmp_path / 'experiments_root/validations.jsonl')
    assert line['without_value'] == {'ssim': 1} and whole['without_value'] == {}
    first = whole['groups']['sigma0']['ssim'] * 2 - line['groups']['sigma0']['ssim']  # of two images under a kernel
    assert line['mean']['ssim'] == pytest.approx((whole['mean']['ssim'] * 6 - first) / 5)
    assert model.best_metric_results['small']['ssim']['val'] == line['mean']['ssim']
    assert (tmp_path / 'models/net_g_best.pth').is_file()


@pytest.mark.parametrize('moment', ['stea_arch.models.evaluator.os.fsync', 'stea_arch.system.files.os.replace'])
def test_what_is_noted_as_the_best_is_on_the_disk_whenever_the_process_ends(
    make_model, batch, tmp_path, monkeypatch, moment
):
    def fingerprint(state_dict):
        return {name: value.sum().item() for name, value in state_dict.items()}

    loader = torch.utils.data.DataLoader(Images())
    model = make_model()
    model.validation(loader, 0, None, save_img=False)
    best = fingerprint(model.net_g_ema.state_dict())
    with torch.no_grad():
        model.net_g_ema.load_state_dict(model.net_g.state_dict())
        for index in range(6):  # brings every image nearer to its truth
            item = Images()[index]
            model.net_g_ema.tail[-1].bias.add_((item['gt'] - model.net_g_ema(item['lq'][None])[0]).mean() / 6)
    model.step = 1
    with monkeypatch.context() as patch:
        patch.setattr(moment, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            model.validation(loader, 1, None, save_img=False)
    noted = max(read_json_lines(tmp_path / 'experiments_root/validations.jsonl'), key=lambda line: line['mean']['psnr'])
    saved = torch.load(tmp_path / 'models/net_g_best.pth', weights_only=True)['params_ema']
    expected = best if noted['iter'] == 0 else fingerprint(model.net_g_ema.state_dict())
    assert fingerprint(saved) == expected


def test_all_exact_is_infinite():
    assert summarize([{'group': None, 'psnr': math.inf}], ['psnr'])['mean']['psnr'] == math.inf


def test_training_keeps_the_best_and_a_line_per_validation(make_model, loader, batch, tmp_path):
    model = make_model()
    best = tmp_path / 'models/net_g_best.pth'
    means = []
    for iteration in (1, 2, 3):
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        if iteration == 2:  # spoil the averaged weights, so that this validation is not the best
            with torch.no_grad():
                model.net_g_ema.tail[-1].bias.add_(0.5)
        if iteration == 3:
            with torch.no_grad():
                model.net_g_ema.tail[-1].bias.add_(0.3)
        before = best.read_bytes() if best.exists() else None
        model.validation(loader, iteration, None, save_img=False)
        means.append(model.metric_results['psnr'])
        assert (best.read_bytes() == before) == (iteration > 1)
    lines = read_json_lines(tmp_path / 'experiments_root/validations.jsonl')
    assert [line['iter'] for line in lines] == [1, 2, 3]
    assert [line['mean']['psnr'] for line in lines] == means
    assert model.best_metric_results['six']['psnr'] == {'better': 'higher', 'val': means[0], 'iter': 1}

    # the last step is not validated twice, whatever BasicSR calls it
    model.validation(loader, 4, None, save_img=False)
    assert len(read_json_lines(tmp_path / 'experiments_root/validations.jsonl')) == 3

    # what came after the iteration of the state is forgotten, and a line cut short by a kill is not a line
    with open(tmp_path / 'experiments_root/validations.jsonl', 'a') as file:
        file.write('{"iter": 9, "dat')
    resumed = make_model()
    resumed.evaluator.replay(2)
    resumed.step = 2
    resumed.validation(loader, 3, None, save_img=False)  # was validated before the run stopped
    assert resumed.best_metric_results == {'six': {'psnr': {'better': 'higher', 'val': means[0], 'iter': 1}}}
    assert [line['iter'] for line in read_json_lines(tmp_path / 'experiments_root/validations.jsonl')] == [1, 2]


class Photographs(torch.utils.data.Dataset):
    """Images without a truth, large enough for NIQE's blocks of 96 pixels when they are enlarged."""

    opt = {'name': 'photographs', 'phase': 'val'}  # noqa: RUF012

    def __len__(self):
        return 5

    def __getitem__(self, index):
        size = (50, 60) if index == 4 else (52, 100)  # the last has a single block, too few for NIQE
        lq = torch.rand(3, *size, generator=torch.Generator().manual_seed(index))
        return {'lq': lq, 'lq_path': f'a/photo{index}.png'}


BOTH = {'niqe': {'type': 'calculate_niqe', 'crop_border': 0, 'better': 'lower'}}


class Tensorboard:
    """Keeps what it is given."""

    def __init__(self):
        self.scalars, self.images = {}, {}

    def add_scalar(self, name, value, iteration):
        self.scalars[name] = value

    def add_image(self, name, image, iteration, dataformats):
        assert dataformats == 'HWC'
        self.images[name] = image


def test_without_truth_only_metrics_that_need_none_are_taken(make_model, tmp_path):
    model = make_model({**BICUBIC, 'val': {'save_best': ..., 'metrics': BOTH}}, is_train=False)
    photographs = torch.utils.data.DataLoader(Photographs(), batch_size=1)
    model.validation(photographs, 'run', None, save_img=False)
    content = json.loads((tmp_path / 'results_root/metrics_photographs.json').read_text())
    results = [tensor2img(model.net_g(Photographs()[index]['lq'][None])) for index in range(4)]
    values = [calculate_niqe(result, crop_border=0) for result in results]
    assert [record.get('niqe') for record in content['images']] == [*values, None]
    assert content['mean'] == {'niqe': pytest.approx(np.mean(values))}
    assert all('psnr' not in record for record in content['images'])


def test_training_shows_crops_and_takes_no_truth_from_its_last_batch(make_model, batch, tmp_path, monkeypatch):
    model = make_model({'val': {'metrics': BOTH, 'save_best': 'niqe'}})
    tensorboard = Tensorboard()
    model.feed_data(batch)
    model.optimize_parameters(1)
    monkeypatch.setattr('basicsr.metrics.calculate_metric', lambda data, opt: len(data))
    for dataset in (Photographs(), Images()):  # first those without, while the model holds the batch's truth
        model.validation(torch.utils.data.DataLoader(dataset), 1, tensorboard, save_img=False)
    assert (tmp_path / 'models/net_g_best.pth').is_file()
    # of six: two images; of the photographs, and large enough for NIQE: one
    assert tensorboard.scalars == {'metrics/six/psnr': 2, 'metrics/photographs/niqe': 1}
    picture = tensorboard.images['crops/six']
    row = (len(picture) - MARGIN) // 4
    lq, gt = (tensor2img([Images()[1][name]])[..., ::-1] for name in ('lq', 'gt'))
    for left, tile in ((MARGIN, lq[:, : lq.shape[0]]), (2 * (SIDE + MARGIN) + MARGIN, gt[:, : gt.shape[0]])):
        shown = picture[MARGIN + row :, left:][:SIDE, :SIDE]
        np.testing.assert_array_equal(shown, tile.repeat(SIDE // len(tile), 0).repeat(SIDE // len(tile), 1))
    assert tensorboard.images['crops/photographs'].shape[1] == 2 * (SIDE + MARGIN) + MARGIN  # no truth


def test_a_result_that_is_not_finite_is_no_picture(make_model, loader):
    model = make_model(is_train=False)
    model.net_g.tail[0].bias.data[0] = math.nan
    with pytest.raises(ValueError, match=r'result of a/im0_sigma0\.png holds values that are not finite.*checkpoint'):
        model.validation(loader, 'run', None, save_img=False)


@pytest.mark.parametrize(('saved', 'wanted', 'said'), [('params', 'params_ema', True), ('params', 'params', False)])
def test_other_weights_than_were_asked_for_are_said(
    make_model, loader, tmp_path, monkeypatch, caplog, saved, wanted, said
):
    monkeypatch.setattr(get_root_logger(), 'propagate', True)  # it is switched off where a logger is made
    torch.save({saved: make_model(is_train=False).net_g.state_dict()}, tmp_path / 'net.pth')
    path = {'pretrain_network_g': str(tmp_path / 'net.pth'), 'param_key_g': wanted}
    with caplog.at_level('WARNING', 'basicsr'):
        model = make_model({'path': path}, is_train=False)
    assert (f'net.pth has no {wanted}: its {saved} are loaded' in caplog.text) == said
    model.validation(loader, 'run', None, save_img=False)
    assert json.loads((tmp_path / 'results_root/metrics_six.json').read_text())['param_key'] == saved


def test_a_folder_of_photographs_as_people_have_it(make_model, tmp_path, monkeypatch):
    """photo.jpg and photo.png have results of their own, what is not an image is not read, a broken one is named."""
    from basicsr.data import build_dataset
    from PIL import Image

    folder = tmp_path / 'photos'
    folder.mkdir()
    for number, name in enumerate(['photo.jpg', 'photo.png', 'other.png']):
        Image.new('RGB', (12, 8), (90 * number, 10, 10)).save(folder / name)
    (folder / 'Thumbs.db').write_bytes(b'?')
    opt = {'name': 'p', 'type': 'SingleImageDataset', 'dataroot_lq': str(folder), 'phase': 'val'}
    model = make_model({**BICUBIC, 'val': {'metrics': {'niqe': {'type': 'calculate_niqe', 'crop_border': 2}}}}, False)

    def test():
        dataset = build_dataset({**opt, 'io_backend': {'type': 'disk'}})
        model.validation(torch.utils.data.DataLoader(dataset), 'run', None, save_img=True)

    test()
    content = json.loads((tmp_path / 'results_root/metrics_p.json').read_text())
    results = {record['image']: record['result'] for record in content['images']}
    assert list(results) == ['other', 'photo.jpg', 'photo.png']
    assert len(set(results.values())) == 3
    assert {Image.open(path).getpixel((8, 8))[0] // 80 for path in results.values()} == {0, 1, 2}
    (folder / 'other.png').write_bytes(b'broken')
    with pytest.raises(ValueError, match=r'photos/other\.png of p could not be read as an image'):
        test()
