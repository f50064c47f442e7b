"""The sum of the patches' weights on a canvas: every patch adds the same weight, moved to its place."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.arrays import Float32Array, Float64Array, IntArray
from ptychopinn_backend.physics.object_patches import lerp

_ADDED_TOGETHER = 16
"""Weights moved before they are added, few enough to stay in the processor's cache."""
_WAITING = 4096
"""Places kept until they are worth a loop: networks give patches in small batches."""


class WeightSum:
    """Adds weights up in overlapping strips of columns.

    A strip is half a patch wider than a window, and one begins every half patch, so that any window lies within one and
    is one run of memory: starting a loop for each of its short rows took longer than adding them. A matrix product
    would move the weights faster, but its threads keep processors from the network's for some milliseconds.
    """

    def __init__(self, shape: tuple[int, int], weight: Float32Array) -> None:
        """Start with zero everywhere.

        Args:
            shape: (row, column) of the canvas.
            weight: weight of every patch pixel (N, N).
        """
        N = len(weight)
        self._shape, self._side, self._step = shape, N + 1, max(1, N // 2)
        pitch = self._step + self._side
        # A margin as wide as a window takes those that leave the canvas.
        rows, columns = (length + 2 * self._side for length in shape)
        self._strips = np.zeros((columns // self._step + 1, rows + 1, pitch), np.float32)
        # The weight as one row of a strip, and the way from it to the same moved on by a row; both begin a pixel early.
        length = N * pitch + self._side
        row = np.zeros(pitch + 1 + length, np.float32)
        row[pitch + 1 :][: N * pitch].reshape(N, pitch)[:, :N] = weight
        self._near, self._far_from_near = row[pitch:], row[:-pitch] - row[pitch:]
        self._between_rows = np.empty((_ADDED_TOGETHER, length + 1), np.float32)
        self._moved = np.empty((_ADDED_TOGETHER, length), np.float32)
        self._waiting: list[tuple[IntArray, Float64Array]] = []
        self._n_waiting = 0

    def add(self, corners: IntArray, fractions: Float64Array) -> None:
        """Add the weight of patches; what falls outside of the canvas is dropped.

        Args:
            corners: first (row, column) of every window in the canvas (pattern, 2), from `window_corners`.
            fractions: (pattern, 2), axis 1 = (row, column), in [0, 1).
        """
        self._waiting.append((corners, fractions))
        self._n_waiting += len(corners)
        if self._n_waiting >= _WAITING:
            self._add_waiting()

    def total(self) -> Float32Array:
        """Return the sum on the canvas (row, column); 0 where no patch reaches."""
        self._add_waiting()
        n, rows, pitch = self._strips.shape
        canvas = np.zeros((rows, n * self._step + self._side), np.float32)
        for number, strip in enumerate(self._strips):
            first = number * self._step
            canvas[:, first : first + pitch] += strip
        inside = tuple(slice(self._side, self._side + length) for length in self._shape)
        return canvas[inside].copy()

    def _add_waiting(self) -> None:
        if not self._waiting:
            return
        corners, fractions = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting.clear()
        self._n_waiting = 0
        within = ((corners > -self._side) & (corners < self._shape)).all(axis=1)
        rows, columns = (corners[within] + self._side).T
        strips, first_columns = np.divmod(columns, self._step)
        starts = (strips * self._strips[0].size + rows * self._strips.shape[-1] + first_columns).tolist()
        between = fractions[within].astype(np.float32)
        for first in range(0, len(starts), _ADDED_TOGETHER):
            some = slice(first, first + _ADDED_TOGETHER)
            self._add_some(starts[some], between[some])

    def _add_some(self, starts: list[int], fractions: Float32Array) -> None:
        row, column = fractions.T[..., np.newaxis]
        between_rows, moved = self._between_rows[: len(starts)], self._moved[: len(starts)]
        np.multiply(self._far_from_near, row, out=between_rows)
        np.add(between_rows, self._near, out=between_rows)
        lerp(between_rows[:, 1:], between_rows[:, :-1], column, moved)
        canvas = self._strips.reshape(-1)
        for start, weight in zip(starts, moved, strict=True):
            part = canvas[start : start + len(weight)]
            np.add(part, weight, part)
