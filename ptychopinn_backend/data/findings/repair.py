"""What is done about values that no detector counts: pixels marked as bad, values replaced, patterns left out.

A pixel that is wrong in many patterns is marked in the scan's mask, which the loss, the stitching and the figures of
merit leave out. So is one that is wrong now and then, while these are few. Where they are many, as cosmic rays are in a
large scan, their values are replaced by those around them, so that the mask does not fill up. A pattern that is wrong
in many pixels is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, IntArray

Pieces = Callable[[], Iterator[AnyArray]]
"""Gives the patterns of a scan from the first to the last, (pattern, N, N) each, as often as it is called."""
WrongValues = Callable[[AnyArray], BoolArray]
"""Returns which values of patterns (pattern, N, N) are wrong."""

REPEATED_SHARE: Final = 0.02
"""Part of the patterns in which a pixel must be wrong to count as bad by itself."""
REPEATED: Final = 3
"""Fewest patterns in which it must be."""
_SPORADIC_SHARE: Final = 0.01
"""Part of the pixels that are marked although each is wrong in a few patterns only."""
_PATTERN_SHARE: Final = 0.01
"""Part of its pixels that may be wrong in a pattern that is kept."""
_WHOLE_SHARE: Final = 0.25
"""Part of its pixels, beyond what is wrong in every pattern, from which on a pattern as a whole is wrong."""
_REACH_PX: Final = 2


@dataclass(frozen=True, eq=False)
class PatternRepair:
    """What is done about a scan's patterns; scan points are counted as in the file."""

    bad_pixels: BoolArray
    """(N, N), True = bad, in addition to what the file marks."""
    left_out: IntArray
    """Patterns that are left out (pattern,), in rising order."""
    replaced: IntArray
    """Values that are replaced (value, 3): pattern, row, column; by pattern."""

    @classmethod
    def nothing(cls, N: int) -> PatternRepair:
        """Return a repair that changes nothing, for patterns of N x N pixels."""
        return cls(np.zeros((N, N), np.bool_), np.zeros(0, np.int64), np.zeros((0, 3), np.int64))

    @property
    def changes_values(self) -> bool:
        """Patterns are left out or values replaced, so that a mask alone does not do."""
        return bool(len(self.left_out) or len(self.replaced))

    def without(self, points: IntArray) -> PatternRepair:
        """Return the repair that leaves out further patterns.

        Args:
            points: patterns (pattern,).

        Returns:
            The repair of both.
        """
        left_out = np.union1d(self.left_out, points).astype(np.int64)
        return PatternRepair(self.bad_pixels, left_out, self.replaced)

    def joined(self, other: PatternRepair) -> PatternRepair:
        """Return the repair that does what this one and another do.

        Args:
            other: of the same scan.

        Returns:
            The repair of both.
        """
        replaced = np.unique(np.concatenate([self.replaced, other.replaced]), axis=0)
        bad = self.bad_pixels | other.bad_pixels
        return PatternRepair(bad, self.left_out, replaced).without(other.left_out)

    def kept(self, n_patterns: int) -> IntArray:
        """Return the patterns that stay, of `n_patterns`, in rising order."""
        return np.delete(np.arange(n_patterns), self.left_out)

    def applied(self, pieces: Iterator[AnyArray]) -> Iterator[AnyArray]:
        """Yield patterns as they are used: without those left out, with replaced values.

        Args:
            pieces: all patterns (pattern, N, N).

        Yields:
            (pattern, N, N), never the array that came in where anything changed; pieces of no patterns are left out.
        """
        first = 0
        for piece in pieces:
            there = np.arange(first, first + len(piece))
            stays = ~np.isin(there, self.left_out)
            start, stop = np.searchsorted(self.replaced[:, 0], (first, first + len(piece)))
            if start < stop:
                piece = _replaced(piece, self.replaced[start:stop] - (first, 0, 0), self.bad_pixels)
            first += len(there)
            if stays.all():
                yield piece
            elif stays.any():
                yield piece[stays]


def locate(pieces: Pieces, concerned: BoolArray, wrong: WrongValues, known_bad: BoolArray) -> PatternRepair:
    """Decide what to do about wrong values.

    Args:
        pieces: the patterns.
        concerned: (pattern,) in which ones to look.
        wrong: which values are wrong.
        known_bad: pixels that are marked already (N, N).

    Returns:
        What is to be done in addition.
    """
    n_patterns, n_pixels = len(concerned), known_bad.size
    per_pattern = np.zeros(n_patterns, np.int64)
    for rows, found in _found(pieces, concerned, wrong, known_bad):
        per_pattern[rows] = found.sum(axis=(1, 2))
    whole = per_pattern > np.median(per_pattern) + _WHOLE_SHARE * n_pixels
    per_pixel = np.zeros(known_bad.shape, np.int64)
    for _, found in _found(pieces, concerned & ~whole, wrong, known_bad):
        per_pixel += found.sum(axis=0)
    often = min(n_patterns, max(REPEATED, int(np.ceil(REPEATED_SHARE * n_patterns))))
    marked = per_pixel >= often
    rest = [np.zeros((0, 3), np.int64)]
    for rows, found in _found(pieces, concerned & ~whole, wrong, known_bad | marked):
        many = found.sum(axis=(1, 2)) > _PATTERN_SHARE * n_pixels
        whole[rows[many]] = True
        found[many] = False
        pattern, row, column = np.nonzero(found)
        rest.append(np.stack([rows[pattern], row, column], axis=1))
    sporadic = np.concatenate(rest)
    pixels = np.unique(sporadic[:, 1:], axis=0)
    if len(pixels) <= _SPORADIC_SHARE * n_pixels:
        marked[pixels[:, 0], pixels[:, 1]] = True
        sporadic = sporadic[:0]
    return PatternRepair(marked, np.flatnonzero(whole), sporadic)


def _found(
    pieces: Pieces, concerned: BoolArray, wrong: WrongValues, known_bad: BoolArray
) -> Iterator[tuple[IntArray, BoolArray]]:
    """Yield numbers of patterns that are concerned, and which of their values are wrong (pattern, N, N)."""
    if not concerned.any():
        return
    first = 0
    for piece in pieces():
        rows = np.flatnonzero(concerned[first : first + len(piece)])
        if len(rows):
            yield rows + first, wrong(piece[rows]) & ~known_bad
        first += len(piece)


def _replaced(piece: AnyArray, places: IntArray, bad: BoolArray) -> AnyArray:
    """Return patterns whose values at `places` (value, 3) are the medians of the good ones around them."""
    rows, among = np.unique(places[:, 0], return_inverse=True)
    width = 2 * _REACH_PX + 1
    reach = (_REACH_PX, _REACH_PX)
    values = np.where(bad, np.nan, piece[rows].astype(np.float64))
    values[among, places[:, 1], places[:, 2]] = np.nan
    framed = np.pad(values, ((0, 0), reach, reach), constant_values=np.nan)
    steps = np.arange(width)
    around = framed[
        among[:, np.newaxis, np.newaxis],
        places[:, 1, np.newaxis, np.newaxis] + steps[:, np.newaxis],
        places[:, 2, np.newaxis, np.newaxis] + steps,
    ].reshape(len(places), -1)
    around[np.isnan(around).all(axis=1)] = 0
    changed = piece.copy()
    # One of the values, not the mean of two: counts stay whole.
    changed[places[:, 0], places[:, 1], places[:, 2]] = np.nanquantile(around, 0.5, axis=1, method="lower")
    return changed
