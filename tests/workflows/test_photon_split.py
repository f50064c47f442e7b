"""Training on split counts: whole counts only, epochs as long as before, the same numbers in both backends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.groups import SelectedGroups
from ptychopinn_backend.runs.train import train_scans, train_source

CONFIG = TrainingConfig(
    model=ModelConfig(N=32, gridsize=1, architecture="backprojection_unet", n_filters_scale=1),
    nepochs=2,
    batch_size=4,
    groups_per_epoch=8,
    validation_fraction=0.0,
    intensity_scale_trainable=False,
    target_photon_fraction=0.2,
)


def test_both_backends_train_alike_on_the_same_splits(scan: RawData) -> None:
    losses = [
        train_scans([scan], replace(CONFIG, nphotons=scan.mean_photons), backend=name, every_point=True).history["loss"]
        for name in ("tensorflow", "pytorch")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_a_split_changes_what_is_trained_on_and_the_seed_repeats_it(scan: RawData) -> None:
    def loss(config: TrainingConfig, seed: int) -> list[float]:
        execution = ExecutionConfig(seed=seed)
        return train_scans([scan], config, execution, backend="pytorch", every_point=True).history["loss"]

    assert loss(CONFIG, 1) == loss(CONFIG, 1)
    assert loss(CONFIG, 1) != loss(replace(CONFIG, target_photon_fraction=0.0), 1)


def test_amplitudes_that_are_no_counts_are_refused(scan: RawData) -> None:
    scaled = replace(scan, diff3d=scan.diff3d * np.float32(1.3))
    with pytest.raises(DataError, match="target_photon_fraction splits counts"):
        train_scans([scaled], CONFIG, backend="pytorch", every_point=True)


def test_groups_without_counts_are_refused(scan: RawData) -> None:
    groups = PtychoDataContainer.from_raw_data(scan, CONFIG.model, n_groups=None, neighbor_count=1, seed=0)
    with pytest.raises(ConfigError, match=r"target_photon_fraction = 0\.2 splits measured counts.* Set it to 0"):
        train_source(SelectedGroups(groups, np.arange(4)), CONFIG, backend="pytorch")
