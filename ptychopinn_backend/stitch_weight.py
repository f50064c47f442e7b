"""The sum of the patches' weights on a canvas: every patch adds the same weight, moved to its place."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.arrays import Float32Array, FloatArray, IntArray

_STRIP_STEP_PX = 32
_ADDED_TOGETHER = 16
"""Weights moved before they are added, few enough to stay in the processor's cache."""


class WeightSum:
    """Adds weights up in overlapping strips of columns.

    A strip is wide enough for any window that begins in its first `_STRIP_STEP_PX` columns, so that a window is one run
    of memory: starting a loop for each of its short rows took longer than adding them.
    """

    def __init__(self, shape: tuple[int, int], weight: Float32Array) -> None:
        """Start with zero everywhere.

        Args:
            shape: (row, column) of the canvas.
            weight: weight of every patch pixel (N, N).
        """
        self._shape, self._side = shape, len(weight) + 1
        pitch = _STRIP_STEP_PX + self._side
        self._at_corners = _at_the_four_corners(weight, pitch)
        # A margin as wide as a window takes those that leave the canvas.
        rows, columns = (length + 2 * self._side for length in shape)
        self._strips = np.zeros((columns // _STRIP_STEP_PX + 1, rows + 1, pitch), np.float32)

    def add(self, corners: IntArray, fractions: FloatArray) -> None:
        """Add the weight of patches; what falls outside of the canvas is dropped.

        Args:
            corners: first (row, column) of every window in the canvas (pattern, 2), from `window_corners`.
            fractions: (pattern, 2), axis 1 = (row, column), in [0, 1).
        """
        within = ((corners > -self._side) & (corners < self._shape)).all(axis=1)
        rows, columns = (corners[within] + self._side).T
        strips, first_columns = np.divmod(columns, _STRIP_STEP_PX)
        starts = (strips * self._strips[0].size + rows * self._strips.shape[-1] + first_columns).tolist()
        shares = _corner_shares(fractions[within]).astype(np.float32)
        canvas, length = self._strips.reshape(-1), self._at_corners.shape[-1]
        moved = np.empty((_ADDED_TOGETHER, length), np.float32)
        for first in range(0, len(starts), _ADDED_TOGETHER):
            some = slice(first, first + _ADDED_TOGETHER)
            np.matmul(shares[some], self._at_corners, out=moved[: len(shares[some])])
            for start, weight in zip(starts[some], moved, strict=False):
                part = canvas[start : start + length]
                np.add(part, weight, part)

    def total(self) -> Float32Array:
        """Return the sum on the canvas (row, column); 0 where no patch reaches."""
        n, rows, pitch = self._strips.shape
        canvas = np.zeros((rows, n * _STRIP_STEP_PX + self._side), np.float32)
        for number, strip in enumerate(self._strips):
            first = number * _STRIP_STEP_PX
            canvas[:, first : first + pitch] += strip
        inside = tuple(slice(self._side, self._side + length) for length in self._shape)
        return canvas[inside].copy()


def _corner_shares(fractions: FloatArray) -> FloatArray:
    """Return how much of a pixel goes to each of the four it lies between.

    Args:
        fractions: (pattern, 2), axis 1 = (row, column), in [0, 1).

    Returns:
        (pattern, 4): the pixel further on in row and column, in row only, in column only, and the nearer one.
    """
    row, column = fractions.T
    return np.stack([row * column, row * (1 - column), (1 - row) * column, (1 - row) * (1 - column)], axis=1)


def _at_the_four_corners(weight: Float32Array, pitch: int) -> Float32Array:
    """Return a weight moved to every corner of its window, in the order of `_corner_shares`, as rows of a strip.

    Args:
        weight: (N, N).
        pitch: width of the strip.

    Returns:
        (4, N * pitch + N + 1): from the first to the last pixel of the window.
    """
    gap = pitch - len(weight) - 1
    moved = [
        np.pad(weight, ((row, 1 - row), (column, 1 - column + gap))).ravel() for row in (1, 0) for column in (1, 0)
    ]
    return np.stack(moved)[:, : moved[0].size - gap].astype(np.float32)
