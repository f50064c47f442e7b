"""Normalisation, bounds and neighbour functions of a data set."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.data.dataset import DatasetOptions, create_dataset, open_dataset
from ptychopinn_backend.data.grouping import GroupingOptions
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError, UnsupportedOptionError
from ptychopinn_backend.legacy.option_sets import DataConfig


def test_batch_normalisation_holds_for_each_scan(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    dataset = create_dataset(scans, tmp_path / "set", model)
    photons = np.square(dataset.X, dtype=np.float64).sum(axis=(1, 2))
    for scan in range(3):
        assert photons[dataset.scan_index == scan].mean() == pytest.approx(16**2, rel=1e-6)
    assert photons.std() > 0.1


def test_group_normalisation_holds_for_each_group(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    dataset = create_dataset(scans, tmp_path / "set", model, DatasetOptions(normalize="Group"))
    photons = np.square(dataset.X, dtype=np.float64).sum(axis=(1, 2)).mean(axis=1)
    np.testing.assert_allclose(photons, 16**2, rtol=1e-6)
    part = dataset.subset(np.array([7, 3]))
    np.testing.assert_array_equal(part.X, dataset.X[[7, 3]])


def test_without_normalisation_amplitudes_are_the_measured_ones(
    scans: list[Path], tmp_path: Path, model: ModelConfig
) -> None:
    dataset = create_dataset(scans[0], tmp_path / "set", model, DatasetOptions(normalize=None))
    patterns = RawData.from_file(scans[0]).diff3d
    np.testing.assert_array_equal(dataset.X, np.moveaxis(patterns[dataset.nn_indices], 1, -1))
    assert dataset.intensity_counts_factor == 1


def test_group_without_photons_is_refused(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    members = dict(np.load(scans[0]))
    # So faint that patterns without a photon are chance, and stay.
    members["diffraction"] = np.random.default_rng(0).poisson(1e-3, members["diffraction"].shape).astype(np.uint16)
    members["diffraction"][::2] = 0
    np.savez(scans[0], **members)
    with pytest.raises(DataError, match=r"holds no photons and cannot be normalised alone.*normalize='Batch'"):
        create_dataset(scans[0], tmp_path / "set", model, DatasetOptions(normalize="Group"))


def test_bounds_are_local_to_each_scan(scans: list[Path], tmp_path: Path) -> None:
    members = dict(np.load(scans[0]))
    members["xcoords"] = members["xcoords"] + 1000
    np.savez(scans[0], **members)
    grouping = GroupingOptions(x_bounds=(0.25, 0.75), y_bounds=(0.0, 0.5))
    dataset = create_dataset(scans, tmp_path / "set", ModelConfig(N=32), DatasetOptions(grouping=grouping))
    for index, path in enumerate(scans):
        raw = RawData.from_file(path)
        inside = np.zeros(raw.n_patterns, bool)
        for member in np.unique(raw.scan_index):
            mine = raw.scan_index == member
            x, y = raw.xcoords[mine], raw.ycoords[mine]
            x, y = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)
            inside[mine] = (x >= 0.25) & (x <= 0.75) & (y <= 0.5)
        rows = dataset.nn_indices[dataset.scan_index == index, 0]
        np.testing.assert_array_equal(rows, np.flatnonzero(inside))


def test_options_of_a_pytorch_native_configuration(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    data = DataConfig(
        N=32,
        K=6,
        n_subsample=3,
        subsample_seed=4,
        neighbor_function="4_quadrant",
        normalize="Group",
        x_bounds=(0.1, 0.8),
    )
    options = DatasetOptions.from_data_config(data)
    assert options.normalize == "Group"
    assert options.grouping.quadrant_neighbor_count == 30
    dataset = create_dataset(scans[0], tmp_path / "set", model, options)
    seeds = dataset.n_groups // 3
    assert dataset.n_groups == 3 * seeds
    assert 0 < seeds < 40


def test_probes_may_keep_their_scale(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    options = DatasetOptions.from_data_config(DataConfig(N=32, n_subsample=1, probe_normalize=False))
    dataset = create_dataset(scans, tmp_path / "set", model, options)
    for index, path in enumerate(scans):
        given = RawData.from_file(path).probeGuess
        assert given is not None
        np.testing.assert_array_equal(dataset.probes[index][: len(given)], given)
    np.testing.assert_array_equal(open_dataset(tmp_path / "set").probes, dataset.probes)


def test_labels_lose_the_mean_phase_of_their_group(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    members = dict(np.load(scans[0]))
    members["objectGuess"] = members["objectGuess"] * np.exp(0.7j)
    np.savez(scans[0], **members)
    # The phase is subtracted unless a configuration says otherwise.
    flat = DatasetOptions.from_data_config(DataConfig(N=32, subsample_seed=1), with_labels=True)
    whole = DatasetOptions.from_data_config(
        DataConfig(N=32, subsample_seed=1, phase_subtraction=False), with_labels=True
    )
    labels = create_dataset(scans[0], tmp_path / "flat", model, flat).Y
    expected = create_dataset(scans[0], tmp_path / "whole", model, whole).Y
    assert labels is not None
    assert expected is not None
    assert np.abs(np.angle(expected.sum(axis=(1, 2, 3)))).max() > 0.1
    np.testing.assert_allclose(np.angle(labels.sum(axis=(1, 2, 3))), 0, atol=1e-4)
    # One phase a group: everything else stays as it was.
    turn = (expected / labels).reshape(len(labels), -1)
    np.testing.assert_allclose(turn, np.broadcast_to(turn[:, :1], turn.shape), atol=1e-4)
    np.testing.assert_allclose(np.abs(turn), 1, atol=1e-5)
    split = open_dataset(tmp_path / "flat").split(0.2, seed=0)[0]
    np.testing.assert_allclose(np.angle(split.Y.sum(axis=(1, 2, 3))), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"data_scaling": "Max"}, r"data_scaling = 'Max' is not offered.*Set data_scaling to 'Parseval'"),
        ({"scan_pattern": "Rectangular"}, r"scan_pattern = 'Rectangular' is not offered.*'4_quadrant'"),
        ({"grid_size": (2, 3)}, r"grid_size = \(2, 3\) is not square.*Use \(2, 2\)"),
    ],
)
def test_what_data_sets_do_not_do_is_refused_by_name(option: dict[str, object], words: str) -> None:
    with pytest.raises(UnsupportedOptionError, match=words):
        DatasetOptions.from_data_config(DataConfig(**option))  # type: ignore[arg-type]


def test_every_option_of_a_data_configuration_has_an_effect_or_is_refused() -> None:
    elsewhere = {"nphotons", "N", "C", "probe_scale"}  # of the training and of the model
    changed = {
        "K": 7,
        "K_quadrant": 9,
        "n_subsample": 2,
        "subsample_seed": 3,
        "grid_size": (1, 1),
        "neighbor_function": "Min_dist",
        "min_neighbor_distance": 1.0,
        "max_neighbor_distance": 9.0,
        "scan_pattern": "Rectangular",
        "normalize": "Group",
        "probe_normalize": False,
        "data_scaling": "Max",
        "phase_subtraction": False,
        "x_bounds": (0.2, 0.8),
        "y_bounds": (0.2, 0.8),
        "measurement_domain": "count_intensity",
    }
    assert {item.name for item in fields(DataConfig)} == elsewhere | changed.keys()
    plain = DatasetOptions.from_data_config(DataConfig(), with_labels=True)
    for name, value in changed.items():
        given = DataConfig(**{name: value})
        if name in ("scan_pattern", "data_scaling"):
            with pytest.raises(UnsupportedOptionError, match=f"^{name} = "):
                DatasetOptions.from_data_config(given)
        else:
            assert DatasetOptions.from_data_config(given, with_labels=True) != plain, name


def test_options_of_a_training_configuration(model: ModelConfig) -> None:
    config = TrainingConfig(model=model, n_groups=12, neighbor_count=5, n_subsample=20, subsample_seed=9)
    options = DatasetOptions.from_training(config, seed=1, x_bounds=(0.2, 0.9))
    assert options.grouping == GroupingOptions(12, 2, 5, 9, x_bounds=(0.2, 0.9))
    assert (options.n_subsample, options.subsample_seed, options.with_labels) == (20, 9, False)
    assert DatasetOptions.from_training(config, seed=1, every_point=True).grouping.n_groups is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"normalize": "Max"}, "normalize = 'Max'"),
        ({"n_subsample": 0}, "n_subsample = 0"),
        ({"subsample_seed": -1}, "subsample_seed = -1"),
        ({"with_labels": 1}, "with_labels = 1"),
        ({"probe_normalize": 1}, "probe_normalize = 1"),
        ({"phase_subtraction": 1}, "phase_subtraction = 1"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DatasetOptions(**options)  # type: ignore[arg-type]
