"""Held-out patterns: spread over the scan, away from its rim, the same for everybody."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from ptychopinn_backend.arrays import Float64Array
from ptychopinn_backend.data.held_out import FEWEST_PATTERNS, MOST_HELD_OUT, held_out_rows
from ptychopinn_backend.errors import DataError


def raster(side: int, step_px: float = 5.0, seed: int = 0) -> Float64Array:
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    points = step_px * np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    return points + np.random.default_rng(seed).normal(0, 0.5, points.shape)


def test_a_few_per_cent_are_held_out_once_each() -> None:
    rows = held_out_rows(raster(20))
    assert len(rows) == len(np.unique(rows)) == 16
    assert np.all(np.diff(rows) > 0)


def test_they_are_spread_evenly() -> None:
    positions = raster(20)
    apart = cKDTree(positions[held_out_rows(positions)]).query(positions)[0]
    # Sixteen cells of 25 px: no point lies further from its cell's centre than their diagonal.
    assert apart.max() < 25


def test_they_keep_away_from_the_rim() -> None:
    positions = raster(20)
    chosen = positions[held_out_rows(positions)]
    low, high = positions.min(axis=0), positions.max(axis=0)
    assert np.all(chosen > low + 5)
    assert np.all(chosen < high - 5)


def test_the_order_of_the_patterns_does_not_matter() -> None:
    positions = raster(15)
    order = np.random.default_rng(3).permutation(len(positions))
    np.testing.assert_allclose(
        np.sort(positions[held_out_rows(positions)], axis=0),
        np.sort(positions[order][held_out_rows(positions[order])], axis=0),
    )


def test_a_small_scan_keeps_all_its_patterns() -> None:
    positions = raster(8)[: FEWEST_PATTERNS - 1]
    assert len(held_out_rows(positions)) == 0
    assert len(held_out_rows(raster(8)[:FEWEST_PATTERNS])) == 2


def test_nothing_is_held_out_where_nobody_wants_it() -> None:
    assert len(held_out_rows(raster(10), fraction=0)) == 0


def test_a_large_scan_holds_out_no_more_than_it_needs() -> None:
    assert len(held_out_rows(raster(100))) == MOST_HELD_OUT


def test_positions_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"positions_xy"):
        held_out_rows(np.zeros((20, 3)))


def test_points_on_one_spot_are_no_obstacle() -> None:
    assert len(np.unique(held_out_rows(np.zeros((50, 2))))) == 2
