"""A scan in memory and the photons of its patterns, so that a run sums its patterns only once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ptychopinn_backend.arrays import ComplexArray, Float64Array, IntArray
from ptychopinn_backend.data.held_out import MOST_COPIED_BYTES, held_out_of_objects
from ptychopinn_backend.data.raw_data import RawData, subsampled_points
from ptychopinn_backend.data.scaling import count_photons


@dataclass(frozen=True, eq=False)
class CountedScan:
    """A scan whose patterns have been summed; they must not be changed as long as it lives."""

    raw: RawData
    """The scan."""
    photons: Float64Array
    """Sum of squared amplitudes of every pattern (pattern,)."""

    @classmethod
    def of(cls, raw: RawData) -> CountedScan:
        """Sum the patterns of a scan."""
        return cls(raw, count_photons(raw.diff3d))

    @property
    def n_patterns(self) -> int:
        """Number of scan points."""
        return self.raw.n_patterns

    @property
    def N(self) -> int:
        """Pattern side in pixels."""
        return self.raw.N

    @property
    def probeGuess(self) -> ComplexArray | None:
        """Probe (mode, N, N), or None."""
        return self.raw.probeGuess

    @property
    def positions_xy(self) -> Float64Array:
        """Scan positions (pattern, 2), axis 1 = (x, y), object pixels."""
        return self.raw.positions_xy

    @property
    def object_of_position(self) -> IntArray:
        """Object every position belongs to (pattern,)."""
        return self.raw.scan_index

    @property
    def mean_photons(self) -> float:
        """Mean counts of a pattern."""
        return float(self.photons.mean())

    @cached_property
    def counts_in_light(self) -> float | None:
        """Mean counts of a pixel as a photon meets it; None where the values are no counts."""
        return self.raw.counts_in_light

    def parted(self, fraction: float) -> tuple[CountedScan, IntArray]:
        """Return the scan without its held-out patterns, and their rows; see `held_out.held_out_rows`.

        Args:
            fraction: part of the patterns that is held out.

        Returns:
            A scan of the others, this one where none is held out; and (held out,) rows.
        """
        if self.raw.diff3d.nbytes > MOST_COPIED_BYTES:
            fraction = 0.0
        rows = held_out_of_objects(self.positions_xy, self.raw.scan_index, fraction)
        if not len(rows):
            return self, rows
        kept = np.setdiff1d(np.arange(self.n_patterns), rows)
        return CountedScan(self.raw.select(kept), self.photons[kept]), rows

    def subsample(self, n: int, seed: int | None) -> CountedScan:
        """Return `n` scan points drawn as `RawData.subsample` draws them; this scan when it has no more.

        Args:
            n: points to keep.
            seed: makes the draw reproducible.

        Returns:
            A scan of those points.
        """
        if n >= self.n_patterns:
            return self
        points = subsampled_points(self.n_patterns, n, seed)
        return CountedScan(self.raw.select(points), self.photons[points])


def mean_photons(scans: list[CountedScan]) -> float:
    """Return the mean photon count of a pattern over several scans."""
    return float(np.average([scan.mean_photons for scan in scans], weights=[scan.n_patterns for scan in scans]))
