"""What makes the examination of a large scan cheap finds the same as looking at everything would."""

from __future__ import annotations

import numpy as np
import pytest

from ptychopinn_backend.arrays import AnyArray, BoolArray
from ptychopinn_backend.data.findings.outliers import Proportion, out_of_proportion
from ptychopinn_backend.data.findings.points import distance_from_middle, points_by_object
from ptychopinn_backend.data.findings.scan import ScanExaminer
from ptychopinn_backend.data.scaling import pattern_slices, without_bad_pixels
from ptychopinn_backend.data.scan_arrays import check_scan

MANY = 30_000
SIDE = 16


def large_scan() -> dict[str, AnyArray]:
    """Return a scan of many small patterns without a fault."""
    generator = np.random.default_rng(0)
    axis = np.arange(SIDE) - SIDE / 2
    light = 200 * np.exp(-(axis[:, np.newaxis] ** 2 + axis**2) / 12)
    row, column = np.divmod(np.arange(MANY), 200)
    return {
        "xcoords": 2.0 * column,
        "ycoords": 2.0 * row,
        "diffraction": generator.poisson(light, (MANY, SIDE, SIDE)).astype(np.uint16),
    }


def test_one_fault_of_each_kind_among_very_many_patterns_is_found() -> None:
    arrays = large_scan()
    patterns = arrays["diffraction"]
    patterns[11_111, 3, 4] = 60_000
    patterns[17_777] *= 100
    patterns[22_222] = 0
    arrays["xcoords"][5_555] = 1e5
    fields = check_scan(arrays, "counts", {})
    found = {item.name: item for item in fields["findings"]}
    assert set(found) == {"hot-pixels", "hot-patterns", "empty-patterns", "far-positions"}
    expected = np.zeros((SIDE, SIDE), bool)
    expected[3, 4] = True
    np.testing.assert_array_equal(fields["bad_pixels"], expected)
    left_out = np.setdiff1d(np.arange(MANY), [5_555, 17_777, 22_222])
    np.testing.assert_array_equal(fields["xcoords"], arrays["xcoords"][left_out])
    roots = np.sqrt(patterns[left_out].astype(np.float32))
    roots[:, 3, 4] = 0
    np.testing.assert_array_equal(fields["diff3d"], roots)


def test_what_is_kept_of_the_patterns_does_not_depend_on_the_pieces() -> None:
    arrays = large_scan()
    facts = {**arrays, "bad_pixels": np.eye(SIDE, dtype=bool), "scan_index": np.zeros(MANY, np.int32)}
    surveys = []
    for elements in (SIDE**2, 2**14, 2**23):
        survey = ScanExaminer(facts, MANY, SIDE).survey
        for part in pattern_slices(arrays["diffraction"], elements):
            survey.look(arrays["diffraction"][part], part.start)
        surveys.append(survey)
    one, *others = surveys
    good = np.where(np.eye(SIDE, dtype=bool), 0, arrays["diffraction"])
    np.testing.assert_array_equal(one.highest, good.max(axis=(1, 2)))
    np.testing.assert_array_equal(one.sample, good[one.sample_points])
    np.testing.assert_allclose(one.moments[:, 0, 0], good[one.followed].sum(axis=(1, 2)))
    for other in others:
        for name in ("highest", "sample", "moments"):
            expected, found = getattr(one, name), getattr(other, name)
            # Sums of float32 in another order.
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(np.abs(expected).max()))


def above_a_jump(pattern: AnyArray, floor: float, jump: float) -> BoolArray:
    """Sort all of a pattern (N, N) and look from the brightest tenth down for the last jump."""
    ordered = np.sort(pattern.ravel())[::-1][: int(0.1 * pattern.size)]
    wide = np.flatnonzero(ordered[:-1] / np.maximum(ordered[1:], floor) > jump)
    return pattern >= (ordered[wide[-1]] if len(wide) else np.inf)


@pytest.mark.parametrize("jump", [10.0, 35.0])
def test_jumps_are_found_without_sorting_patterns_that_have_none(jump: float) -> None:
    generator = np.random.default_rng(1)
    smooth = np.exp(generator.uniform(0, 4, (300, 32, 32)))
    # Some pixels are higher by up to a thousand times, at every distance from the rest.
    planted = generator.random(smooth.shape) < 2e-3
    counts = np.where(planted, 55 * 10 ** generator.uniform(0, 3, smooth.shape), smooth)
    good = np.ones((32, 32), bool)
    usual = Proportion(unit=1.0, jump=jump, lonely=1e9, peak=1.0)
    found = out_of_proportion(counts, good, usual)
    expected = np.stack([above_a_jump(pattern, 3.0, jump) for pattern in counts])
    np.testing.assert_array_equal(found, expected)
    assert 30 < found.any(axis=(1, 2)).sum() < 270


def test_lonely_pixels_are_told_by_their_brightest_neighbour() -> None:
    counts = np.random.default_rng(2).uniform(1, 50, (5, 12, 12)) ** 2
    usual = Proportion(unit=1.0, jump=1e9, lonely=1.5, peak=1.0)
    framed = np.pad(counts, ((0, 0), (1, 1), (1, 1)))
    expected = np.zeros(counts.shape, bool)
    for place in np.ndindex(*counts.shape):
        pattern, row, column = place
        around = framed[pattern, row : row + 3, column : column + 3].copy()
        around[1, 1] = 0
        expected[place] = counts[place] > 1.5 * max(around.max(), 3.0)
    found = out_of_proportion(counts, np.ones((12, 12), bool), usual)
    np.testing.assert_array_equal(found, expected & (counts >= 3.0))
    assert found.any()


@pytest.mark.parametrize("kind", ["u1", "u2", "i4", "i8", "f2", "f4", ">f4", "f8", "g"])
def test_bad_pixels_become_zero_whatever_stands_there(kind: str) -> None:
    good = np.random.default_rng(3).random((6, 6)) < 0.6
    patterns = np.random.default_rng(4).integers(0, 100, (4, 6, 6)).astype(kind)
    if patterns.dtype.kind == "f":
        patterns[:, ~good] = np.nan
    found = without_bad_pixels(patterns, good)
    assert found.dtype == patterns.dtype
    np.testing.assert_array_equal(found[:, ~good], 0)
    np.testing.assert_array_equal(found[:, good], patterns[:, good])


def test_points_of_objects_and_their_middle() -> None:
    index = np.array([2, 0, 2, 5, 0])
    assert [points.tolist() for points in points_by_object(index)] == [[1, 4], [0, 2], [3]]
    assert [points.tolist() for points in points_by_object(index * 0)] == [[0, 1, 2, 3, 4]]
    row, column = np.divmod(np.arange(40_000), 200)
    distance = distance_from_middle(np.stack([column, row], axis=1).astype(float))
    # The middle of some is that of all to within a few per cent of the scan.
    assert abs(distance[100 * 200 + 100]) < 8
    assert distance.max() == pytest.approx(100, abs=8)
