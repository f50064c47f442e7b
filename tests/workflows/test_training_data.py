"""Both backends train from a data set on disk as they do from scans in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.dataset import ScanDataset, open_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.runs.train import train_scans, train_source
from ptychopinn_backend.runs.training_data import group_scans, group_scans_on_disk

SEED = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two scans with probes of different size."""
    folder = tmp_path_factory.mktemp("scans")
    for seed in (1, 2):
        spec = SimulationConfig(size=32, patterns=30, photons=10.0 ** (3 + seed))
        simulate_scan(spec, seed=seed).to_file(folder / f"{seed}.npz")
    return sorted(folder.iterdir())


def training_config(gridsize: int = 2) -> TrainingConfig:
    model = ModelConfig(N=32, gridsize=gridsize, n_filters_scale=1)
    return TrainingConfig(model=model, nepochs=1, batch_size=8, n_groups=12, validation_fraction=0.25, nphotons=1e4)


@pytest.mark.parametrize("backend", ["tensorflow", "pytorch"])
def test_training_from_disk_is_training_from_memory(files: list[Path], tmp_path: Path, backend: str) -> None:
    config, execution = training_config(), ExecutionConfig(seed=SEED, accelerator="cpu")
    data = group_scans_on_disk(files, tmp_path / "set", config, SEED)
    on_disk = train_source(data.training, config, execution, validation=data.validation, backend=backend)
    scans = [RawData.from_file(file) for file in files]
    in_memory = train_scans(scans, config, execution, backend=backend)
    assert on_disk.history == in_memory.history
    assert on_disk.history["val_loss"]
    theirs = in_memory.backend.dump_weights()
    for name, weights in on_disk.backend.dump_weights().items():
        np.testing.assert_array_equal(weights, theirs[name], err_msg=name)


def test_data_for_validation_lie_beside(files: list[Path], tmp_path: Path) -> None:
    config = training_config()
    data = group_scans_on_disk(files[:1], tmp_path / "set", config, SEED, validation=files[1], every_point=True)
    expected = group_scans([RawData.from_file(files[0])], [RawData.from_file(files[1])], config, SEED, every_point=True)
    assert isinstance(data.validation, ScanDataset)
    assert expected.validation is not None
    assert data.training.n_groups == 30
    np.testing.assert_array_equal(data.validation.X, expected.validation.X)
    assert open_dataset(tmp_path / "set-validation").n_groups == 30


def test_no_scan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No scan was given to train on"):
        group_scans([], [], training_config(), SEED)
    with pytest.raises(DataError, match="No scan was given"):
        group_scans_on_disk([], tmp_path / "set", training_config(), SEED)
