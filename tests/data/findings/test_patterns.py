"""Patterns with faults: what is wrong is marked or left out, named once, and all else is as it was."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import create_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError, ScanWarning
from tests.data.dataset.conftest import write_training_hdf5

from .planted import FAULTS, POINTS, Fault, N, members, put, simulated

MODEL = ModelConfig(N=N, gridsize=1, n_filters_scale=1)


def read(path: Path) -> tuple[RawData, list[str]]:
    """Return a scan and what was said while it was read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw = RawData.from_file(path)
    assert all(item.category is ScanWarning for item in caught)
    return raw, [str(item.message) for item in caught]


def require_mended(raw: RawData, fault: Fault) -> None:
    """Raise unless a scan is the one without the fault, at all places that are left."""
    bad = np.zeros((N, N), bool) if raw.bad_pixels is None else raw.bad_pixels
    np.testing.assert_array_equal(bad, fault.bad_pixels())
    kept = np.setdiff1d(np.arange(POINTS), fault.left_out)
    expected = np.sqrt(simulated().counts[kept].astype(np.float64))
    expected[:, bad] = 0
    np.testing.assert_allclose(raw.diff3d, expected, rtol=1e-6)
    np.testing.assert_array_equal(raw.positions_xy, simulated().positions_xy[kept])
    assert len(raw.scan_index) == len(kept)


@pytest.mark.parametrize("measurement", ["counts", "amplitudes"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_in_an_npz_is_mended_and_named_once(tmp_path: Path, fault: Fault, measurement: str) -> None:
    patterns = fault.patterns()
    if measurement == "amplitudes":
        if patterns.dtype.kind != "f" and patterns.min() < 0:
            pytest.skip("whole numbers below 0 have no root")
        with np.errstate(invalid="ignore"):
            patterns = np.where(patterns < 0, patterns, np.sqrt(patterns.astype(np.float64))).astype(np.float32)
    path = tmp_path / "scan.npz"
    np.savez(path, **members(diffraction=patterns))
    raw, said = read(path)
    require_mended(raw, fault)
    for words in fault.words:
        assert sum(re.search(words, line) is not None for line in said) == 1, said
    assert all(line.startswith(f"{path}: ") for line in said)
    assert [str(finding) for finding in raw.findings] == [line.removeprefix(f"{path}: ") for line in said]


@pytest.mark.parametrize("kind", ["arrays", "hdf5", "dataset", "dataset of amplitudes", "dataset of stated counts"])
@pytest.mark.parametrize("fault", [FAULTS[1], FAULTS[-1]], ids=lambda fault: fault.name)
def test_a_fault_is_mended_wherever_a_scan_comes_from(tmp_path: Path, fault: Fault, kind: str) -> None:
    arrays: dict[str, Any] = members(diffraction=fault.patterns())
    path = tmp_path / "scan.npz"
    if kind == "arrays":
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            raw = RawData.from_arrays(
                arrays["xcoords"], arrays["ycoords"], arrays["diffraction"], arrays["probeGuess"], measurement="counts"
            )
        require_mended(raw, fault)
        assert [str(item.message) for item in caught] == [str(finding) for finding in raw.findings]
        assert len(caught) == len(fault.words)
        return
    if kind == "hdf5":
        write_training_hdf5(path, arrays)
        require_mended(read(path)[0], fault)
        return
    if kind == "dataset of amplitudes":
        arrays["diffraction"] = np.sqrt(arrays["diffraction"].astype(np.float64)).astype(np.float32)
    if kind == "dataset of stated counts":
        arrays["_metadata"] = '{"measurement": "counts"}'
    np.savez(path, **arrays)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = create_dataset(path, tmp_path / "set", MODEL)
    raw, said = read(path)
    assert [str(item.message) for item in caught] == said
    np.testing.assert_allclose(dataset.scans[0].patterns[np.arange(raw.n_patterns)], raw.diff3d, rtol=1e-6)
    np.testing.assert_array_equal(dataset.valid_pixels[0] == 0, raw.bad_pixels)
    np.testing.assert_array_equal(dataset.coords_true[:, 0, :, 0], raw.positions_xy)


def test_the_mask_of_the_file_stays_and_hides_what_lies_below(tmp_path: Path) -> None:
    patterns = simulated().counts.astype(np.uint32)
    patterns[:, 14:16] = 2**32 - 1
    patterns[9, 20, 20] = 3e9
    mask = np.zeros((N, N), bool)
    mask[14:16] = True
    path = tmp_path / "scan.npz"
    np.savez(path, **members(diffraction=patterns, bad_pixels=mask))
    raw, said = read(path)
    assert len(said) == 1
    assert "1 detector pixel (row 20, column 20)" in said[0]
    mask[20, 20] = True
    np.testing.assert_array_equal(raw.bad_pixels, mask)


def test_many_cosmic_rays_are_replaced_and_do_not_fill_the_mask(tmp_path: Path) -> None:
    clean = simulated().counts
    rays = np.random.default_rng(0).random(clean.shape) < 1e-3
    path = tmp_path / "scan.npz"
    np.savez(path, **members(diffraction=np.where(rays, np.uint32(2**31), clean)))
    raw, said = read(path)
    assert len(said) == 1
    assert f"{rays.sum()} single values in " in said[0]
    assert "replaced by the median of the values around it" in said[0]
    assert raw.bad_pixels is None
    counts = raw.diff3d.astype(np.float64) ** 2
    np.testing.assert_allclose(counts[~rays], clean[~rays], rtol=1e-5)
    np.testing.assert_allclose(counts, np.rint(counts), rtol=1e-5)
    # The values around are those of a smooth pattern.
    assert np.abs(raw.diff3d[rays] - np.sqrt(clean[rays])).mean() < 0.3 * np.sqrt(clean).mean()


def test_saturated_pixels_are_named_and_left_as_they_are(tmp_path: Path) -> None:
    limit = int(np.quantile(simulated().counts, 0.998))
    path = tmp_path / "scan.npz"
    clipped = np.minimum(simulated().counts, limit)
    np.savez(path, **members(diffraction=clipped))
    raw, said = read(path)
    np.testing.assert_allclose(raw.diff3d**2, clipped, rtol=1e-6)
    assert len(said) == 1
    assert re.search(rf"pixels of a pattern on average stop at {limit} counts, .* they are saturated", said[0])


@pytest.mark.parametrize("kind", ["two", "in turns", "three"])
def test_levels_of_brightness_without_a_majority_are_named(tmp_path: Path, kind: str) -> None:
    counts = simulated().counts.astype(np.uint64)
    if kind == "two":
        counts[:45] *= 10000
    if kind == "in turns":
        counts[::2] *= 20
    if kind == "three":
        counts[:33] *= 100
        counts[33:66] *= 10000
    np.savez(tmp_path / "scan.npz", **members(diffraction=counts))
    raw, said = read(tmp_path / "scan.npz")
    assert raw.n_patterns == POINTS
    np.testing.assert_allclose(raw.diff3d**2, counts, rtol=1e-6)
    found = [finding for finding in raw.findings if finding.name == "brightness-levels"]
    assert len(found) == 1
    words = {
        "two": r"2 levels .* 55 patterns \(45, 46, .* about 2.* and 45 patterns \(0, 1, .* about 3.*e\+09 counts",
        "in turns": r"2 levels .* 50 patterns \(1, 3, .* and 50 patterns \(0, 2, ",
        "three": r"3 levels .* 34 patterns \(66, .* and 33 patterns \(0, .* and 33 patterns \(33, ",
    }
    assert re.search(words[kind], found[0].evidence), found[0].evidence
    assert "Divide the counts of every pattern by its exposure" in found[0].remedy
    assert not [line for line in said if "out of all proportion" in line]


def test_single_photons_of_a_brighter_level_are_no_hot_pixels(tmp_path: Path) -> None:
    faint = np.random.default_rng(0).binomial(simulated().counts.astype(np.int64), 5e-3)
    faint[:25] *= 10000
    np.savez(tmp_path / "scan.npz", **members(diffraction=faint, probeGuess=None))
    raw, said = read(tmp_path / "scan.npz")
    assert len(said) == 1
    assert "25 patterns (0, 1, 2" in said[0]
    assert raw.bad_pixels is None
    np.testing.assert_allclose(raw.diff3d**2, faint[25:], rtol=1e-6)


def test_few_photons_leave_some_patterns_empty_by_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    faint = rng.binomial(simulated().counts.astype(np.int64), 3e-6)
    assert (faint.sum(axis=(1, 2)) == 0).any()
    np.savez(tmp_path / "scan.npz", **members(diffraction=faint, _metadata='{"measurement": "counts"}'))
    raw, said = read(tmp_path / "scan.npz")
    assert raw.n_patterns == POINTS
    assert not [line for line in said if "photon;" in line]


def test_what_is_mended_is_written_without_faults(tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", **members(diffraction=FAULTS[-1].patterns()))
    raw, _ = read(tmp_path / "scan.npz")
    raw.to_file(tmp_path / "mended.npz")
    again, said = read(tmp_path / "mended.npz")
    assert said == []
    np.testing.assert_array_equal(again.diff3d, raw.diff3d)
    np.testing.assert_array_equal(again.bad_pixels, raw.bad_pixels)


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (put(np.nan, slice(None)), "diffraction holds nan in pattern 0 at row 0, column 0"),
        (put(-1, slice(None), slice(20)), "diffraction holds -1.0 in pattern 0 at row 0, column 0"),
        (put(0, slice(None)), "hold 0 photons|None of the 100 patterns"),
    ],
)
def test_what_is_wrong_everywhere_is_refused(tmp_path: Path, plant: Any, words: str) -> None:
    patterns = simulated().counts.astype(np.float32)
    plant(patterns)
    np.savez(tmp_path / "scan.npz", **members(diffraction=patterns))
    with pytest.raises(DataError, match=words):
        create_dataset(tmp_path / "scan.npz", tmp_path / "set", MODEL)


def test_a_subtracted_background_is_refused_with_what_to_do(tmp_path: Path) -> None:
    patterns = simulated().counts + np.random.default_rng(0).normal(0, 2, simulated().counts.shape)
    np.savez(tmp_path / "scan.npz", **members(diffraction=patterns))
    with pytest.raises(DataError, match=r"must be not negative. Set what a subtracted background left below 0 to 0"):
        RawData.from_file(tmp_path / "scan.npz")
