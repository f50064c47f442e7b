"""An archive of either backend opens in either, and gives the same object."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.factory import ENVIRONMENT_VARIABLE
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel
from tests.parity.comparison import Comparison

BACKENDS = ("tensorflow", "pytorch")
OBJECT_TOLERANCE = 1e-5
"""Patches agree to 1e-6; stitching is NumPy and adds them up in the same order."""
QUICK = ExecutionConfig(accelerator="cpu", enable_checkpointing=False, logger_backend="none")


@cache
def scan() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=48, photons=1e5), seed=3)


@cache
def trained(backend: str, gridsize: int) -> TrainedModel:
    config = TrainingConfig(
        model=ModelConfig(N=32, gridsize=gridsize, n_filters_scale=1),
        nepochs=2,
        n_groups=32,
        nphotons=1e5,
        probe_trainable=True,
        backend=backend,
    )
    return train_scans([scan()], config, QUICK, backend=backend)


def reopened(model: TrainedModel, folder: Path, backend: str | None) -> TrainedModel:
    return TrainedModel.load(model.save(folder / "wts.h5.zip"), backend=backend, execution=QUICK)


@pytest.mark.parametrize("opening", BACKENDS)
@pytest.mark.parametrize("training", BACKENDS)
def test_weights_survive_the_archive_exactly(training: str, opening: str, tmp_path: Path) -> None:
    model = trained(training, 2)
    opened = reopened(model, tmp_path, opening)
    assert (opened.backend_name, opened.trained_by) == (opening, training)
    weights, expected = opened.backend.dump_weights(), model.backend.dump_weights()
    assert weights.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)


@pytest.mark.parametrize("training", BACKENDS)
def test_without_a_choice_the_archive_decides(training: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    assert reopened(trained(training, 2), tmp_path, None).backend_name == training


@cache
def objects(training: str, gridsize: int) -> Comparison:
    model = trained(training, gridsize)
    with TemporaryDirectory() as folder:
        opened = {backend: reopened(model, Path(folder), backend) for backend in BACKENDS}
        found, expected = (
            {
                "weighted by the probe": reconstruct(opened[backend], scan()).object,
                "central parts": reconstruct(opened[backend], scan(), assembly="central").object,
            }
            for backend in BACKENDS
        )
    return Comparison(found, expected, OBJECT_TOLERANCE)


@pytest.mark.parametrize("gridsize", [1, 2])
@pytest.mark.parametrize("training", BACKENDS)
def test_stitched_objects_agree(training: str, gridsize: int) -> None:
    objects(training, gridsize).check()


@pytest.mark.parametrize("gridsize", [1, 2])
@pytest.mark.parametrize("training", BACKENDS)
def test_a_nudged_object_is_noticed(training: str, gridsize: int) -> None:
    objects(training, gridsize).check_would_fail()
