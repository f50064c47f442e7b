"""Patterns in which a block was never written: they are 0 in a rectangle in which the other patterns have light.

A file that is written in chunks reads 0 if a chunk is missing. An object that takes light away leaves no rectangle,
because the light fades over some pixels. Few photons leave single dark pixels, but no dark rectangle in a place in
which many photons are expected.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float64Array, IntArray

_ROWS: Final = 4
"""Rows of a detector that are looked at in every pattern."""
_CELLS: Final = 8
"""Number of cells along a side of the detector. A missing block covers at least one cell."""
_OFTEN_DARK: Final = 0.5
"""Largest part of the patterns in which a place may be dark. A place that is dark more often tells nothing."""
_FEWEST_PHOTONS: Final = 30.0
"""Smallest number of photons that must be expected in a block of zeros, and in the brightest line beside it."""
_SELDOM: Final = 0.05
"""Part of the other patterns that may have less light in the block than this number asks for."""
_TELLING_SHARE: Final = 0.1
"""A line beside the block is looked at if at least this part of the brightest line's light is expected in it."""
_LIT_BESIDE: Final = 0.25
"""Such a line must hold at least this part of the light that is expected in it, since a block ends within a pixel."""


def looked_at_rows(N: int) -> slice:
    """Return the rows of a detector of N rows that `lit_pixels` looks at."""
    step = max(1, N // _ROWS)
    return slice(step // 2, None, step)


def lit_pixels(patterns: AnyArray) -> AnyArray:
    """Return where some rows of patterns are above 0, eight pixels to a byte.

    Args:
        patterns: values of the patterns (pattern, N, N).

    Returns:
        Bits of the pixels (pattern, row, byte), uint8. A bit is 1 if its pixel is above 0.
    """
    with np.errstate(invalid="ignore"):
        return np.packbits(patterns[:, looked_at_rows(patterns.shape[1])] > 0, axis=-1)


def surprise(lit: AnyArray) -> Float64Array:
    """Return how odd the dark places of patterns are.

    Args:
        lit: result of `lit_pixels` for all patterns (pattern, row, byte).

    Returns:
        A number for every pattern (pattern,): minus the logarithm of the probability that all of its dark places are
        dark, if places were independent of one another.
    """
    dark = lit.reshape(len(lit), -1) == 0
    share = dark.mean(axis=0)
    # What is dark in all or in no pattern tells nothing, and that is nearly all there is.
    told = np.flatnonzero((share > 0) & (share < _OFTEN_DARK))
    return np.asarray(dark[:, told].astype(np.float32) @ -np.log(share[told]).astype(np.float32), np.float64)


def unwritten_patterns(counts: Float64Array, others: Float64Array, unit: float) -> BoolArray:
    """Return which patterns are 0 in a rectangle that holds light in the others.

    Args:
        counts: counts of the patterns to look at (pattern, N, N), 0 at bad pixels.
        others: counts of some usual patterns (pattern, N, N), 0 at bad pixels.
        unit: counts of one photon, in the unit of `counts`.

    Returns:
        True for every pattern with such a rectangle (pattern,).
    """
    usual = others.mean(axis=0)
    return np.array([_has_hole(pattern, others, usual, unit) for pattern in counts], np.bool_)


class Rectangle(NamedTuple):
    """A rectangle of detector pixels. `bottom` and `right` are one after the last row and column."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, values: AnyArray) -> AnyArray:
        """Return the part of some values (N, N) that lies within the rectangle."""
        return values[self.top : self.bottom, self.left : self.right]

    def beside(self, N: int) -> list[Rectangle]:
        """Return the lines of pixels along those sides that are not at the border of a detector of N x N pixels."""
        lines = (
            (self.top > 0, self._replace(top=self.top - 1, bottom=self.top)),
            (self.bottom < N, self._replace(top=self.bottom, bottom=self.bottom + 1)),
            (self.left > 0, self._replace(left=self.left - 1, right=self.left)),
            (self.right < N, self._replace(left=self.right, right=self.right + 1)),
        )
        return [line for is_there, line in lines if is_there]

    def joined(self, other: Rectangle) -> Rectangle:
        """Return the smallest rectangle that holds both."""
        return Rectangle(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )


def _has_hole(pattern: Float64Array, others: Float64Array, usual: Float64Array, unit: float) -> bool:
    place = _dark_rectangle(pattern, usual)
    is_lit = pattern > 0
    if place is None or not is_lit.any():
        return False
    while dark := [line for line in place.beside(len(pattern)) if not line.of(is_lit).any()]:
        place = place.joined(dark[0])
    there = float(pattern.sum())
    elsewhere = float(usual.sum() - place.of(usual).sum())
    # In a pattern brighter than the others a photon may count many times.
    fewest = _FEWEST_PHOTONS * max(unit, float(pattern[is_lit].min()))
    if (
        elsewhere <= 0
        or place.of(usual).sum() * there < fewest * elsewhere
        or not _is_always_lit(place, others, fewest / there)
    ):
        return False
    expected = usual * (there / elsewhere)
    beside = [(float(line.of(expected).sum()), float(line.of(pattern).sum())) for line in place.beside(len(pattern))]
    most = max((awaited for awaited, _ in beside), default=0.0)
    telling = [(awaited, counted) for awaited, counted in beside if awaited >= _TELLING_SHARE * most]
    return most >= fewest and all(counted >= _LIT_BESIDE * awaited for awaited, counted in telling)


def _is_always_lit(place: Rectangle, others: Float64Array, least: float) -> bool:
    """Return whether nearly all patterns with light in the place have there at least a part of their other light.

    Args:
        place: the rectangle of pixels.
        others: counts of some usual patterns (pattern, N, N).
        least: light in the place, as a part of the light elsewhere.

    Returns:
        Whether they have so much.
    """
    here = others[:, place.top : place.bottom, place.left : place.right].sum(axis=(1, 2))
    rest = others.sum(axis=(1, 2)) - here
    lit = (here > 0) & (rest > 0)
    return bool(lit.any()) and float(np.quantile(here[lit] / rest[lit], _SELDOM)) >= least


def _dark_rectangle(pattern: Float64Array, usual: Float64Array) -> Rectangle | None:
    """Return the rectangle of cells in which a pattern (N, N) is 0 and the usual one (N, N) has most light, if any."""
    edges = np.arange(_CELLS + 1) * len(pattern) // _CELLS
    first, last = np.triu_indices(_CELLS + 1, 1)
    dark = _sums((pattern > 0).astype(np.float64), edges, first, last) == 0
    if not dark.any():
        return None
    best = int(np.argmax(np.where(dark, _sums(usual, edges, first, last), -1.0)))
    rows, columns = divmod(best, len(first))
    top, bottom, left, right = (
        int(edges[end[which]]) for which, end in ((rows, first), (rows, last), (columns, first), (columns, last))
    )
    return Rectangle(top, bottom, left, right)


def _sums(values: Float64Array, edges: IntArray, first: IntArray, last: IntArray) -> Float64Array:
    """Return sums of values (N, N) over rectangles of cells.

    Args:
        values: values of the pixels (N, N).
        edges: first pixel of every cell, and the end (edge,).
        first: index of the edge at which a range of cells begins (range,).
        last: index of the edge at which the range ends (range,).

    Returns:
        A sum for every range of rows and every range of columns (row range, column range).
    """
    cells = np.add.reduceat(np.add.reduceat(values, edges[:-1], axis=0), edges[:-1], axis=1)
    table = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    by_rows = table[last] - table[first]
    return np.asarray(by_rows[:, last] - by_rows[:, first])
