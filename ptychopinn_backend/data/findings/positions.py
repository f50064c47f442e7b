"""Scan positions that cannot be meant as object pixels, and single ones that lie far from the rest."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array, IntArray
from ptychopinn_backend.config.scan_traits import neighbour_step
from ptychopinn_backend.data.findings.finding import Finding, numbered
from ptychopinn_backend.data.findings.points import distance_from_middle, points_by_object, some_of

_FAR_STEPS: Final = 20.0
"""A position this many usual steps away from any other lies apart ..."""
_FAR_SIDES: Final = 2.0
"""... if that is also more than this many sides of a pattern."""
_FAR_SHARE: Final = 0.02
_FEWEST_POINTS: Final = 9
_APART_SIDES: Final = 2.0
_SMALLEST_SPAN: Final = 1 / 16
"""Part of a pattern's side that a scan of many points covers at least."""


def far_points(positions_xy: Float64Array, scan_index: IntArray, N: int) -> tuple[IntArray, Finding | None]:
    """Find scan points that lie far from all others of their object, which would make the object's array huge.

    Args:
        positions_xy: (pattern, 2), object pixels.
        scan_index: object of every point (pattern,).
        N: pattern side in pixels.

    Returns:
        The points that are left out, in rising order, and the finding; none where the scan falls into large parts.
    """
    far = [
        members[_apart(positions_xy[members], N)]
        for members in points_by_object(scan_index)
        if len(members) >= _FEWEST_POINTS
    ]
    points = np.sort(np.concatenate(far)) if far else np.zeros(0, np.int64)
    if not len(points):
        return points, None
    x, y = positions_xy[points[0]]
    rest = np.delete(positions_xy, points, axis=0)
    (left, top), (right, bottom) = rest.min(axis=0), rest.max(axis=0)
    one = len(points) == 1
    evidence = (
        f"{numbered('position', points).capitalize()} lie{'s' * one} far from the rest"
        f"{'' if one else ', the first'} at x = {x:g}, y = {y:g}, the others between x = {left:.5g} and {right:.5g}, "
        f"y = {top:.5g} and {bottom:.5g} pixels; {'its pattern is' if one else 'their patterns are'} left out."
    )
    remedy = "Correct the position in the file to use its pattern."
    return points, Finding("far-positions", "positions", "warning", evidence, remedy, points=points)


def position_scale(positions_xy: Float64Array, scan_index: IntArray, N: int) -> Finding | None:
    """Find positions that are no object pixels, for example metres: all at one place, or nowhere near one another.

    Args:
        positions_xy: (pattern, 2).
        scan_index: object of every point (pattern,).
        N: pattern side in pixels.

    Returns:
        The finding, or None.
    """
    members = max(points_by_object(scan_index), key=len)
    if len(members) < _FEWEST_POINTS:
        return None
    positions = positions_xy[members]
    width, height = np.ptp(positions, axis=0)
    remedy = "Positions are in object pixels: divide lengths by the width of such a pixel."
    if max(width, height) < _SMALLEST_SPAN * N:
        evidence = (
            f"The {len(members)} positions cover {width:.3g} x {height:.3g} pixels, hardly a part of one pattern of "
            f"{N} x {N}: {_likely_unit(max(width, height))}."
        )
        return Finding("position-scale", "positions", "warning", evidence, remedy)
    if _are_dense(len(members), width, height, _APART_SIDES * N):
        return None
    step = neighbour_step(positions, np.zeros(len(positions), np.int64))
    if step <= _APART_SIDES * N:
        return None
    evidence = f"Neighbours lie {step:.4g} pixels apart, and a pattern covers {N} x {N}, so that nothing overlaps."
    return Finding("position-scale", "positions", "warning", evidence, remedy)


def _are_dense(count: int, width: float, height: float, step: float) -> bool:
    """Return whether so many points cannot have a median distance of `step` within a rectangle: discs would overlap."""
    return bool((width + step) * (height + step) < count / 2 * np.pi * (step / 2) ** 2)


def _likely_unit(span: float) -> str:
    if span == 0:
        return "all are the same"
    return "they may be in metres" if span < 1e-2 else "they may be in micrometres or millimetres"


def _apart(positions_xy: Float64Array, N: int) -> IntArray:
    """Return which positions lie apart, in groups too small to be a part of the scan on purpose."""
    none = np.zeros(0, np.int64)
    distance = distance_from_middle(positions_xy)
    if distance.max() <= 2 * np.quantile(some_of(distance), 0.9) + _FAR_SIDES * N:
        return none
    # Only scans with a position far away need these.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    step = neighbour_step(positions_xy, np.zeros(len(positions_xy), np.int64))
    reach = max(_FAR_STEPS * step, _FAR_SIDES * N)
    # Points in one cell of that width, or in neighbouring ones, belong together; this needs no list of all pairs.
    cells, cell_of = np.unique(np.floor(positions_xy / reach), axis=0, return_inverse=True)
    pairs = KDTree(cells).query_pairs(1.5, output_type="ndarray")
    joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(cells), len(cells)))
    part_of = connected_components(joined, directed=False)[1][cell_of.ravel()]
    few = max(1, int(_FAR_SHARE * len(positions_xy)))
    apart = np.flatnonzero(np.bincount(part_of)[part_of] <= few)
    return apart if len(apart) <= few else none
