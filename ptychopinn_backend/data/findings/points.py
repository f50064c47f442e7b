"""Scan points as a whole: those of each object, how far they lie from the middle, and some of very many."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array, IntArray

_ENOUGH: Final = 4096
"""Values drawn at random of which median and quantiles are those of all within two per cent of the ranks."""


def points_by_object(scan_index: IntArray) -> list[IntArray]:
    """Return the points of every object, in rising order of their numbers.

    Args:
        scan_index: object of every point (pattern,), of one point or more.

    Returns:
        (point,) each.
    """
    # Most scans show one object; sorting a hundred thousand equal numbers takes longer than looking at them.
    if (scan_index == scan_index[0]).all():
        return [np.arange(len(scan_index))]
    return [np.flatnonzero(scan_index == index) for index in np.unique(scan_index)]


def distance_from_middle(positions_xy: Float64Array) -> Float64Array:
    """Return how far every position lies from the middle of all, along the axis in which it is further.

    Args:
        positions_xy: (pattern, 2).

    Returns:
        (pattern,).
    """
    x, y = np.median(some_of(positions_xy), axis=0)
    return np.asarray(np.maximum(np.abs(positions_xy[:, 0] - x), np.abs(positions_xy[:, 1] - y)), np.float64)


def some_of(values: Float64Array) -> Float64Array:
    """Return values that stand for all where a median or a quantile is wanted: all of them, but of very many some.

    Args:
        values: (pattern, ...).

    Returns:
        The same, or a few thousand entries drawn at random, always the same ones: steps would meet the rows of a scan.
    """
    if len(values) <= _ENOUGH:
        return values
    return values[np.random.default_rng(0).integers(0, len(values), _ENOUGH)]


def extent(positions_xy: Float64Array) -> tuple[float, float]:
    """Return how far positions (pattern, 2) reach along x and along y."""
    # Column by column: several times as fast as both at once.
    x, y = positions_xy.T
    return float(x.max() - x.min()), float(y.max() - y.min())
