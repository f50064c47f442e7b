"""An object that grows with the scan. Its frame is enlarged when a patch leaves it."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array, Float64Array, IntArray
from ptychopinn_backend.physics.object_patches import window_corners
from ptychopinn_backend.stitching.assembly import ObjectAssembler, ObjectFrame, StitchedObject

MOST_PIXELS: Final = 1 << 26
"""Largest number of pixels of the object, which is 0.5 GiB of complex numbers."""
_MARGIN: Final = 0.25
"""Part of the side that is added when the object is enlarged, so that this happens rarely."""


class GrowingObject:
    """Adds patches at any place. The result is the same as if all positions were known from the start."""

    def __init__(self, N: int, weight: Float32Array) -> None:
        """Start without a patch.

        Args:
            N: patch side in pixels.
            weight: weight of every patch pixel (N, N).
        """
        self._N, self._weight = N, weight
        self._assembler: ObjectAssembler | None = None
        nowhere: IntArray = np.zeros(2, np.int64)
        self._first = self._last = self._room_first = self._room_last = nowhere

    def fits(self, positions_xy: Float64Array) -> bool:
        """Return whether the object keeps to `MOST_PIXELS` with patches at these positions (pattern, 2), in pixels."""
        if not np.isfinite(positions_xy).all() or np.abs(positions_xy).max(initial=0.0) > MOST_PIXELS:
            return False
        first, last = self._bounds_with(self._corners(positions_xy))
        rows, columns = (last - first + self._N + 1).tolist()
        return int(rows) * int(columns) <= MOST_PIXELS

    def add(self, patches: Complex64Array, positions_xy: Float64Array) -> None:
        """Add patches.

        Args:
            patches: complex patches of the object (pattern, N, N).
            positions_xy: centres of the patches (pattern, 2), axis 1 = (x, y), pixels.
        """
        self._first, self._last = self._bounds_with(self._corners(positions_xy))
        if self._assembler is None:
            self._room_first, self._room_last = self._first, self._last
            self._assembler = ObjectAssembler(self._frame(self._first, self._last), self._N, self._weight)
        elif (self._first < self._room_first).any() or (self._last > self._room_last).any():
            margin = np.ceil(_MARGIN * (self._last - self._first + self._N)).astype(np.int64)
            before, after = self._first < self._room_first, self._last > self._room_last
            self._room_first = np.where(before, self._first - margin, self._room_first)
            self._room_last = np.where(after, self._last + margin, self._room_last)
            self._assembler.move_to(self._frame(self._room_first, self._room_last))
        self._assembler.add(patches, positions_xy)

    def so_far(self) -> StitchedObject | None:
        """Return the object so far, or None before the first patch. The final object does not depend on this call."""
        return None if self._assembler is None else self._assembler.so_far()

    def result(self) -> StitchedObject | None:
        """Return the object in the smallest frame that holds every patch, or None if there is no patch."""
        if self._assembler is None:
            return None
        self._room_first, self._room_last = self._first, self._last
        self._assembler.move_to(self._frame(self._first, self._last))
        return self._assembler.result()

    def _corners(self, positions_xy: Float64Array) -> IntArray:
        return window_corners((0.0, 0.0), positions_xy, self._N)[0]

    def _bounds_with(self, corners: IntArray) -> tuple[IntArray, IntArray]:
        first, last = corners.min(axis=0), corners.max(axis=0)
        if self._assembler is None:
            return first, last
        return np.minimum(self._first, first), np.maximum(self._last, last)

    def _frame(self, first: IntArray, last: IntArray) -> ObjectFrame:
        rows, columns = (last - first + self._N + 1).tolist()
        return ObjectFrame((int(rows), int(columns)), (float(-first[0]), float(-first[1])))
