"""A second object from every second pattern, made beside the whole one from the same patches.

What both differ in is error. The network predicts once. The patches of every second pattern are put together by
themselves too, and that object is polished with these patterns alone, so that noise, the drift of phases from patch to
patch, and what the polish has not reached differ as in a reconstruction from other patterns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float32Array, FloatArray, IntArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.physics.likelihood import Likelihood
from ptychopinn_backend.stitching.assembly import ObjectAssembler, ObjectFrame, counts_scale, light_on
from ptychopinn_backend.stitching.polish import polish

_SCALED_BY = 512
FEWEST_PATTERNS = 8
"""Of fewer patterns no half is taken."""


@dataclass(frozen=True, eq=False)
class HalfObject:
    """An object from every second pattern."""

    object: Complex64Array
    """(row, column), at the scale of the counts."""
    light: Float32Array
    """Photons that fell on every pixel in these patterns (row, column)."""


def every_second(positions_xy: FloatArray) -> IntArray:
    """Return about half of the patterns, so that each has its nearest neighbours in the other half where that can be.

    Args:
        positions_xy: (pattern, 2), pixels.

    Returns:
        Rows in ascending order.
    """
    # The tree halves the points along their longer side until they are single: neighbours in its order are so in space.
    return np.sort(cKDTree(positions_xy, leafsize=1).indices[::2]).astype(np.intp)


class HalfObjectMaker:
    """Takes the patches as they come, keeps every second pattern's."""

    def __init__(self, frame: ObjectFrame, N: int, weight: Float32Array, scan: RawData) -> None:
        """Start an empty object.

        Args:
            frame: where it lies.
            N: patch side in pixels.
            weight: of every patch pixel (N, N).
            scan: the patterns that take part.
        """
        self._scan, self._frame = scan, frame
        self._rows = every_second(scan.positions_xy)
        self._in_half = np.zeros(scan.n_patterns, bool)
        self._in_half[self._rows] = True
        # Fewer patches wait than in the whole object: the half is for its errors, and costs no more than it must.
        self._assembler = ObjectAssembler(frame, N, weight, hold_bytes=1 << 22)

    def add(self, patches: Complex64Array, positions_xy: FloatArray, rows: IntArray) -> None:
        """Add the patches that belong to the half.

        Args:
            patches: (pattern, N, N).
            positions_xy: their centres (pattern, 2), pixels.
            rows: of their patterns in the scan (pattern,).
        """
        chosen = self._in_half[rows]
        if chosen.any():
            self._assembler.add(patches[chosen], positions_xy[chosen])

    def result(
        self, probe: Complex64Array, steps: int, valid: BoolArray | None, likelihood: Likelihood | None
    ) -> HalfObject:
        """Return the object, polished as the whole one was.

        Args:
            probe: (mode, N, N).
            steps: of the polish.
            valid: detector pixels to use (N, N); None uses all.
            likelihood: law of noise of the polish; None is that of squared amplitudes.

        Returns:
            The object, 0 everywhere where no patch belongs to the half, and its light.
        """
        scan, frame = self._scan, self._frame
        light = light_on(frame, probe, scan.positions_xy[self._rows], scan.mean_photons)
        obj = self._assembler.result().object
        if not obj.any():
            return HalfObject(obj, light)
        obj = self._scaled(obj, probe, valid)
        if steps > 0:
            rows = self._rows
            obj = polish(obj, frame, probe, scan.positions_xy, scan.diff3d, steps, valid, likelihood, patterns=rows)
            obj = self._scaled(obj, probe, valid)
        return HalfObject(obj, light)

    def _scaled(self, obj: Complex64Array, probe: Complex64Array, valid: BoolArray | None) -> Complex64Array:
        some = self._rows[np.linspace(0, len(self._rows) - 1, min(len(self._rows), _SCALED_BY)).astype(np.intp)]
        scale = counts_scale(obj, self._frame, probe, self._scan.positions_xy[some], self._scan.diff3d[some], valid)
        return np.asarray(obj * scale, np.complex64)
