"""Validation and testing: shared among the processes, grouped by kernel, kept as JSON."""

import itertools
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from basicsr.utils import get_root_logger, tensor2img
from torch.utils.data import default_collate
from tqdm import tqdm

from stea_arch.data.image_io import write_png
from stea_arch.results.files import dumps, loads, write_json
from stea_arch.results.picture import cut, draw_grid, to_rgb
from stea_arch.results.summary import measure, needs_truth, summarize
from stea_arch.resume import Pipeline
from stea_arch.system.errors import InputError
from stea_arch.system.files import whole_or_nothing
from stea_arch.system.launch import gather
from stea_arch.system.versions import get_versions

SHOWN, SIDE = 4, 128  # images of a validation in TensorBoard, and pixels of their crops


class Evaluator:
    """A model's validation and test: every image is recorded, and an exact one does not spoil the mean.

    Where an image has no ground truth, metrics that need one are left out and the others (NIQE, say) are taken.

    A training run appends a line per validation to ``experiments/<name>/validations.jsonl``, from which the best
    results are rebuilt on resume. A test writes ``results/<name>/metrics_<dataset>.json``.

    Args:
        model (SRModel): Of ours; it feeds, tests, and keeps the best results as BasicSR's models do.

    Attributes:
        validated (dict[str, int]): The step at which each dataset was validated last.
    """

    def __init__(self, model):
        self.model = model
        self.validated = {}

    @property
    def opt(self):
        return self.model.opt

    def __call__(self, dataloader, current_iter, tb_logger, save_img):
        """Run every image of a dataset through the network; each process takes its share.

        Args:
            dataloader (DataLoader): Its dataset is indexed directly. Items may carry ``group``, a name (a kernel,
                say) over which results are also averaged.
            current_iter (int | str): Iteration in training, the run's name in a test.
            tb_logger (SummaryWriter | None): Gets the means, and a picture of crops from the first images.
            save_img (bool): Write each result as PNG where BasicSR does.
        """
        dataset = dataloader.dataset
        name = dataset.opt['name']
        if self.model.is_train:
            current_iter = self.model.step  # BasicSR counts one further after the last step
            if self.validated.get(name) == current_iter:
                return
            self.validated[name] = current_iter
        rank, world_size = self.opt['rank'], self.opt['world_size']
        indices = range(rank, len(dataset), world_size)
        if self.opt['val'].get('pbar') and rank == 0:
            indices = tqdm(indices, unit='image', desc=name, dynamic_ncols=True)
        crops = [] if tb_logger else None
        names = image_names(dataset)
        records = [
            self._validate_one(read_item(dataset, i), i, names, name, current_iter, save_img, crops) for i in indices
        ]
        if crops:
            tb_logger.add_image(f'crops/{name}', np.asarray(draw_grid(crops, SIDE)), current_iter, dataformats='HWC')
        records = sorted(itertools.chain(*gather(records)), key=lambda record: record['index'])
        if rank == 0 and self.opt['val'].get('metrics') is not None:
            self._report(records, dataset, current_iter, tb_logger)

    def _validate_one(self, item, index, names, dataset_name, current_iter, save_img, crops):
        vars(self.model).pop('gt', None)  # of the last training batch: it would pass for that of an image without one
        self.model.feed_data(default_collate([item]))
        self.model.test()
        visuals = self.model.get_current_visuals()
        name = names.get(item['lq_path'], Path(item['lq_path']).stem)
        if not visuals['result'].isfinite().all():
            raise InputError(
                f'The result of {item["lq_path"]} holds values that are not finite (NaN or infinite), which a picture '
                'would show as black. Weights that a training brought there are useless: take an earlier checkpoint.'
            )
        result = tensor2img([visuals['result']])
        record = {'index': index, 'image': name, 'group': item.get('group')}
        if save_img:
            record['result'] = str(self._image_path(name, dataset_name, current_iter))
            write_png(result, record['result'])
        if crops is not None and len(crops) < SHOWN:
            crops.append(middle_crops(visuals))
        gt = tensor2img([visuals['gt']]) if 'gt' in visuals else None
        record |= {'with_truth': gt is not None, **measure(result, gt, self.opt['val'].get('metrics') or {})}
        vars(self.model).pop('gt', None)
        del self.model.lq, self.model.output
        return record

    def _image_path(self, name, dataset_name, current_iter):
        root = Path(self.opt['path']['visualization'])
        if self.model.is_train:
            return root / name / f'{name}_{current_iter}.png'
        return root / dataset_name / f'{name}_{self.opt["val"].get("suffix") or self.opt["name"]}.png'

    def _report(self, records, dataset, current_iter, tb_logger):
        with_truth = any([record.pop('with_truth') for record in records])
        metrics = self.opt['val']['metrics'].items()
        summary = summarize(records, [metric for metric, opt in metrics if with_truth or not needs_truth(opt)])
        name = dataset.opt['name']
        self.model.metric_results = summary['mean']
        if self.model.is_train:
            self.model._initialize_best_metric_results(name)
            for metric, value in self.model.metric_results.items():
                self.model._update_best_metric_result(name, metric, value, current_iter)
        self.model._log_validation_metric_values(current_iter, name, tb_logger)
        if summary['exact']:
            get_root_logger().info(f'{name}: results equal to the truth are left out of the mean: {summary["exact"]}')
        if summary['without_value']:
            get_root_logger().info(
                f'{name}: images for which a metric has no value are left out of its mean: {summary["without_value"]}'
            )
        if self.model.is_train:
            self._keep_best(name, current_iter)  # first: what is noted as the best is on the disk
            self._append_validation({'iter': current_iter, 'dataset': name, **summary})
        else:
            self._write_results(summary, records, dataset)

    def _keep_best(self, dataset_name, current_iter):
        metric = self.opt['val'].get('save_best')
        first = next(iter(self.model.best_metric_results))
        if (
            metric in self.model.metric_results
            and dataset_name == first
            and self._best_result()['iter'] == current_iter
        ):
            self.model.save_best_network()

    @property
    def _validations_file(self):
        return Path(self.opt['path']['experiments_root'], 'validations.jsonl')

    def _append_validation(self, line):
        with open(self._validations_file, 'a', encoding='utf-8') as file:
            file.write(dumps(line) + '\n')
            file.flush()
            os.fsync(file.fileno())

    def replay(self, iteration, aside=None):
        """Rebuild the best results from what was validated up to ``iteration``, and forget what came after it.

        Args:
            iteration (int): From which the run goes on.
            aside (Path | None): Where the first process has put what it leaves behind; a copy of the notes joins it,
                and the best weights where they are later. The best of what comes is kept anew then.
        """
        if not self.opt.get('val', {}).get('metrics'):
            return
        found = read_json_lines(self._validations_file)
        best = Path(self.opt['path']['models'], 'net_g_best.pth')
        is_later = False
        if aside and best.is_file():
            self._take_up(found)
            is_later = bool(result := self._best_result()) and result['iter'] > iteration
        lines = [line for line in found if line['iter'] <= iteration]
        lines = gather(lines)[0]  # processes that disagreed on what is validated would wait for each other
        self._take_up(lines)
        if self.opt['rank'] != 0:
            return
        if is_later:
            (aside / 'models').mkdir(exist_ok=True)
            best.rename(aside / 'models' / best.name)
            if result := self._best_result():
                result.update(iter=-1, val=float('inf' if result['better'] == 'lower' else '-inf'))
        if aside and found:
            shutil.copy(self._validations_file, aside)
        with whole_or_nothing(self._validations_file) as partial:
            partial.write_text(''.join(dumps(line) + '\n' for line in lines), encoding='utf-8')

    def _take_up(self, lines):
        """Note as validated, and as the best results, what these lines say."""
        self.validated.clear()
        vars(self.model).pop('best_metric_results', None)
        for line in lines:
            self.validated[line['dataset']] = line['iter']
            self.model._initialize_best_metric_results(line['dataset'])
            for metric, value in line['mean'].items():
                if metric in self.model.best_metric_results[line['dataset']]:
                    self.model._update_best_metric_result(line['dataset'], metric, value, line['iter'])

    def _best_result(self):
        """BasicSR's entry (``better``, ``val``, ``iter``) of the metric whose best weights are kept, or None."""
        first = next(iter(getattr(self.model, 'best_metric_results', {}).values()), {})
        return first.get(self.opt['val'].get('save_best'))

    def catch_up(self):
        """Validate what a run has not that was stopped after it had saved its state and before it had validated."""
        if not self.opt.get('val') or self.model.step % int(self.opt['val']['val_freq']):
            return
        for loader in Pipeline.val_loaders:
            self.model.validation(loader, self.model.step, None, self.opt['val']['save_img'])

    def _write_results(self, summary, records, dataset):
        weights = self.opt['path'].get('pretrain_network_g')
        content = {
            'name': self.opt['name'],
            'dataset': {
                k: v for k, v in dataset.opt.items() if isinstance(v, (str, int, float, list, dict, type(None)))
            },
            'scale': self.opt.get('scale'),
            'network_g': self.opt['network_g'],
            'parameters': sum(p.numel() for p in self.model.get_bare_model(self.model.net_g).parameters()),
            'weights': weights,
            'param_key': self.model.store.loaded_keys.get(str(weights)),
            'self_ensemble': bool(self.opt['val'].get('self_ensemble')),
            'inference': self.opt['val'].get('inference'),
            'metrics': self.opt['val']['metrics'],
            **summary,
            'images': records,
            'versions': get_versions(),
        }
        path = Path(self.opt['path']['results_root'], f'metrics_{dataset.opt["name"]}.json')
        write_json(content, path)
        get_root_logger().info(f'Results of every image and kernel: {path}')


def image_names(dataset):
    """The whole names of those images that differ from another only by their extension, by path.

    Args:
        dataset (Dataset): One of BasicSR's, with ``paths``; of another one the names differ.

    Returns:
        dict[str, str]: E.g. ``{'a/photo.jpg': 'photo.jpg', 'a/photo.png': 'photo.png'}``, for results to differ too.
    """
    paths = [path['lq_path'] if isinstance(path, dict) else path for path in getattr(dataset, 'paths', ())]
    stems = Counter(Path(path).stem for path in paths)
    return {path: Path(path).name for path in paths if stems[Path(path).stem] > 1}


def read_item(dataset, index):
    """``dataset[index]``; an InputError with the image's path where one of BasicSR's datasets fails to decode it."""
    try:
        return dataset[index]
    except (InputError, OSError):
        raise
    except Exception as error:  # BasicSR goes on with None where OpenCV cannot decode
        where = dataset.paths[index] if hasattr(dataset, 'paths') else f'Image {index}'
        where = where['lq_path'] if isinstance(where, dict) else where
        raise InputError(
            f'{where} of {dataset.opt["name"]} could not be read as an image. Replace the file or take it out of the '
            f'folder. ({type(error).__name__}: {error})'
        ) from error


def middle_crops(visuals):
    """The middle of an image, its result and, where there is one, its truth: [(name, (h, w, 3) uint8), ...]."""
    images = {name: to_rgb(visuals[name][0]) for name in ('lq', 'result', 'gt') if name in visuals}
    height, width = images['result'].shape[:2]
    scale = height // images['lq'].shape[0]
    side = min(SIDE, height, width) // scale * scale
    region = [(length - side) // 2 // scale * scale for length in (height, width)] + [side]
    return [(name, cut(image, region, scale if name == 'lq' else 1)) for name, image in images.items()]


def read_json_lines(path):
    """Read the complete lines of a JSON-lines file; a last line cut short by a kill is left out."""
    path = Path(path)
    if not path.is_file():
        return []
    return [loads(line) for line in path.read_text(encoding='utf-8').split('\n')[:-1]]
