"""NPZ files as users of PtychoPINN have them: each kind in memory, as a data set on disk, and through `convert`."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.dataset import DatasetOptions, ScanDataset, create_dataset
from ptychopinn_backend.data.decisions import LOGGER
from ptychopinn_backend.data.grouping import GroupingOptions
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError, ScanWarning

N, POINTS = 32, 30
Members = dict[str, Any]


@pytest.fixture
def members() -> Members:
    rng = np.random.default_rng(7)
    return {
        "diffraction": rng.poisson(3.0, (POINTS, N, N)).astype(np.uint16),
        "xcoords": rng.uniform(20, 76, POINTS),
        "ycoords": rng.uniform(20, 60, POINTS),
        "probeGuess": (rng.uniform(0.5, 1, (2, N, N)) * np.exp(1j * rng.uniform(0, 1, (2, N, N)))).astype(np.complex64),
        "objectGuess": (rng.uniform(0.5, 1, (80, 96)) * np.exp(1j * rng.uniform(-1, 1, (80, 96)))).astype(np.complex64),
    }


Read = Callable[..., tuple[RawData, ScanDataset]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read members in three ways, which must agree; return what is in memory and on disk."""

    def in_three_ways(members: Members, *options: str, gridsize: int = 2, **stated: Any) -> tuple[RawData, ScanDataset]:
        path, reading = tmp_path / "scan.npz", Reading(**stated)
        np.savez(path, **members)
        raw = RawData.from_file(path, reading=reading)
        model = ModelConfig(N=N, gridsize=gridsize)
        groups = GroupingOptions(seed=1, neighbor_count=4)
        dataset = create_dataset(path, tmp_path / "set", model, DatasetOptions(groups, reading=reading, normalize=None))
        assert main(["convert", str(path), "-o", str(tmp_path / "converted.npz"), "-q", *options]) == 0
        converted = RawData.from_file(tmp_path / "converted.npz")
        stored = dataset.scan(0)
        for name in ("diff3d", "positions_xy", "scan_index", "point_index", "probeGuess", "objectGuess", "Y"):
            ours = getattr(raw, name)
            # Labels are kept in a data set only where they are asked for.
            for theirs in (converted, stored) if name != "Y" else (converted,):
                found = getattr(theirs, name)
                assert (ours is None) == (found is None), name
                if ours is not None:
                    np.testing.assert_allclose(found, ours, rtol=1e-6, err_msg=name)
        assert stored.metadata == raw.metadata
        rows = dataset.nn_indices
        np.testing.assert_allclose(dataset.X, np.moveaxis(raw.diff3d[rows], 1, 3), rtol=1e-6)
        np.testing.assert_array_equal(np.moveaxis(dataset.coords_true[:, 0], 1, 2), raw.positions_xy[rows])
        return raw, dataset

    return in_three_ways


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.name == LOGGER)


def test_an_index_of_the_scan_points_is_one_object(
    members: Members, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    members["scan_index"] = np.arange(POINTS)
    with caplog.at_level(logging.INFO, LOGGER):
        raw, dataset = read(members)
    assert set(raw.scan_index.tolist()) == {0}
    assert len(raw.by_object()) == 1
    np.testing.assert_array_equal(raw.point_index, np.arange(POINTS))
    np.testing.assert_array_equal(raw.select(np.array([3, 1])).point_index, [3, 1])
    assert set(dataset.object_index.tolist()) == {0}
    assert (
        "30 values for 30 scan points; they are taken to number the points, of one object. --scan-index objects"
        in said(caplog)
    )


@pytest.mark.parametrize(
    ("index", "objects"),
    [
        (np.where(np.arange(POINTS) == 4, 3, np.arange(POINTS)), 1),  # nearly every point
        (np.arange(POINTS) + 500, 1),
        (np.arange(POINTS) // 15, 2),
        (np.arange(POINTS) % 3, 3),
        (np.zeros(POINTS), 1),
    ],
)
def test_few_numbers_that_repeat_are_objects(members: Members, index: Any, objects: int, read: Read) -> None:
    raw, _ = read({**members, "scan_index": index})
    assert len(raw.by_object()) == objects
    assert (raw.point_index is None) == (objects > 1 or not index.any())


@pytest.mark.parametrize(
    ("index", "taken", "other"),
    [(np.arange(POINTS) // 3, "objects", "points"), (np.arange(POINTS) // 2, "points, of one object", "objects")],
)
def test_a_scan_index_that_leaves_its_meaning_open_is_warned_of(
    members: Members, index: Any, taken: str, other: str, tmp_path: Path
) -> None:
    path = tmp_path / "scan.npz"
    np.savez(path, **members, scan_index=index)
    words = (
        rf"scan points; they are taken to number the {taken}\. .* State it with --scan-index {other} if that is wrong"
    )
    with pytest.warns(ScanWarning, match=words):
        RawData.from_file(path)
    with pytest.warns(ScanWarning, match=words):
        create_dataset(path, tmp_path / "set", ModelConfig(N=N))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScanWarning)
        RawData.from_file(path, reading=Reading(scan_index=other))


def test_what_scan_index_means_may_be_stated(members: Members, read: Read) -> None:
    raw, _ = read({**members, "scan_index": np.arange(POINTS) // 15}, "--scan-index", "points", scan_index="points")
    assert len(raw.by_object()) == 1
    stated = {**members, "scan_index": np.arange(POINTS), "_metadata": json.dumps({"scan_index": "objects"})}
    raw, _ = read(stated, gridsize=1)
    assert len(raw.by_object()) == POINTS
    with pytest.raises(DataError, match=r"scan_index = 'people' in _metadata; expected 'points' or 'objects'"):
        read({**members, "scan_index": np.arange(POINTS), "_metadata": json.dumps({"scan_index": "people"})})


def test_a_pickled_none_as_object_counts_as_absent(members: Members, read: Read) -> None:
    raw, _ = read({**members, "objectGuess": np.array(None, dtype=object)})
    assert raw.objectGuess is None


@pytest.mark.parametrize("described", [{"nphotons": np.float64(1e6)}, '{"nphotons": 1e6}'], ids=["mapping", "text"])
def test_pickled_metadata_are_read(members: Members, described: Any, read: Read) -> None:
    raw, _ = read({**members, "_metadata": np.array(described, dtype=object)})
    assert raw.metadata["nphotons"] == 1e6


@pytest.mark.parametrize(
    ("axes", "modes"),
    [("one mode last", 1), ("modes last", 2), ("four axes", 2), ("varying", 2), ("two axes", 1), ("MATLAB", 2)],
)
def test_probes_of_every_shape(
    members: Members, axes: str, modes: int, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    probe = members["probeGuess"]
    shapes = {
        "one mode last": probe[0][..., np.newaxis],
        "modes last": np.moveaxis(probe, 0, 2),
        "four axes": probe[np.newaxis],
        "varying": np.stack([probe, 2 * probe, 3 * probe]),
        "two axes": probe[0],
        "MATLAB": np.moveaxis(probe, 0, 2)[..., np.newaxis],
    }
    with caplog.at_level(logging.INFO, LOGGER):
        raw, dataset = read({**members, "probeGuess": shapes[axes]})
    np.testing.assert_array_equal(raw.probeGuess, probe[:modes])
    assert dataset.probe.shape == (modes, N, N)
    assert ("its first set of modes is used" in said(caplog)) == (axes == "varying")


@pytest.mark.parametrize("channels", [1, 4])
def test_a_grid_cache(members: Members, channels: int, read: Read, caplog: pytest.LogCaptureFixture) -> None:
    groups = 28 // channels
    patterns = members["diffraction"][: groups * channels]
    x, y = (members[name][: groups * channels].reshape(groups, channels) for name in ("xcoords", "ycoords"))
    rng = np.random.default_rng(3)
    amplitude, phase = rng.random((groups, N, N, channels)), rng.random((groups, N, N, channels))
    cache = {
        "diffraction": np.moveaxis(patterns.reshape(groups, channels, N, N), 1, 3),
        "Y_I": amplitude,
        "Y_phi": phase,
        "coords_nominal": np.stack([x, y], axis=1)[:, np.newaxis],
        "probeGuess": members["probeGuess"],
    }
    with caplog.at_level(logging.INFO, LOGGER):
        raw, _ = read(cache)
    np.testing.assert_allclose(raw.diff3d**2, patterns, rtol=1e-5)
    np.testing.assert_allclose(raw.positions_xy, np.stack([x.ravel(), y.ravel()], axis=1))
    labels = np.moveaxis(amplitude * np.exp(1j * phase), 3, 1).reshape(-1, N, N)
    np.testing.assert_allclose(raw.Y, labels, rtol=1e-5)
    assert "a grid cache" in said(caplog)


def single_groups(members: Members, positions: str) -> Members:
    """Return a grid cache of single patterns, whose positions have the given name."""
    x, y = members["xcoords"], members["ycoords"]
    return {
        "diffraction": members["diffraction"][..., np.newaxis],
        positions: np.stack([x, y], axis=1)[:, np.newaxis, :, np.newaxis],
    }


def test_a_grid_cache_with_true_positions_and_its_own_name_for_the_probe(members: Members, read: Read) -> None:
    cache = {**single_groups(members, "coords_true"), "probe": members["probeGuess"]}
    raw, _ = read({**cache, "coords_nominal": np.zeros((POINTS, 1, 2, 1))})
    np.testing.assert_allclose(raw.positions_xy, np.stack([members["xcoords"], members["ycoords"]], axis=1))
    np.testing.assert_array_equal(raw.probeGuess, members["probeGuess"])


def test_a_grid_cache_without_a_probe_is_read_and_not_trained_on_from_disk(members: Members, tmp_path: Path) -> None:
    path = tmp_path / "cache.npz"
    np.savez(path, **single_groups(members, "coords_nominal"))
    assert RawData.from_file(path).probeGuess is None
    with pytest.raises(DataError, match=r"cache.npz has no probe; the physics needs one. Add probeGuess"):
        create_dataset(path, tmp_path / "set", ModelConfig(N=N))


def test_both_positions_in_metres_become_pixels(members: Members, read: Read, caplog: pytest.LogCaptureFixture) -> None:
    moved = {axis: members[axis] + np.random.default_rng(5).normal(0, 1, POINTS) for axis in ("xcoords", "ycoords")}
    start = {f"{axis}_start": (moved[axis] - 40) * PIXEL_M for axis in moved}
    both = {**members, **{axis: (members[axis] - 40) * PIXEL_M for axis in moved}, **start}
    with caplog.at_level(logging.INFO, LOGGER):
        raw, _ = read(both, "--pixel-size", str(PIXEL_M), pixel_size_m=PIXEL_M)
    assert "became pixels of 8 nm as stated" in said(caplog)
    expected = np.stack([members["xcoords"], members["ycoords"]], axis=1)
    np.testing.assert_allclose(raw.positions_xy - raw.positions_xy[0], expected - expected[0], atol=1e-6)
    # Nominal positions stay as far from the others as they were.
    assert raw.xcoords_start is not None
    assert raw.ycoords_start is not None
    np.testing.assert_allclose(raw.xcoords_start - raw.xcoords, moved["xcoords"] - members["xcoords"], atol=1e-6)
    np.testing.assert_allclose(raw.ycoords_start - raw.ycoords, moved["ycoords"] - members["ycoords"], atol=1e-6)


def test_patterns_with_a_last_axis_of_length_one(members: Members, read: Read) -> None:
    expected = np.sqrt(members["diffraction"].astype(float))
    raw, _ = read({**members, "diffraction": members["diffraction"][..., np.newaxis]})
    np.testing.assert_allclose(raw.diff3d, expected, rtol=1e-6)


def test_normalised_amplitudes_get_their_photons_back(
    members: Members, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    counts = members["diffraction"].astype(np.float64)
    photons = float(counts.sum(axis=(1, 2)).mean())
    normalised = (np.sqrt(counts) / 37.3).astype(np.float32)
    with caplog.at_level(logging.INFO, LOGGER):
        by_file, _ = read({**members, "diffraction": normalised, "_metadata": json.dumps({"nphotons": photons})})
    np.testing.assert_allclose(by_file.diff3d**2, counts, rtol=1e-4)
    assert "brought to nphotons" in said(caplog)
    by_user, _ = read({**members, "diffraction": normalised}, "--nphotons", str(photons), nphotons=photons)
    np.testing.assert_allclose(by_user.diff3d**2, counts, rtol=1e-4)
    domain = {"measurement_domain": "normalized_amplitude", "nphotons": photons}
    by_domain, _ = read({**members, "diffraction": normalised, "_metadata": json.dumps(domain)})
    np.testing.assert_allclose(by_domain.diff3d**2, counts, rtol=1e-4)


@pytest.mark.parametrize("measurement", ["normalized_amplitude", "amplitudes"])
def test_photons_of_the_file_hold_for_amplitudes_that_the_user_calls_so(
    members: Members, measurement: str, read: Read
) -> None:
    counts = members["diffraction"].astype(np.float64)
    photons = float(counts.sum(axis=(1, 2)).mean())
    file = {
        **members,
        "diffraction": (np.sqrt(counts) / 37.3).astype(np.float32),
        "_metadata": json.dumps({"physics": {"nphotons": photons, "wavelength": None}, "nphotons": None}),
    }
    raw, _ = read(file, "--measurement", measurement, measurement=measurement)
    np.testing.assert_allclose(raw.diff3d**2, counts, rtol=1e-4)


@pytest.mark.parametrize(
    "described",
    [
        {"measurement": "amplitudes", "nphotons": 1e9},
        {"train": {"nphotons": 1e9}, "test": {"nphotons": 1e6}},
    ],
    ids=["a file that knows its unit", "two numbers"],
)
def test_amplitudes_keep_their_unit_where_no_photons_are_told(
    members: Members, described: dict[str, Any], read: Read
) -> None:
    patterns = (np.sqrt(members["diffraction"]) / 37.3).astype(np.float32)
    file = {**members, "diffraction": patterns, "_metadata": json.dumps(described)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        raw, _ = read(file)
    np.testing.assert_allclose(raw.diff3d, patterns, rtol=1e-6)


@pytest.mark.parametrize("as_roots", [False, True])
def test_photons_do_not_scale_what_is_counts_already(members: Members, as_roots: bool, read: Read) -> None:
    counts = members["diffraction"]
    patterns = np.sqrt(counts).astype(np.float32) if as_roots else counts
    raw, _ = read({**members, "diffraction": patterns, "_metadata": json.dumps({"nphotons": 1e9})})
    np.testing.assert_allclose(raw.diff3d**2, counts, rtol=1e-4)
    stated, _ = read({**members, "diffraction": patterns}, "--nphotons", "1e9", nphotons=1e9)
    np.testing.assert_allclose(stated.diff3d**2, counts, rtol=1e-4)


@pytest.mark.parametrize("by_user", [False, True])
def test_normalised_amplitudes_without_photons_are_warned_of(members: Members, by_user: bool, tmp_path: Path) -> None:
    patterns = (np.sqrt(members["diffraction"]) / 37.3).astype(np.float32)
    path, domain = tmp_path / "scan.npz", "normalized_amplitude"
    described = {} if by_user else {"_metadata": json.dumps({"measurement_domain": domain})}
    np.savez(path, **{**members, "diffraction": patterns, **described})
    reading = Reading(measurement=domain) if by_user else Reading()
    words = "said to be normalised, and nothing tells their photons; .* Say nphotons, the mean photons of a pattern"
    with pytest.warns(UserWarning, match=words):
        raw = RawData.from_file(path, reading=reading)
    np.testing.assert_array_equal(raw.diff3d, patterns)
    with pytest.warns(UserWarning, match=words):
        create_dataset(path, tmp_path / "set", ModelConfig(N=N), DatasetOptions(reading=reading))


PIXEL_M = 8e-9


def in_metres(members: Members) -> Members:
    start = {f"{axis}_start": (members[axis] - 40) * PIXEL_M for axis in ("xcoords", "ycoords")}
    return {name: value for name, value in members.items() if name not in ("xcoords", "ycoords")} | start


def test_positions_in_metres_are_refused_with_the_remedy(members: Members, tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez(path, **in_metres(members))
    with pytest.raises(DataError, match=r"metres and does not say the photon energy and distance .* --pixel-size"):
        RawData.from_file(path)
    with pytest.raises(DataError, match="--pixel-size"):
        create_dataset(path, tmp_path / "set", ModelConfig(N=N))
    assert main(["convert", str(path), "-o", str(tmp_path / "converted.npz")]) == 2
    assert not (tmp_path / "converted.npz").exists()
    with pytest.raises(DataError, match=r"expected less than 1e\+06\. Check their unit"):
        RawData.from_file(path, reading=Reading(pixel_size_m=1e-16))


def test_positions_in_metres_become_pixels(members: Members, read: Read, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        stated, _ = read(in_metres(members), "--pixel-size", str(PIXEL_M), pixel_size_m=PIXEL_M)
    assert "the nominal positions xcoords_start are taken" in said(caplog)
    assert "became pixels of 8 nm as stated; --pixel-size states another" in said(caplog)
    # The middle of the scan lies on the middle of the object.
    middle = (stated.positions_xy.min(axis=0) + stated.positions_xy.max(axis=0)) / 2
    np.testing.assert_allclose(middle, [48, 40], atol=1e-9)
    expected = np.stack([members["xcoords"], members["ycoords"]], axis=1)
    np.testing.assert_allclose(stated.positions_xy - stated.positions_xy[0], expected - expected[0], atol=1e-6)
    energy_ev = 1.239841984332e-6 * 0.75 / (N * 75e-6 * PIXEL_M)
    facts = {"photon_energy_eV": energy_ev, "detector_distance_m": 0.75, "detector_pixel_size_m": 75e-6}
    by_file, _ = read({**in_metres(members), **facts})
    np.testing.assert_allclose(by_file.positions_xy, stated.positions_xy, rtol=1e-9)
    assert by_file.metadata["object_pixel_width_m"] == pytest.approx(PIXEL_M)


def test_nominal_positions_in_metres_follow_the_others(members: Members, read: Read) -> None:
    both = {**members, **in_metres(members)}
    without, _ = read(both)
    assert without.xcoords_start is None
    facts = {"photon_energy_eV": 1.239841984332e-6 * 0.75 / (N * 75e-6 * PIXEL_M), "detector_distance_m": 0.75}
    followed, _ = read({**both, **facts, "detector_pixel_size_m": 75e-6})
    np.testing.assert_allclose(followed.xcoords_start, members["xcoords"], rtol=1e-9)
    np.testing.assert_array_equal(followed.xcoords, members["xcoords"])


def test_other_keys_stay_unread(members: Members, read: Read) -> None:
    others = {name: np.zeros(3) for name in ("label", "frames", "ground_truth", "XCOORDS")}
    raw, _ = read({**members, **others})
    assert raw.Y is None
    assert raw.n_patterns == POINTS
