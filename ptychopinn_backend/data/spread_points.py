"""Part of the positions of a scan, as far from one another as they can be."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.arrays import FloatArray, IntArray
from ptychopinn_backend.config.checks import require_positive_integer


def spread_points(positions_xy: FloatArray, n: int) -> IntArray:
    """Choose points of a scan that cover it evenly: each next one is the farthest from those before.

    Gonzalez, Theoretical Computer Science 38, 293 (1985).

    Args:
        positions_xy: scan positions (pattern, 2), pixels.
        n: points to choose; all where there are no more.

    Returns:
        (n,) rows in ascending order; the first row of the scan is among them.

    Raises:
        ConfigError: `n` is not a whole number above 0.
    """
    require_positive_integer("n", n)
    positions = np.asarray(positions_xy, np.float64)
    if n >= len(positions):
        return np.arange(len(positions))
    rows = [0]
    nearest = np.linalg.norm(positions - positions[0], axis=1)
    while len(rows) < n:
        rows.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(positions - positions[rows[-1]], axis=1))
    return np.sort(np.asarray(rows, np.intp))
