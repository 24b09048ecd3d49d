"""A training that ends before its first step leaves the disk as it was; one that has made a step keeps everything."""

import pytest

from stea_arch import train
from stea_arch.models.labnet_model import LabNetModel
from stea_arch.system.errors import InputError


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.fixture
def fail(tiny_options, run_main, tmp_path, monkeypatch):
    """``fail(error, where)``: start a training in which a function of BasicSR's or ours fails."""

    def run(error, where='basicsr.train.build_model', also=lambda: None):
        def broken(*_, **__):
            also()
            raise error

        with monkeypatch.context() as patch, pytest.raises((SystemExit, RuntimeError)):
            patch.setattr(where, broken)
            run_main(train.main, tiny_options({'val': ..., 'logger': {'use_tb_logger': True}}))

    return run


@pytest.mark.parametrize('error', [InputError('x'), RuntimeError('x'), KeyboardInterrupt()])
@pytest.mark.parametrize('where', ['basicsr.train.build_model', 'stea_arch.data.training_images.ImageSource.read'])
def test_a_failed_start_leaves_no_trace(fail, tmp_path, error, where):
    fail(error, where)
    assert not (tmp_path / 'experiments').exists() and not (tmp_path / 'tb_logger').exists()


def test_an_older_run_has_its_name_again(fail, tiny_options, run_main, tmp_path):
    run_main(train.main, tiny_options({'val': ..., 'train': {'total_iter': 1}}))
    before = contents(tmp_path / 'experiments')
    fail(InputError('x'))
    assert contents(tmp_path / 'experiments') == before
    assert [path.name for path in (tmp_path / 'experiments').iterdir()] == ['tiny']


def test_what_somebody_else_has_put_there_stays(fail, tmp_path, capsys):
    note = tmp_path / 'experiments/tiny/models/note.txt'
    fail(InputError('x'), also=lambda: note.write_text('mine'))
    assert note.read_text() == 'mine' and list(note.parents[1].glob('*.log'))
    assert f'{note.parents[1]} stays, though no step was made' in capsys.readouterr().err


def test_a_folder_of_another_process_stays(fail, tmp_path):
    folder = tmp_path / 'experiments/tiny'

    def replace():
        folder.rename(f'{folder}_archived_later')
        folder.mkdir()

    fail(InputError('x'), also=replace)
    assert folder.is_dir() and list(tmp_path.glob('experiments/tiny_archived_later/*.log'))


def test_after_a_step_everything_stays(tiny_options, run_main, tmp_path, monkeypatch):
    finish_step = LabNetModel.finish_step

    def interrupted(self, current_iter, values):
        finish_step(self, current_iter, values)
        if current_iter == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(LabNetModel, 'finish_step', interrupted)
    with pytest.raises(SystemExit):
        run_main(train.main, tiny_options({'val': ...}))
    assert list(tmp_path.glob('experiments/tiny/*.log'))
