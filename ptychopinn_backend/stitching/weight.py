"""The sum of the patches' weights on a canvas. Every patch adds the same weight at its own place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ptychopinn_backend.arrays import Float32Array, Float64Array, IntArray

_NOISE = 1e-13
"""Part of the largest sum. Smaller values are errors of the transforms and count as zero."""
_BLOCK_SIDES = 3
"""Side of the blocks that are transformed together, in patch sides."""


class WeightSum:
    """Keeps the places of patches, four numbers for each, and sets the weight there by a convolution at the end.

    A weight between pixels becomes four weights at whole pixels. The convolution goes block by block and leaves out
    empty blocks, so its time depends on the area that the patches cover. `scipy.signal.oaconvolve` transforms all
    blocks at once. On large objects it takes three to six times as long, and three to five times as much memory.
    """

    def __init__(self, shape: tuple[int, int], weight: Float32Array) -> None:
        """Start with zero everywhere.

        Args:
            shape: lengths of the canvas (row, column).
            weight: weight of every patch pixel (N, N).
        """
        self._shape, self._weight, self._side = shape, weight.astype(np.float64), len(weight) + 1
        # A window may begin up to its side before the canvas, and the last ones reach one pixel beyond its end.
        self._places = np.zeros((shape[0] + self._side + 1, shape[1] + self._side + 1))

    def add(self, corners: IntArray, fractions: Float64Array) -> None:
        """Add the weight of patches; parts outside the canvas are dropped.

        Args:
            corners: first (row, column) of every window in the canvas (pattern, 2), from `window_corners`.
            fractions: sub-pixel part of the corners (pattern, 2), axis 1 = (row, column), in [0, 1).
        """
        within = ((corners > -self._side) & (corners < self._shape)).all(axis=1)
        row, column = (corners[within] + self._side).T
        of_row, of_column = fractions[within].T
        for down, share_of_row in enumerate((1 - of_row, of_row)):
            for right, share_of_column in enumerate((1 - of_column, of_column)):
                np.add.at(self._places, (row + down, column + right), share_of_row * share_of_column)

    def move(self, shape: tuple[int, int], shift: tuple[int, int]) -> None:
        """Continue on another canvas; patches that do not reach it are dropped.

        Args:
            shape: lengths of the other canvas (row, column).
            shift: place of the first pixel of this canvas in the other one (row, column).
        """
        moved = np.zeros((shape[0] + self._side + 1, shape[1] + self._side + 1))
        copy_shifted(self._places, moved, shift)
        self._shape, self._places = shape, moved

    def total(self) -> Float32Array:
        """Return the sum on the canvas (row, column); 0 where no patch reaches."""
        from scipy import fft

        N = len(self._weight)
        rows, columns = self._places.shape
        side = min(_BLOCK_SIDES * N + 1, max(rows, columns))
        padded = (fft.next_fast_len(side + N - 1, real=True),) * 2
        response = fft.rfft2(self._weight, padded)
        canvas = np.zeros((rows + N - 1, columns + N - 1))
        for top in range(0, rows, side):
            for left in range(0, columns, side):
                block = self._places[top : top + side, left : left + side]
                if block.any():
                    laid = fft.irfft2(fft.rfft2(block, padded) * response, padded)
                    height, width = (length + N - 1 for length in block.shape)
                    canvas[top : top + height, left : left + width] += laid[:height, :width]
        inside = canvas[self._side : self._side + self._shape[0], self._side : self._side + self._shape[1]]
        return np.where(inside > _NOISE * inside.max(initial=0.0), inside, 0.0).astype(np.float32)


def copy_shifted(source: npt.NDArray[Any], target: npt.NDArray[Any], shift: tuple[int, int]) -> None:
    """Copy an array into another one at a shift; parts outside it are left out.

    Args:
        source: array to copy (row, column).
        target: array to change in place (row, column).
        shift: place of the source's first element in the target (row, column).
    """
    given, taken = [], []
    for length, room, first in zip(source.shape, target.shape, shift, strict=True):
        begin, end = max(0, first), max(0, min(room, first + length))
        given.append(slice(begin - first, max(begin, end) - first))
        taken.append(slice(begin, max(begin, end)))
    target[tuple(taken)] = source[tuple(given)]
