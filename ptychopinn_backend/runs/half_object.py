"""A second object from every second pattern, made from the same patches as the whole object.

The difference between the two objects is error. The network predicts only once. The patches of every second pattern are
also stitched by themselves, and this half object is polished with these patterns alone. So the two objects differ in
noise, in the drift of phases from patch to patch, and in what the polish has not reached, as they would with a
reconstruction from other patterns.
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
"""A scan with fewer patterns gets no half object."""


@dataclass(frozen=True, eq=False)
class HalfObject:
    """An object from every second pattern."""

    object: Complex64Array
    """Object (row, column), at the scale of the counts."""
    light: Float32Array
    """Photons of these patterns that fell on every pixel (row, column)."""


def every_second(positions_xy: FloatArray) -> IntArray:
    """Return about half of the patterns, so that the nearest neighbours of each are in the other half if possible.

    Args:
        positions_xy: positions of the patterns (pattern, 2), pixels.

    Returns:
        Rows of the chosen patterns in ascending order.
    """
    # The tree halves the points along their longer side until each is alone. So neighbours in its order lie close.
    return np.sort(cKDTree(positions_xy, leafsize=1).indices[::2]).astype(np.intp)


class HalfObjectMaker:
    """Collects the patches of every second pattern and makes the half object."""

    def __init__(self, frame: ObjectFrame, N: int, weight: Float32Array, scan: RawData) -> None:
        """Start an empty object.

        Args:
            frame: array of the object.
            N: patch side in pixels.
            weight: weight of every patch pixel (N, N).
            scan: the patterns of the whole object.
        """
        self._scan, self._frame = scan, frame
        self._rows = every_second(scan.positions_xy)
        self._in_half = np.zeros(scan.n_patterns, bool)
        self._in_half[self._rows] = True
        # Fewer patches wait here than for the whole object, since the half object should cost little.
        self._assembler = ObjectAssembler(frame, N, weight, hold_bytes=1 << 22)

    def add(self, patches: Complex64Array, positions_xy: FloatArray, rows: IntArray) -> None:
        """Add the patches that belong to the half.

        Args:
            patches: patches (pattern, N, N).
            positions_xy: centres of the patches (pattern, 2), pixels.
            rows: rows of their patterns in the scan (pattern,).
        """
        chosen = self._in_half[rows]
        if chosen.any():
            self._assembler.add(patches[chosen], positions_xy[chosen])

    def result(
        self, probe: Complex64Array, steps: int, valid: BoolArray | None, likelihood: Likelihood | None
    ) -> HalfObject:
        """Return the half object, polished in the same way as the whole one.

        Args:
            probe: probe (mode, N, N).
            steps: number of polish steps.
            valid: detector pixels to use (N, N); None uses all.
            likelihood: law of noise for the polish; None takes that of squared amplitudes.

        Returns:
            The object with its light. The object is 0 everywhere if no patch belongs to the half.
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
