"""A model that is saved and opened again gives the object it gave before."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel


def trained(scan: RawData, **options: object) -> TrainedModel:
    model = ModelConfig(N=32, gridsize=2, n_filters_scale=1)
    config = TrainingConfig(model=model, nepochs=1, batch_size=8, nphotons=1e5, **options)  # type: ignore[arg-type]
    execution = ExecutionConfig(accelerator="cpu", seed=7)
    return train_scans([scan], config, execution, backend="pytorch", every_point=True)


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("pytorch", {"subsample_seed": 3, "neighbor_count": 7}),
        ("pytorch", {"probe_trainable": True}),
        ("tensorflow", {}),
    ],
)
def test_neighbours_are_drawn_as_before_saving(
    backend: str, options: dict[str, object], scan: RawData, tmp_path: Path
) -> None:
    model = trained(scan, **options)
    before = reconstruct(model, scan, polish_steps=0).object
    opened = TrainedModel.load(model.save(tmp_path / "wts.h5.zip"), backend)
    after = reconstruct(opened, scan, polish_steps=0).object
    np.testing.assert_allclose(after, before, atol=0 if backend == "pytorch" else 1e-4)
    again = TrainedModel.load(opened.save(tmp_path / "again.h5.zip"), backend)
    np.testing.assert_array_equal(reconstruct(again, scan, polish_steps=0).object, after)


def test_a_seed_that_is_asked_for_wins(scan: RawData, tmp_path: Path) -> None:
    archive = trained(scan).save(tmp_path / "wts.h5.zip")
    assert read_metadata(archive)["seed"] == 7
    kept = reconstruct(TrainedModel.load(archive), scan, polish_steps=0).object
    model = TrainedModel.load(archive, execution=ExecutionConfig(seed=9))
    other = reconstruct(model, scan, polish_steps=0).object
    assert np.abs(other - kept).max() > 1e-3
    np.testing.assert_array_equal(reconstruct(model, scan, polish_steps=0, seed=7).object, kept)


def test_an_archive_that_holds_no_seed_takes_the_default(scan: RawData, tmp_path: Path) -> None:
    model = trained(scan)
    model.given_probes = None
    archive = model.save(tmp_path / "wts.h5.zip")
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members["metadata.json"] = members["metadata.json"].replace(b'"seed": 7', b'"note": 7')
    with zipfile.ZipFile(tmp_path / "old.h5.zip", "w") as old:
        for name, content in members.items():
            old.writestr(name, content)
    opened = TrainedModel.load(tmp_path / "old.h5.zip")
    assert opened.draw_seed == ExecutionConfig().seed
