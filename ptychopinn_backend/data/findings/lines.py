"""Rows and columns of a detector that count by themselves, though below the peak of the pattern.

A hot column stands above both of its neighbours over its whole length by about the same number. Light does not: the
streak of a straight edge fades with the distance from the centre of the pattern, and is as wide as the far field of the
probe is smooth.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array

_HIGHER: Final = 3.0
"""Ratio to the brightest of its neighbours."""
_SHARE: Final = 0.7
"""Part of the line's dim half over which it must stand out by that ratio ..."""
_ABOVE: Final = 0.8
"""... and part of its whole length over which it must lie above the mean of its neighbours."""
_CENTRAL_PX: Final = 3.0
_EVEN: Final = 6.0
"""Ratio of the excess of its bright parts to that of its dim parts, at most."""
_FEWEST_PHOTONS: Final = 8.0
"""Of all patterns together, at a pixel that stands out."""
_MOST_LINES: Final = 0.06
"""Part of the rows, or columns, that may be hot; more are the pattern."""
_REACH_PX: Final = 3
"""A line must stand out from all lines this near: the far field of a steeply curved probe has bright ones in turn."""


def hot_lines(total: Float64Array, good: BoolArray, unit: float) -> BoolArray:
    """Find rows and columns that are hot.

    Args:
        total: counts of some patterns together (N, N).
        good: good pixels (N, N).
        unit: a photon, in the unit of the counts.

    Returns:
        The good pixels of hot rows and columns (N, N).
    """
    floor = _FEWEST_PHOTONS * unit
    found = np.zeros(good.shape, np.bool_)
    found[:, _hot_columns(total, good, floor)] = True
    found[_hot_columns(total.T, good.T, floor), :] = True
    return found & good


def _hot_columns(total: Float64Array, good: BoolArray, floor: float) -> BoolArray:
    """Return which columns are hot (column,); none where many are, which then is the pattern."""
    side = len(total)
    dark = np.where(good, total, 0.0)
    # At the border the neighbours there are tell.
    framed, is_there = (np.pad(values, ((0, 0), (_REACH_PX, _REACH_PX))) for values in (dark, good))
    beside = [by for by in range(2 * _REACH_PX + 1) if by != _REACH_PX]
    around = np.max([framed[:, by : by + side] for by in beside], axis=0)
    tells = good & np.any([is_there[:, by : by + side] for by in beside], axis=0)
    higher = tells & (dark > _HIGHER * around) & (dark >= floor)
    above = tells & (
        dark > (framed[:, _REACH_PX - 1 : _REACH_PX - 1 + side] + framed[:, _REACH_PX + 1 :][:, :side]) / 2
    )
    centre = float((dark.sum(axis=0) @ np.arange(side)) / (dark.sum() or 1.0))
    hot = np.zeros(side, np.bool_)
    told_rows = tells.sum(axis=0)
    # What a hot column must fulfil anyway and all columns are asked for at once; nearly none is left.
    asked = (told_rows >= side / 2) & (above.sum(axis=0) >= _ABOVE * told_rows)
    asked &= higher.sum(axis=0) >= _SHARE * told_rows / 2
    for column in np.flatnonzero(asked):
        told = tells[:, column]
        # Away from the centre of the pattern the dim half of a line tells; through it runs the light's own streak.
        is_central = abs(column - centre) <= _CENTRAL_PX
        dim = told if is_central else told & (around[:, column] <= np.median(around[told, column]))
        stands_out = higher[:, column] & dim
        if stands_out.sum() < _SHARE * dim.sum():
            continue
        low, high = np.quantile((dark - around)[stands_out, column], (0.2, 0.8))
        hot[column] = high <= _EVEN * low
    return hot if hot.sum() <= max(1, _MOST_LINES * side) else hot & False
