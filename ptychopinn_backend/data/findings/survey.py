"""One pass over the patterns of a scan, of which little is kept: enough to see that nothing is wrong with them."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float64Array, IntArray
from ptychopinn_backend.data.findings.unwritten import lit_pixels, looked_at_rows
from ptychopinn_backend.data.scaling import without_bad_pixels

SAMPLE_VALUES: Final = 2**18
"""About as many values are kept in whole patterns."""
_SAMPLED: Final = (8, 64)
"""Fewest and most patterns kept."""


class PatternSurvey:
    """What a pass over patterns keeps of them, in the unit of the file; values at bad pixels count as 0."""

    def __init__(
        self, n_patterns: int, N: int, good_pixels: BoolArray | None = None, followed: IntArray | None = None
    ) -> None:
        """Choose what is kept.

        Args:
            n_patterns: scan points.
            N: pattern side in pixels.
            good_pixels: (N, N); None means all are.
            followed: patterns whose centres of mass are kept (point,), in rising order.
        """
        fewest, most = _SAMPLED
        wanted = min(n_patterns, max(fewest, min(most, SAMPLE_VALUES // N**2)))
        self.sample_points: IntArray = np.unique(np.linspace(0, n_patterns - 1, wanted).round().astype(np.int64))
        """Patterns kept whole (sample,), spread evenly over the scan."""
        self.sample: AnyArray = np.empty((0, N, N))
        """Those patterns (sample, N, N)."""
        self.highest: Float64Array = np.zeros(n_patterns)
        """Largest value of every pattern; NaN where it holds one."""
        self.lowest: Float64Array = np.zeros(n_patterns)
        """Smallest value of every pattern; 0 for unsigned numbers."""
        rows = len(range(N)[looked_at_rows(N)])
        self.lit: AnyArray = np.zeros((n_patterns, rows, (N + 7) // 8), np.uint8)
        """Where some rows of every pattern are above 0 (pattern, row, byte), see `lit_pixels`."""
        self.followed: IntArray = np.zeros(0, np.int64) if followed is None else followed
        """Patterns whose moments are kept (point,)."""
        self.moments: Float64Array = np.zeros((len(self.followed), 2, 3))
        """(point, power, term): sums over a pattern's pixels of value**1 and value**2, times 1, column and row."""
        self._good = good_pixels
        self._chosen = np.union1d(self.sample_points, self.followed)
        self._next_chosen = 0
        axis = np.arange(N) - N / 2
        rows, columns = np.meshgrid(axis, axis, indexing="ij")
        self._terms = np.stack([np.ones(N * N), columns.ravel(), rows.ravel()], axis=1).astype(np.float32)

    def look(self, piece: AnyArray, first: int) -> None:
        """Look at some patterns.

        Args:
            piece: (pattern, N, N), real.
            first: number of the first of them.
        """
        if self._good is not None:
            piece = without_bad_pixels(piece, self._good)
        flat = piece.reshape(len(piece), -1)
        stop = first + len(piece)
        self.lit[first:stop] = lit_pixels(piece)
        if piece.dtype.kind == "u":
            self.highest[first:stop] = flat.max(axis=1)
        else:
            with np.errstate(invalid="ignore"):
                self.highest[first:stop] = flat.max(axis=1)
                self.lowest[first:stop] = flat.min(axis=1)
        if not first:
            self.sample = np.zeros((len(self.sample_points), *piece.shape[1:]), piece.dtype)
            self._next_chosen = 0
        # Most pieces of a large scan hold no pattern that is kept, and this is done for each of them.
        if self._next_chosen < stop:
            self._keep(piece, first)

    def _keep(self, piece: AnyArray, first: int) -> None:
        """Keep what is chosen of a piece, and find where the next one lies."""
        after = int(np.searchsorted(self._chosen, first + len(piece)))
        self._next_chosen = int(self._chosen[after]) if after < len(self._chosen) else len(self.highest)
        taken, among = _within(self.sample_points, first, len(piece))
        self.sample[among] = piece[taken]
        taken, among = _within(self.followed, first, len(piece))
        if len(taken):
            with np.errstate(invalid="ignore", over="ignore"):
                values = piece[taken].reshape(len(taken), -1).astype(np.float32)
                self.moments[among, 0] = values @ self._terms
                self.moments[among, 1] = np.square(values, out=values) @ self._terms


def _within(points: IntArray, first: int, count: int) -> tuple[IntArray, slice]:
    """Return which of `count` patterns from `first` on are among the points, and where among them."""
    start, stop = np.searchsorted(points, (first, first + count))
    return points[start:stop] - first, slice(int(start), int(stop))
