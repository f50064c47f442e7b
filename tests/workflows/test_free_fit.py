"""Held-out patterns: never trained on, and what they say of a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.held_out import held_out_rows
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation.free_fit import free_fit
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import train_scans, train_source
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.training_data import group_scans, group_scans_on_disk

CONFIG = TrainingConfig(
    model=ModelConfig(N=32, gridsize=1, architecture="backprojection_unet", n_filters_scale=1),
    nepochs=8,
    batch_size=4,
    validation_fraction=0.0,
    intensity_scale_trainable=False,
    nll_weight=0.0,
    mse_weight=1.0,
    held_out_fraction=0.1,
)


@pytest.fixture(scope="module")
def trained(scan: RawData) -> TrainedModel:
    config = replace(CONFIG, nphotons=scan.mean_photons)
    return train_scans([scan], config, ExecutionConfig(seed=1), backend="pytorch", every_point=True)


def test_held_out_patterns_are_in_no_group(scan: RawData) -> None:
    rows = held_out_rows(scan.positions_xy, 0.1)
    data = group_scans([scan], [], CONFIG, seed=0, every_point=True)
    ((whole, held_out),) = data.held_out
    np.testing.assert_array_equal(held_out, rows)
    assert whole is scan
    trained_on = {tuple(position) for position in data.training.coords_true.reshape(-1, 2)}
    assert len(trained_on) == scan.n_patterns - len(rows)
    assert not trained_on & {tuple(position) for position in scan.positions_xy[rows]}


def test_every_epoch_of_the_history_has_its_r_free(trained: TrainedModel) -> None:
    history = trained.history
    assert len(history["r_free"]) == len(history["free_deviance"]) == len(history["loss"]) == 8
    assert history["r_free"][-1] < history["r_free"][0]
    assert history["free_deviance"][-1] < history["free_deviance"][0]


def test_without_held_out_patterns_the_history_has_none(scan: RawData) -> None:
    model = train_scans([scan], replace(CONFIG, nepochs=1, held_out_fraction=0.0), backend="pytorch", every_point=True)
    assert "r_free" not in model.history


def test_a_learned_object_explains_them_better_than_vacuum(scan: RawData, trained: TrainedModel) -> None:
    rows = held_out_rows(scan.positions_xy, 0.1)
    made = reconstruct(trained, scan.select(np.setdiff1d(np.arange(scan.n_patterns), rows)), polish_steps=0)
    learned = free_fit(made, scan, rows)
    blank = free_fit(replace(made, object=np.ones_like(made.object)), scan, rows)
    assert learned is not None
    assert blank is not None
    assert learned.deviance < blank.deviance
    assert learned.r < blank.r


def test_patterns_beyond_the_object_judge_nothing(scan: RawData, trained: TrainedModel) -> None:
    made = reconstruct(trained, scan.select(np.arange(4)), polish_steps=0)
    assert free_fit(replace(made, object=np.zeros_like(made.object)), scan, np.arange(4, 8)) is None


def test_a_data_set_on_disk_holds_patterns_out_too(scan: RawData, tmp_path: Path) -> None:
    scan.to_file(tmp_path / "scan.npz")
    config = replace(CONFIG, model=replace(CONFIG.model, gridsize=2), neighbor_count=4, nphotons=scan.mean_photons)
    whole = group_scans_on_disk(
        [tmp_path / "scan.npz"], tmp_path / "set", replace(config, held_out_fraction=0.0), 0, every_point=True
    )
    assert whole.held_out == ()
    data = group_scans_on_disk([tmp_path / "scan.npz"], tmp_path / "set", config, seed=0, every_point=True)
    ((judged, rows),) = data.held_out
    np.testing.assert_array_equal(rows, held_out_rows(scan.positions_xy, 0.1))
    np.testing.assert_allclose(judged.diff3d, scan.diff3d, rtol=1e-5)
    assert isinstance(data.training, PtychoDataContainer)
    assert not np.isin(data.training.pattern_rows, rows).any()
    assert 0.4 * whole.training.n_groups < data.training.n_groups < whole.training.n_groups
    trained = train_source(data.training, replace(config, nepochs=1), held_out=data.held_out, backend="pytorch")
    assert len(trained.history["r_free"]) == 1


def test_a_data_set_without_a_group_to_spare_holds_none_out(scan: RawData, tmp_path: Path) -> None:
    small = scan.select(np.arange(16))
    small.to_file(tmp_path / "scan.npz")
    config = replace(CONFIG, model=replace(CONFIG.model, gridsize=3), neighbor_count=15)
    config = replace(config, held_out_fraction=0.5)
    data = group_scans_on_disk([tmp_path / "scan.npz"], tmp_path / "set", config, seed=0, every_point=True)
    assert data.held_out == ()
    assert data.training.n_groups > 0
