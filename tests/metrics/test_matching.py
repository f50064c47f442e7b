"""A reconstruction is judged by the patterns it was made of, and what is of another scan is said to be."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import evaluate, scan_r_factors
from ptychopinn_backend.evaluation.matching import matched_scan
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

SMALL = SimulationConfig(size=32, patterns=40, photons=1e5)


def perfect(scan: RawData, *, old: bool = False, index: int | None = None) -> Reconstruction:
    """The true object as a reconstruction of the scan; an old one holds no counts."""
    assert scan.objectGuess is not None
    assert scan.probeGuess is not None
    info = {} if index is None else {"scan_index": index}
    counts = None if old else count_photons(scan.diff3d)
    return Reconstruction(
        scan.objectGuess, (0.0, 0.0), scan.probeGuess, None, "pytorch", scan.positions_xy, info, counts
    )


def joined(*scans: RawData) -> RawData:
    """One file of several objects, `scan_index` 0, 1, ..."""
    return replace(
        scans[0],
        **{name: np.concatenate([getattr(scan, name) for scan in scans]) for name in ("xcoords", "ycoords", "diff3d")},
        scan_index=np.repeat(np.arange(len(scans)), [scan.n_patterns for scan in scans]).astype(np.int32),
        Y=None,
        xcoords_start=None,
        ycoords_start=None,
    )


@pytest.fixture(scope="module")
def first() -> RawData:
    return simulate_scan(SMALL, seed=1)


@pytest.fixture(scope="module")
def second(first: RawData) -> RawData:
    """Another object at the same positions."""
    other = simulate_scan(SMALL, seed=2)
    again = simulate_scan(replace(SMALL, object="random_field"), seed=1)
    np.testing.assert_array_equal(again.positions_xy, first.positions_xy)
    assert not np.array_equal(other.positions_xy, first.positions_xy)
    return again


def r_of(found: Reconstruction, scan: RawData) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(found, scan)
    return float(report["r_factor"])


@pytest.mark.parametrize("knows", ["counts", "index", "both"])
def test_an_object_of_several_in_a_file(knows: str, first: RawData, second: RawData) -> None:
    both = joined(first, second)
    for index, scan in enumerate((first, second)):
        found = perfect(scan, old=knows == "index", index=None if knows == "counts" else index)
        assert r_of(found, both) == pytest.approx(scan_r_factors(found, scan)[0], rel=1e-6)
        report = evaluate(found, both)
        assert (report["n_patterns"], report["n_patterns_of_scan"]) == (40, 80)


def test_objects_at_other_positions_need_no_counts(first: RawData) -> None:
    other = simulate_scan(SMALL, seed=2)
    found = perfect(other, old=True)
    assert r_of(found, joined(first, other)) == pytest.approx(scan_r_factors(found, other)[0], rel=1e-6)


def test_objects_that_nothing_tells_apart_are_refused(first: RawData, second: RawData) -> None:
    with pytest.raises(DataError, match=r"shows 2 objects, of which 2 have the positions .* Give a file with the patt"):
        evaluate(perfect(second, old=True), joined(first, second))
    blind = replace(perfect(second, old=True), positions_xy=None)
    with pytest.raises(DataError, match=r"holds no positions, and the scan shows 2 objects; one of them was"):
        evaluate(blind, joined(first, second))


@pytest.mark.parametrize("old", [True, False])
def test_a_part_of_the_scan_in_any_order(old: bool, first: RawData) -> None:
    part = first.select(np.array([30, 3, 17, 8, 21, 4]))
    found = perfect(part, old=old)
    matched = matched_scan(found, first)
    np.testing.assert_array_equal(matched.raw.diff3d, part.diff3d)
    assert matched.doubts == ()


def test_patterns_at_one_position_are_told_by_their_counts(first: RawData) -> None:
    rng = np.random.default_rng(0)
    twice = replace(first, xcoords=np.repeat(first.xcoords[:20], 2), ycoords=np.repeat(first.ycoords[:20], 2))
    twice = replace(twice, diff3d=np.sqrt(rng.poisson(np.repeat(first.diff3d[:20], 2, axis=0) ** 2)).astype(np.float32))
    part = twice.select(np.array([5, 4, 31]))
    np.testing.assert_array_equal(matched_scan(perfect(part), twice).raw.diff3d, part.diff3d)
    half = twice.select(np.arange(0, 40))
    np.testing.assert_array_equal(matched_scan(perfect(half, old=True), twice).raw.diff3d, twice.diff3d)


def test_refined_positions_are_those_of_the_reconstruction(first: RawData) -> None:
    """The patterns lie where the reconstruction says, whatever the scan file says."""
    rng = np.random.default_rng(1)
    wrong = replace(first, xcoords=first.xcoords + rng.normal(0, 0.7, 40) + 3, ycoords=first.ycoords - 2)
    for old in (True, False):
        found = perfect(first, old=old)
        assert r_of(found, wrong) == pytest.approx(scan_r_factors(found, first)[0], rel=1e-6)


@pytest.mark.parametrize("photons", [1e5, 200.0])
def test_refined_positions_of_a_part_are_those_of_the_reconstruction(photons: float) -> None:
    scan = simulate_scan(replace(SMALL, patterns=100, photons=photons), seed=1)
    part = scan.select(np.arange(3, 100, 2))
    rng = np.random.default_rng(0)
    # All are moved as a whole, scaled, and each by itself.
    refined = 1.01 * part.positions_xy + 2.0 + rng.normal(0.0, 0.4, part.positions_xy.shape)
    found = replace(perfect(part), positions_xy=refined)
    matched = matched_scan(found, scan)
    np.testing.assert_array_equal(matched.raw.diff3d, part.diff3d)
    np.testing.assert_array_equal(matched.raw.positions_xy, refined)
    assert matched.doubts == ()
    other = simulate_scan(replace(SMALL, patterns=100, photons=photons), seed=5)
    with pytest.raises(DataError, match="it is of another scan"):
        matched_scan(found, other)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("patterns", [30, 60])
def test_another_scan_is_refused(old: bool, patterns: int, first: RawData) -> None:
    other = simulate_scan(replace(SMALL, patterns=patterns), seed=2)
    words = rf"was made of {patterns} patterns at positions that the 40 of this scan do not have; it is of another scan"
    with pytest.raises(DataError, match=words):
        evaluate(perfect(other, old=old), first)


def test_another_scan_at_the_same_positions_is_told_of(first: RawData, second: RawData) -> None:
    with pytest.warns(UserWarning, match=r"100 % of the patterns hold other counts than those the reconstruction was"):
        evaluate(perfect(second), first)


def test_an_object_elsewhere(first: RawData) -> None:
    away = replace(perfect(first), origin_rc=(900.0, 0.0))
    with pytest.raises(
        DataError, match=r"lies nowhere under the scan: every position is outside of it\. Give the scan"
    ):
        evaluate(away, first)
    with pytest.warns(UserWarning, match=r"\d+ of 40 scan positions lie outside the object of .* which counts as dark"):
        evaluate(replace(perfect(first), origin_rc=(-30.0, 0.0)), first)
    dark = replace(perfect(first), object=np.zeros_like(first.objectGuess))
    with pytest.raises(DataError, match="object times probe is dark everywhere on the valid pixels"):
        evaluate(dark, first)


def test_a_reconstruction_without_positions_says_how_many_patterns_it_had(first: RawData) -> None:
    blind = replace(perfect(first, old=True), positions_xy=None, info={"n_patterns": 39})
    with pytest.warns(UserWarning, match="was made of 39 patterns, and the scan has 40. Check that it is of this scan"):
        evaluate(blind, first)


def test_a_truth_of_another_scan_or_size(first: RawData, second: RawData) -> None:
    found = perfect(first)
    assert first.objectGuess is not None
    assert second.objectGuess is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(found, first, truth=(first.objectGuess, (0.0, 0.0)))
    with pytest.warns(UserWarning, match=r"Reconstruction and truth have little in common: their amplitudes correlate"):
        evaluate(found, first, truth=(second.objectGuess, (0.0, 0.0)))
    side = int(first.ycoords.max()) - 2
    with pytest.warns(UserWarning, match=rf"\d+ of 40 scan positions lie outside the reference of {side} x \d+ pixels"):
        evaluate(found, first, reference=(first.objectGuess[:side], (0.0, 0.0)))
