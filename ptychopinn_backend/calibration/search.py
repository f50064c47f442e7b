"""Search for positions that gradients cannot reach, by trials of single patterns at places around their own."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array, IntArray
from ptychopinn_backend.calibration.estimate import Measured
from ptychopinn_backend.calibration.refinement import Refinement

_LEAST_SPACING_PX: Final = 1.25
_RINGS: Final = 5
_OUTLIER_DEVIATIONS: Final = 3.0


def search_positions(refinement: Refinement, rows: IntArray, reach_px: float) -> int:
    """Move patterns to the best of several places around the affine image of their given positions.

    Args:
        refinement: refinement with the estimate; a position changes if another place is better.
        rows: rows of the patterns.
        reach_px: largest distance of these places from the affine image, pixels.

    Returns:
        Number of patterns that moved.
    """
    if not len(rows):
        return 0
    around = refinement.positions.map.apply(refinement.measured.given_xy)
    kept = refinement.estimate.positions_xy
    best = deviances(refinement, rows)
    chosen = kept[rows].copy()
    for offset in _places(reach_px):
        refinement.estimate.positions_xy = kept.copy()
        refinement.estimate.positions_xy[rows] = around[rows] + offset
        tried = deviances(refinement, rows)
        better = tried < best
        chosen[better], best = refinement.estimate.positions_xy[rows][better], np.minimum(best, tried)
    refinement.estimate.positions_xy = kept.copy()
    refinement.estimate.positions_xy[rows] = chosen
    return int(np.count_nonzero((chosen != kept[rows]).any(axis=1)))


def ill_fitting(refinement: Refinement, measured: Measured) -> IntArray:
    """Return the rows of fitted patterns that are explained much worse than the others, relative to their counts."""
    rows = measured.fitted
    # The loop takes chunks, since all patterns at once would need three times their memory.
    counts = [
        np.square(measured.amplitudes[some], dtype=np.float64).sum(axis=(1, 2)) for some in refinement.chunks(rows)
    ]
    relative = deviances(refinement, rows) / np.concatenate(counts)
    middle = np.median(relative)
    deviation = 1.4826 * np.median(np.abs(relative - middle))
    return np.asarray(rows[relative > middle + _OUTLIER_DEVIATIONS * deviation])


def deviances(refinement: Refinement, rows: IntArray) -> Float64Array:
    """Return the Poisson deviance of each of some patterns (pattern,)."""
    return np.concatenate([refinement.pattern_deviances(some) for some in refinement.chunks(rows)])


def _places(reach_px: float) -> Float64Array:
    spacing = max(_LEAST_SPACING_PX, reach_px / _RINGS)
    steps = int(reach_px / spacing)
    axis = np.arange(-steps, steps + 1) * spacing
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return np.asarray(places[np.hypot(*places.T) <= reach_px + 1e-9])
