"""Patterns that are kept out of all that is fitted, so that they can judge it, as R-free does in crystallography.

Brunger, Nature 355, 472 (1992), holds reflections out; here whole patterns are, spread evenly over the scan, because
neighbouring patterns see the same part of the object.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import FloatArray, IntArray, require_shape

HELD_OUT_FRACTION: Final = 0.04
"""Part of the patterns that is held out."""
FEWEST_PATTERNS: Final = 16
"""Of fewer patterns none is held out: each is needed for the image."""
MOST_HELD_OUT: Final = 256
"""More would judge no better."""
_FEWEST_HELD_OUT: Final = 2
MOST_COPIED_BYTES: Final = 1 << 30
"""Patterns of a scan above this are not copied to leave a few out: such a scan holds none out."""


def held_out_of_objects(positions_xy: FloatArray, objects: IntArray, fraction: float) -> IntArray:
    """Return the held-out patterns of a scan that shows one object or several.

    Args:
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        objects: number of the object that a pattern shows (pattern,).
        fraction: part of the patterns of each object; 0 holds none out.

    Returns:
        (held out,) rows in ascending order.
    """
    found = [np.zeros(0, np.intp)]
    for number in np.unique(objects):
        rows = np.flatnonzero(objects == number)
        found.append(rows[held_out_rows(positions_xy[rows], fraction)])
    return np.sort(np.concatenate(found))


def held_out_rows(positions_xy: FloatArray, fraction: float = HELD_OUT_FRACTION) -> IntArray:
    """Return the patterns that are held out: a function of the positions alone, so that every step agrees on them.

    The points are halved along their longer side again and again until there are as many cells as patterns to hold
    out; of each cell the point nearest its centre is taken, which keeps away from the rim of the scan.

    Args:
        positions_xy: scan positions of one object (pattern, 2), axis 1 = (x, y), pixels.
        fraction: part of the patterns; 0 holds none out.

    Returns:
        (held out,) rows in ascending order; empty below `FEWEST_PATTERNS` patterns.

    Raises:
        DataError: the positions have another shape.
    """
    positions = np.asarray(positions_xy, np.float64)
    require_shape("positions_xy", positions, (len(positions), 2), "(pattern, 2)")
    if fraction == 0 or len(positions) < FEWEST_PATTERNS:
        return np.zeros(0, np.intp)
    wanted = min(MOST_HELD_OUT, max(_FEWEST_HELD_OUT, round(fraction * len(positions))))
    chosen: list[int] = []
    cells = [(np.arange(len(positions)), wanted)]
    while cells:
        rows, count = cells.pop()
        if count == 1:
            apart = positions[rows] - positions[rows].mean(axis=0)
            chosen.append(int(rows[np.argmin(np.sum(apart**2, axis=1))]))
            continue
        longer = int(np.argmax(np.ptp(positions[rows], axis=0)))
        ordered = rows[np.argsort(positions[rows, longer], kind="stable")]
        first = count // 2
        cut = round(len(ordered) * first / count)
        cells += [(ordered[:cut], first), (ordered[cut:], count - first)]
    return np.sort(np.asarray(chosen, np.intp))
