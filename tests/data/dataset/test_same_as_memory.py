"""A data set yields the groups and batches that the container in memory yields."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.dataset import DatasetOptions, ScanDataset, create_dataset, open_dataset
from ptychopinn_backend.data.grouping import GroupingOptions
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan

CHOICES: dict[str, dict[str, Any]] = {
    "every point": {},
    "few groups": {"n_groups": 7, "neighbor_count": 6},
    "sequential": {"n_groups": 9, "sequential_sampling": True},
    "oversampled": {"n_groups": 90, "enable_oversampling": True, "neighbor_pool_size": 8},
}


def in_memory(scans: list[Path], model: ModelConfig, labels: bool = False, **choice: Any) -> PtychoDataContainer:
    return PtychoDataContainer.concatenate(
        [
            PtychoDataContainer.from_raw_data(RawData.from_file(scan), model, seed=5, with_labels=labels, **choice)
            for scan in scans
        ]
    )


def assert_same(dataset: PtychoDataContainer, expected: PtychoDataContainer) -> None:
    for name in (
        "scan_index",
        "pattern_rows",
        "nn_indices",
        "object_index",
        "coords_true",
        "coords_nominal",
        "factors",
    ):
        np.testing.assert_array_equal(getattr(dataset, name), getattr(expected, name), err_msg=name)
    for name in (
        "probes",
        "valid_pixels",
        "intensity_counts_factors",
        "max_local_offset_px",
        "intensity_counts_factor",
    ):
        np.testing.assert_array_equal(getattr(dataset, name), getattr(expected, name), err_msg=name)
    order = np.random.default_rng(0).permutation(expected.n_groups)
    ours, theirs = dataset.batch(order), expected.batch(order)
    np.testing.assert_array_equal(ours.X, theirs.X)
    np.testing.assert_array_equal(ours.local_offsets, theirs.local_offsets)
    np.testing.assert_array_equal(ours.scan_index, theirs.scan_index)
    assert (ours.Y is None) == (theirs.Y is None)
    if ours.Y is not None and theirs.Y is not None:
        np.testing.assert_array_equal(ours.Y, theirs.Y)


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_same_groups_and_batches(scans: list[Path], tmp_path: Path, model: ModelConfig, choice: dict[str, Any]) -> None:
    options = DatasetOptions(grouping=GroupingOptions(seed=5, **choice))
    dataset = create_dataset(scans, tmp_path / "set", model, options)
    assert_same(dataset, in_memory(scans, model, **choice))
    assert_same(open_dataset(tmp_path / "set"), dataset)


def test_same_with_single_patterns(scans: list[Path], tmp_path: Path) -> None:
    model = ModelConfig(N=32, gridsize=1)
    dataset = create_dataset(scans, tmp_path / "set", model, DatasetOptions(grouping=GroupingOptions(seed=5)))
    assert_same(dataset, in_memory(scans, model))


def test_same_labels_cut_from_the_object(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    options = DatasetOptions(grouping=GroupingOptions(seed=5), with_labels=True)
    dataset = create_dataset(scans, tmp_path / "set", model, options)
    assert dataset.has_labels
    assert_same(dataset, in_memory(scans, model, labels=True))


def test_same_labels_given(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    members = dict(np.load(scans[0]))
    rng = np.random.default_rng(0)
    members["Y"] = (rng.random((40, 32, 32, 1)) * np.exp(1j * rng.random((40, 32, 32, 1)))).astype(np.complex64)
    np.savez(scans[0], **members)
    options = DatasetOptions(grouping=GroupingOptions(seed=5), with_labels=True)
    dataset = create_dataset(scans[0], tmp_path / "set", model, options)
    assert_same(dataset, in_memory(scans[:1], model, labels=True))


def test_same_after_subsampling(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    options = DatasetOptions(grouping=GroupingOptions(seed=5), n_subsample=15, subsample_seed=8)
    dataset = create_dataset(scans[0], tmp_path / "set", model, options)
    thinned = RawData.from_file(scans[0]).subsample(15, 8)
    expected = PtychoDataContainer.from_raw_data(thinned, model, seed=5)
    np.testing.assert_array_equal(dataset.coords_true, expected.coords_true)
    np.testing.assert_array_equal(dataset.X, expected.X)


LAYOUTS = {
    "pattern last": lambda patterns: np.ascontiguousarray(np.moveaxis(patterns, 0, 2)),
    "pattern last, Fortran": lambda patterns: np.asfortranarray(np.moveaxis(patterns, 0, 2)),
    "Fortran": np.asfortranarray,
    "big endian": lambda patterns: patterns.astype(">u2"),
    "signed": lambda patterns: patterns.astype(np.int16),
    "float64": lambda patterns: patterns.astype(np.float64),
    "bytes": lambda patterns: patterns.astype(np.uint8),
    "int32": lambda patterns: patterns.astype(np.int32),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_same_for_every_layout_of_patterns(scans: list[Path], tmp_path: Path, model: ModelConfig, layout: Any) -> None:
    members = dict(np.load(scans[0]))
    members["diff3d"] = layout(members.pop("diffraction"))
    np.savez(scans[0], **members)
    options = DatasetOptions(grouping=GroupingOptions(seed=5))
    dataset = create_dataset(scans[0], tmp_path / "set", model, options)
    assert_same(dataset, in_memory(scans[:1], model))


def test_measurement_that_is_stated_wins(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    options = DatasetOptions(grouping=GroupingOptions(seed=5), measurement="amplitudes")
    dataset = create_dataset(scans[0], tmp_path / "set", model, options)
    raw = RawData.from_file(scans[0], "amplitudes")
    assert_same(dataset, PtychoDataContainer.from_raw_data(raw, model, seed=5))
    assert dataset.mean_photons == raw.mean_photons


def test_patterns_are_stored_once_and_small_counts_as_they_are(
    scans: list[Path], tmp_path: Path, model: ModelConfig
) -> None:
    options = DatasetOptions(grouping=GroupingOptions(seed=5, n_groups=500, enable_oversampling=True))
    create_dataset(scans[0], tmp_path / "set", model, options)
    (patterns,) = (tmp_path / "set").glob("patterns-*/*-patterns.npy")
    mapped = np.load(patterns, mmap_mode="r")
    np.testing.assert_array_equal(mapped, np.load(scans[0])["diffraction"])
    assert mapped.dtype == np.uint16


def test_facts_of_the_scans(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    dataset = create_dataset(scans, tmp_path / "set", model)
    raws = [RawData.from_file(scan) for scan in scans]
    assert dataset.names == ("a_counts.npz", "b_amplitudes.npz", "c_ptychodus.h5")
    assert dataset.n_patterns == 95
    total = sum(np.square(raw.diff3d, dtype=np.float64).sum() for raw in raws)
    assert dataset.mean_photons == pytest.approx(total / 95, rel=1e-12)
    assert dataset.probes.shape == (3, 2, 32, 32)


def test_validation_split_is_disjoint_and_reproducible(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    dataset = create_dataset(scans, tmp_path / "set", model, DatasetOptions(grouping=GroupingOptions(seed=5)))
    marked = dataset.coords_true[:, 0].sum(axis=(1, 2))
    training, validation = dataset.split(0.2, 3)
    assert validation is not None
    assert validation.n_groups == 19
    seen = np.concatenate([training.coords_true, validation.coords_true])[:, 0].sum(axis=(1, 2))
    np.testing.assert_array_equal(np.sort(seen), np.sort(marked))
    again = open_dataset(tmp_path / "set").split(0.2, 3)[1]
    other = dataset.split(0.2, 4)[1]
    assert again is not None
    assert other is not None
    np.testing.assert_array_equal(again.X, validation.X)
    assert not np.array_equal(other.coords_true, validation.coords_true)


def test_travels_to_other_processes(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    dataset = create_dataset(scans, tmp_path / "set", model)
    copy: ScanDataset = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    np.testing.assert_array_equal(copy.batch(np.arange(5)).X, dataset.batch(np.arange(5)).X)
    assert len(pickle.dumps(dataset)) < 200_000


def test_counts_in_light_are_those_in_memory(tmp_path: Path) -> None:
    scan = simulate_scan(SimulationConfig(size=32, patterns=20, photons=2e3), seed=2)
    scan.to_file(tmp_path / "scan.npz")
    dataset = create_dataset(tmp_path / "scan.npz", tmp_path / "set", ModelConfig(N=32, gridsize=1))
    assert dataset.counts_in_light == pytest.approx(scan.counts_in_light)
