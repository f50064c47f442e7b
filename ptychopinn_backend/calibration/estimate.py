"""The present estimate of a calibration, and the measured patterns that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float32Array, Float64Array, IntArray
from ptychopinn_backend.data.held_out import held_out_rows
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.stitching.assembly import ObjectFrame


@dataclass(frozen=True, eq=False)
class Measured:
    """Patterns of one scan, divided into fitted and held-out ones."""

    amplitudes: Float32Array
    """Square roots of the counts (pattern, N, N)."""
    valid_pixels: BoolArray | None
    """Mask of the detector pixels to use (N, N); None uses all."""
    given_xy: Float64Array
    """Given positions of the scan (pattern, 2), axis 1 = (x, y), pixels."""
    held_out: IntArray
    """Rows of the held-out patterns, which judge the fit."""
    fitted: IntArray
    """Rows of all other patterns."""

    @classmethod
    def of(cls, scan: RawData, held_out: IntArray | None = None) -> Measured:
        """Take the patterns of a scan.

        Args:
            scan: a scan of one object.
            held_out: rows of the patterns to hold out; None takes `held_out_rows`.

        Returns:
            The patterns.
        """
        rows = held_out_rows(scan.positions_xy) if held_out is None else held_out
        return cls(
            amplitudes=scan.diff3d,
            valid_pixels=None if scan.bad_pixels is None else ~scan.bad_pixels,
            given_xy=scan.positions_xy,
            held_out=rows,
            fitted=np.setdiff1d(np.arange(scan.n_patterns), rows),
        )

    @property
    def N(self) -> int:
        """Pattern side in pixels."""
        return int(self.amplitudes.shape[-1])

    @property
    def n_valid(self) -> int:
        """Number of valid pixels of a pattern."""
        return self.N**2 if self.valid_pixels is None else int(self.valid_pixels.sum())

    def mean_pattern(self) -> Float64Array:
        """Return the mean counts of the fitted patterns (N, N), 0 at bad pixels; zero frequency at the array centre."""
        total = np.zeros((self.N, self.N))
        for row in self.fitted:
            total += np.square(self.amplitudes[row], dtype=np.float64)
        total /= len(self.fitted)
        return total if self.valid_pixels is None else total * self.valid_pixels


@dataclass(eq=False)
class Estimate:
    """Object, probe and positions. Later steps replace arrays and do not change them in place, so a copy is cheap."""

    object: Complex64Array
    """Object (row, column)."""
    frame: ObjectFrame
    """Frame of the object."""
    probe: Complex64Array
    """Probe (mode, N, N)."""
    positions_xy: Float64Array
    """Positions (pattern, 2), axis 1 = (x, y), pixels."""
    strengths: Float32Array | None = None
    """Light of every pattern relative to that of the probe (pattern,); None stands for 1."""

    def copy(self) -> Estimate:
        """Return a copy of the estimate that later steps do not change."""
        return replace(self, positions_xy=self.positions_xy.copy())

    def strengths_of(self, rows: IntArray) -> Float32Array | None:
        """Return the strengths of some patterns, or None."""
        return None if self.strengths is None else self.strengths[rows]


def vacuum(measured: Measured, probe: Complex64Array, margin_px: float) -> Estimate:
    """Return the first estimate: an object of ones around the given positions.

    Args:
        measured: the patterns.
        probe: probe (mode, N, N).
        margin_px: room around the positions for their refinement, pixels.

    Returns:
        The estimate.
    """
    reach = np.array([measured.given_xy.min(axis=0) - margin_px, measured.given_xy.max(axis=0) + margin_px])
    frame = ObjectFrame.covering(reach, measured.N)
    return Estimate(np.ones(frame.shape, np.complex64), frame, probe, measured.given_xy.copy())


def piece_around(measured: Measured, centre_xy: Float64Array, count: int) -> Measured:
    """Return the fitted patterns nearest to a place; every eighth of them is held out.

    Args:
        measured: the patterns.
        centre_xy: the place (2,), axis 0 = (x, y), pixels.
        count: largest number of patterns in the piece.

    Returns:
        The piece. It has no held-out patterns of the whole scan.
    """
    apart = np.sum((measured.given_xy[measured.fitted] - centre_xy) ** 2, axis=1)
    rows = np.sort(measured.fitted[np.argsort(apart, kind="stable")[:count]])
    judges = np.arange(len(rows)) % 8 == 3
    return replace(
        measured,
        amplitudes=measured.amplitudes[rows],
        given_xy=measured.given_xy[rows],
        held_out=np.flatnonzero(judges),
        fitted=np.flatnonzero(~judges),
    )
