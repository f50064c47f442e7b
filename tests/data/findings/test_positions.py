"""Positions that cannot be meant as they stand."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.config.scan_traits import neighbour_step
from ptychopinn_backend.data.findings.orientation import ORIENTATIONS
from ptychopinn_backend.data.findings.positions import far_points, position_scale, wide_scan
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ScanWarning

from .planted import POINTS, members, simulated


def positions() -> np.ndarray:
    return simulated().positions_xy.copy()


ONE_OBJECT = np.zeros(POINTS, np.int32)


@pytest.mark.parametrize("where", [(1e4, 1e4), (1e5, 30.0), (-3e5, 2e5), (30.0, 600.0)])
def test_one_position_far_away_is_named_before_anything_is_allocated(
    tmp_path: Path, where: tuple[float, float]
) -> None:
    xy = positions()
    xy[41] = where
    np.savez(tmp_path / "scan.npz", **members(xcoords=xy[:, 0], ycoords=xy[:, 1]))
    with pytest.warns(
        ScanWarning, match=r"Position 41 lies far from the rest at x = .*; its pattern is left out"
    ) as said:
        raw = RawData.from_file(tmp_path / "scan.npz")
    assert len(said) == 1
    np.testing.assert_array_equal(raw.positions_xy, np.delete(positions(), 41, axis=0))
    assert len(raw.diff3d) == POINTS - 1


def test_two_far_positions_are_named_together() -> None:
    xy = positions()
    xy[3], xy[90] = (5e3, 0), (0, -5e3)
    points, finding = far_points(xy, ONE_OBJECT, 32)
    assert points.tolist() == [3, 90]
    assert finding is not None
    assert str(finding).startswith("Positions 3 and 90 lie far from the rest, the first at x = 5000, y = 0, the others")


@pytest.mark.parametrize(
    ("far", "count"), [([5, 50, 90], POINTS), ([50, 51, 52, 53, 54], POINTS), (list(range(40, 60)), POINTS), ([3], 8)]
)
@pytest.mark.parametrize("both", [True, False])
def test_several_positions_that_make_the_object_huge_are_left_out(far: list[int], count: int, both: bool) -> None:
    xy = positions()[:count]
    xy[far, 0] = 1e5 + np.arange(len(far))
    if both:
        xy[far, 1] = -3e5
    points, finding = far_points(xy, ONE_OBJECT[:count], 32)
    assert points.tolist() == far
    assert finding is not None
    assert "far from the rest" in finding.evidence
    assert wide_scan(np.delete(xy, far, axis=0), ONE_OBJECT[: count - len(far)], 32) is None


def test_a_scan_in_two_halves_that_no_array_holds_is_named(tmp_path: Path) -> None:
    xy = positions()
    xy[60:] += 1e5
    assert far_points(xy, ONE_OBJECT, 32)[1] is None
    np.savez(tmp_path / "scan.npz", **members(xcoords=xy[:, 0], ycoords=xy[:, 1]))
    words = (
        r"span an object of 100.* GiB\), of which patterns cover less than .*: 40 positions \(60, 61, .* lie far from"
    )
    with pytest.warns(ScanWarning, match=words):
        RawData.from_file(tmp_path / "scan.npz")
    index = (np.arange(POINTS) >= 60).astype(np.int32)
    assert wide_scan(xy, index, 32) is None


@pytest.mark.parametrize("kind", ["two fields", "a line", "repeated", "one far in each of many steps", "few"])
def test_wide_scans_are_left_alone(kind: str) -> None:
    xy = positions()
    if kind == "two fields":
        xy[POINTS // 2 :] += 5000
    if kind == "a line":
        xy = np.stack([np.linspace(0, 5000, POINTS), np.zeros(POINTS)], axis=1)
    if kind == "repeated":
        xy = np.repeat(xy[: POINTS // 4], 4, axis=0)
    if kind == "one far in each of many steps":
        xy = np.stack([np.cumsum(np.geomspace(3, 400, POINTS)), np.zeros(POINTS)], axis=1)
    if kind == "few":
        xy = np.array([[0.0, 0.0], [5.0, 0.0], [900.0, 0.0]])
    points, finding = far_points(xy, ONE_OBJECT[: len(xy)], 32)
    assert (points.tolist(), finding) == ([], None)


def test_objects_of_a_file_may_lie_apart() -> None:
    xy = positions()
    xy[:10] += 1e5
    index = (np.arange(POINTS) < 10).astype(np.int32)
    assert far_points(xy, index, 32)[1] is None
    assert far_points(xy[5:15], index[5:15] * 0, 32)[1] is None


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1e-8, "they may be in metres"),
        (1e-2, "they may be in micrometres or millimetres"),
        (0.0, "all are the same"),
        (100.0, r"Neighbours lie .* pixels apart, and a pattern covers 32 x 32, so that nothing overlaps"),
        (1e9, "nothing overlaps"),
    ],
)
def test_positions_out_of_all_proportion(factor: float, words: str) -> None:
    scan, (x, y) = simulated(), positions().T * factor
    with pytest.warns(ScanWarning, match=words) as said:
        raw = RawData.from_arrays(x, y, scan.counts, scan.probe, measurement="counts")
    assert len(said) == 1
    assert raw.n_patterns == POINTS


@pytest.mark.parametrize("factor", [0.2, 1.0, 4.0])
def test_dense_and_wide_scans_are_in_proportion(factor: float) -> None:
    assert position_scale(positions() * factor, ONE_OBJECT, 32) is None


def test_the_probe_tells_that_nothing_overlaps() -> None:
    probe = np.reshape(simulated().probe, (-1, 32, 32))
    step = neighbour_step(positions(), ONE_OBJECT)
    # More than the pattern; more than twice what the probe lights.
    for apart, words in ((34.0, "a pattern covers 32 x 32"), (31.5, "nine tenths of the probe.s light fill")):
        finding = position_scale(positions() * apart / step, ONE_OBJECT, 32, probe)
        assert finding is not None
        assert re.search(words, finding.evidence)
    assert position_scale(positions() * 31.5 / step, ONE_OBJECT, 32, None) is None


@pytest.mark.parametrize("with_probe", [True, False])
def test_many_positions_within_a_few_pixels(with_probe: bool) -> None:
    row, column = np.divmod(np.arange(1024), 32)
    xy = np.stack([column, row], axis=1).astype(np.float64)
    index = np.zeros(1024, np.int32)
    probe = np.reshape(simulated().probe, (-1, 32, 32)) if with_probe else None
    finding = position_scale(xy * 0.08, index, 32, probe)
    assert finding is not None
    assert "less than a hundredth of the light" in finding.evidence
    assert position_scale(xy * 0.5, index, 32, probe) is None
    # One place measured again and again is no wrong unit.
    assert position_scale(np.repeat(xy[:4] * 2, 256, axis=0), index, 32, probe) is None


@pytest.mark.parametrize("turn", [name for name in ORIENTATIONS if name != "as given"])
def test_axes_that_the_patterns_contradict(tmp_path: Path, turn: str) -> None:
    turned = positions() @ np.asarray(ORIENTATIONS[turn])
    np.savez(tmp_path / "scan.npz", **members(xcoords=turned[:, 0], ycoords=turned[:, 1]))
    with pytest.warns(ScanWarning, match=f"The patterns fit the positions better with {turn}: ") as said:
        RawData.from_file(tmp_path / "scan.npz")
    assert len(said) == 1


@pytest.mark.parametrize("fault", ["hot pixel", "NaN", "gap", "cosmic rays"])
def test_axes_are_looked_at_in_patterns_with_faults(tmp_path: Path, fault: str) -> None:
    counts = simulated().counts.astype(np.float64)
    if fault == "hot pixel":
        counts[:, 3, 4] = 60_000
    if fault == "NaN":
        counts[:, 3, 4] = np.nan
    if fault == "gap":
        counts[:, 15:17] = 2**32 - 1
    if fault == "cosmic rays":
        counts[np.random.default_rng(0).random(counts.shape) < 1e-3] = 2**31
    x, y = positions().T
    words = "better with x and y exchanged"
    for given, expected in (((x, y), 0), ((y, x), 1)):
        np.savez(tmp_path / "scan.npz", **members(diffraction=counts, xcoords=given[0], ycoords=given[1]))
        with pytest.warns(ScanWarning) as said:
            RawData.from_file(tmp_path / "scan.npz")
        assert sum(words in str(item.message) for item in said) == expected


def test_the_axes_of_a_measured_scan(shared_folder: Path, tmp_path: Path) -> None:
    with np.load(shared_folder / "data" / "siemens_star.npz") as archive:
        arrays = {name: archive[name] for name in ("diff3d", "xcoords", "ycoords", "probeGuess")}
    x, y = arrays["xcoords"], arrays["ycoords"]
    with pytest.warns(ScanWarning, match="better with x and y exchanged"):
        RawData.from_arrays(y, x, arrays["diff3d"], arrays["probeGuess"], measurement="counts")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RawData.from_arrays(x, y, arrays["diff3d"], arrays["probeGuess"], measurement="counts")


def test_noise_tells_nothing_of_the_axes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.uniform(0, 100, (2, 60))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            RawData.from_arrays(x, y, rng.poisson(5.0, (60, 16, 16)), measurement="counts")


def test_nominal_positions_that_contradict_the_measured_ones(tmp_path: Path) -> None:
    xy = positions()
    np.savez(tmp_path / "scan.npz", **members(xcoords_start=xy[:, 1], ycoords_start=xy[:, 0]))
    with pytest.warns(ScanWarning, match="would agree with an axis exchanged or negated"):
        RawData.from_file(tmp_path / "scan.npz")
    moved = xy + np.random.default_rng(0).normal(0, 2, xy.shape)
    np.savez(tmp_path / "scan.npz", **members(xcoords_start=moved[:, 0], ycoords_start=moved[:, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RawData.from_file(tmp_path / "scan.npz")
