"""Batches of patterns that each cover the whole scan."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float64Array, IntArray

_MOST_BATCHES: Final = 24
_FEWEST_IN_BATCH: Final = 6
_BATCHES_PER_OVERLAP: Final = 1.25


def batch_count(positions_xy: Float64Array, probe: Complex64Array) -> int:
    """Return the best number of batches for the patterns of a scan.

    With this number, about one pattern of every batch still lights a point of the object.

    Args:
        positions_xy: positions of the fitted patterns (pattern, 2), pixels.
        probe: probe (mode, N, N).

    Returns:
        Number of batches; 1 if patterns hardly overlap.
    """
    light = np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float64)
    # This is the area that an even beam of the same concentration would light.
    beam_px2 = light.sum() ** 2 / np.sum(light**2)
    side = np.sqrt(beam_px2)
    scanned_px2 = np.prod(np.ptp(positions_xy, axis=0) + side)
    overlap = len(positions_xy) * beam_px2 / scanned_px2
    if not np.isfinite(overlap):
        # The probe has become zero or infinite. Its fit is judged elsewhere.
        return 1
    most = max(1, min(_MOST_BATCHES, len(positions_xy) // _FEWEST_IN_BATCH))
    return int(np.clip(round(_BATCHES_PER_OVERLAP * overlap), 1, most))


def evenly_spread_batches(
    positions_xy: Float64Array, rows: IntArray, batches: int, rng: np.random.Generator
) -> list[IntArray]:
    """Split patterns into batches that each cover the whole scan.

    The points are halved along their longer side until a cell has at most `batches` points. Each batch takes about one
    pattern of every cell, at random.

    Args:
        positions_xy: positions of all patterns (pattern, 2).
        rows: rows of the patterns to split.
        batches: number of batches; 1 returns the rows as they are.
        rng: generator of random numbers.

    Returns:
        Rows of every batch in ascending order.
    """
    if batches == 1:
        return [rows]
    cells, small = [rows], []
    while cells:
        cell = cells.pop()
        if len(cell) <= batches:
            small.append(rng.permutation(cell))
            continue
        points = positions_xy[cell]
        ordered = cell[np.argsort(points[:, int(np.argmax(np.ptp(points, axis=0)))], kind="stable")]
        cells += [ordered[: len(cell) // 2], ordered[len(cell) // 2 :]]
    # The cells follow each other, and their patterns go to the batches in turn.
    dealt = np.concatenate(small)
    return [np.sort(dealt[start::batches]) for start in range(batches)]
