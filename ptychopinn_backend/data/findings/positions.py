"""Scan positions that cannot be in object pixels, and single positions that lie far from the rest."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float64Array, FloatArray, IntArray
from ptychopinn_backend.config.scan_traits import light_width_px, neighbour_step
from ptychopinn_backend.data.findings.finding import Finding, numbered
from ptychopinn_backend.data.findings.points import distance_from_middle, extent, points_by_object, some_of

_FAR_STEPS: Final = 20.0
"""A position may lie apart if it is this many usual steps away from every other position."""
_FAR_SIDES: Final = 2.0
"""This distance must also be more than this many sides of a pattern."""
_FAR_SHARE: Final = 0.02
"""Largest part of the positions that may lie apart and be left out."""
_FAR_SHARE_OF_WASTE: Final = 0.2
"""The same part if the array of the object would be far larger with these positions."""
_WASTE: Final = 50.0
"""Far larger means more than this many times as large."""
FAR_REMEDY: Final = "Correct the positions, or leave those out."
MOST_EMPTY_PX: Final = 2**27
"""Largest number of pixels of an array of which patches cover next to nothing: a gibibyte of complex numbers."""
_LEAST_COVERED: Final = 0.01
_FEWEST_POINTS: Final = 9
_FEWEST_NEAR: Final = 4
_APART_WIDTHS: Final = 2.0
"""Neighbours this many widths of the probe apart share no light. The gaps of a sparse scan are smaller."""
_SMALLEST_SPAN: Final = 1 / 16
"""Smallest part of a pattern's side that a scan of many points covers."""
_SMALLEST_STEP: Final = 0.01
"""Smallest step, as a part of the probe's width. Hardly anybody measures a hundred patterns in a row on this width."""


def far_points(positions_xy: Float64Array, scan_index: IntArray, N: int) -> tuple[IntArray, Finding | None]:
    """Find scan points that lie far from all others of their object, which would make the object's array huge.

    Args:
        positions_xy: positions of the patterns (pattern, 2), axis 1 = (x, y), object pixels.
        scan_index: number of the object of every point (pattern,).
        N: pattern side in pixels.

    Returns:
        Numbers of the points that are left out, in rising order, and the finding. There are no points and the finding
        is None if the scan falls into large parts.
    """
    far = [
        members[_apart(positions_xy[members], N)]
        for members in points_by_object(scan_index)
        if len(members) > _FEWEST_NEAR
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


def wide_scan(positions_xy: Float64Array, scan_index: IntArray, N: int) -> Finding | None:
    """Find objects whose array would be huge and nearly empty, although the far positions are too many to leave out.

    Args:
        positions_xy: positions of the patterns (pattern, 2), axis 1 = (x, y), object pixels.
        scan_index: number of the object of every point (pattern,).
        N: pattern side in pixels.

    Returns:
        The finding, or None.
    """
    for members in points_by_object(scan_index):
        positions = positions_xy if len(members) == len(positions_xy) else positions_xy[members]
        width, height = extent(positions)
        evidence = uncovered((height + N, width + N), positions, N)
        if evidence is not None:
            return Finding("far-positions", "positions", "error", evidence, FAR_REMEDY)
    return None


def position_scale(
    positions_xy: Float64Array, scan_index: IntArray, N: int, probe: Complex64Array | None = None
) -> Finding | None:
    """Find positions that are not in object pixels but for example in metres: too close together or too far apart.

    Args:
        positions_xy: positions of the patterns (pattern, 2), axis 1 = (x, y).
        scan_index: number of the object of every point (pattern,).
        N: pattern side in pixels.
        probe: modes of the probe (mode, N, N), or None.

    Returns:
        The finding, or None.
    """
    members = max(points_by_object(scan_index), key=len)
    if len(members) < _FEWEST_POINTS:
        return None
    positions = positions_xy if len(members) == len(positions_xy) else positions_xy[members]
    width, height = extent(positions)
    span = max(width, height)
    lit = float(N / 2) if probe is None else light_width_px(np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float64))
    remedy = "Positions are in object pixels: divide lengths by the width of such a pixel."
    crowded = None
    if span < _SMALLEST_SPAN * N:
        crowded = f"hardly a part of one pattern of {N} x {N}"
    elif _is_crowded(positions, _SMALLEST_STEP * lit):
        crowded = f"so that neighbours lie less than a hundredth of the light's {lit:.3g} pixels apart"
    if crowded is not None:
        evidence = (
            f"The {len(members)} positions cover {width:.3g} x {height:.3g} pixels, {crowded}: {_likely_unit(span)}."
        )
        return Finding("position-scale", "positions", "warning", evidence, remedy)
    widest = N if probe is None else min(float(N), _APART_WIDTHS * lit)
    if _are_dense(len(members), width, height, widest):
        return None
    step = neighbour_step(positions, np.zeros(len(positions), np.int64))
    if step <= widest:
        return None
    covered = (
        f"a pattern covers {N} x {N}" if step > N else f"nine tenths of the probe's light fill {lit:.3g} of {N} x {N}"
    )
    evidence = f"Neighbours lie {step:.4g} pixels apart, and {covered}, so that nothing overlaps."
    return Finding("position-scale", "positions", "warning", evidence, remedy)


def _is_crowded(positions_xy: Float64Array, step: float) -> bool:
    """Return whether places lie nearer to one another than `step` on average; each place counts once."""
    span = max(extent(positions_xy))
    if span >= step * np.sqrt(len(positions_xy)):
        return False
    return bool(span < step * np.sqrt(len(np.unique(positions_xy, axis=0))))


def _are_dense(count: int, width: float, height: float, step: float) -> bool:
    """Return whether the points are too many for a median distance of `step` in a rectangle: discs would overlap."""
    return bool((width + step) * (height + step) < count / 2 * np.pi * (step / 2) ** 2)


def _likely_unit(span: float) -> str:
    if span == 0:
        return "all are the same"
    return "they may be in metres" if span < 1e-2 else "they may be in micrometres or millimetres"


def _apart(positions_xy: Float64Array, N: int) -> IntArray:
    """Return the numbers of positions that lie apart, in groups too small to be a part of the scan on purpose."""
    none = np.zeros(0, np.int64)
    distance = distance_from_middle(positions_xy)
    if distance.max() <= 2 * np.quantile(some_of(distance), 0.75) + _FAR_SIDES * N:
        return none
    part_of = _parts(positions_xy, N)
    count = len(positions_xy)
    sizes = np.bincount(part_of)[part_of]
    if count >= _FEWEST_POINTS:
        few = max(1, int(_FAR_SHARE * count))
        apart = np.flatnonzero(sizes <= few)
        if 0 < len(apart) <= few:
            return apart
    few = int(_FAR_SHARE_OF_WASTE * count)
    apart = np.flatnonzero(sizes <= few)
    if not 0 < len(apart) <= few:
        return none
    near = np.delete(positions_xy, apart, axis=0)
    return apart if canvas_px(positions_xy, N) > _WASTE * canvas_px(near, N) else none


def canvas_px(positions_xy: Float64Array, N: int) -> float:
    """Return the number of pixels of an array that holds all patches.

    Args:
        positions_xy: positions of the patterns (pattern, 2), axis 1 = (x, y), object pixels.
        N: pattern side in pixels.

    Returns:
        The area of the smallest rectangle, pixels.
    """
    width, height = extent(positions_xy)
    return (width + N) * (height + N)


def _parts(positions_xy: Float64Array, N: int) -> IntArray:
    """Return the number of the part of the scan of every position (pattern,). Parts lie far from one another."""
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
    return np.asarray(connected_components(joined, directed=False)[1][cell_of.ravel()])


def uncovered(shape: tuple[float, float], positions_xy: FloatArray, side: int) -> str | None:
    """Return a sentence if positions far from one another make an array huge and nearly empty.

    Args:
        shape: lengths of the array (row, column), pixels.
        positions_xy: positions of the patterns (pattern, 2), axis 1 = (x, y), object pixels.
        side: side of the patch that is placed at each position, pixels.

    Returns:
        The sentence, which names the positions; None if the size of the array makes sense.
    """
    rows, columns = shape
    if not rows * columns > MOST_EMPTY_PX or not np.isfinite(positions_xy).all():
        return None
    places = np.unique(np.floor(np.asarray(positions_xy, np.float64) / side), axis=0)
    # A patch lies in four such cells at most.
    share = 4 * float(side) ** 2 * len(places) / (rows * columns)
    if share >= _LEAST_COVERED:
        return None
    # The lower of two middles: one of the positions, where these fall into two halves.
    distance = np.abs(positions_xy - np.quantile(positions_xy, 0.5, axis=0, method="lower")).max(axis=1)
    far = np.flatnonzero(distance > distance.max() / 2)
    far = far if len(far) <= len(distance) / 2 else np.array([distance.argmax()])
    x, y = positions_xy[far[0]]
    one = len(far) == 1
    return (
        f"The positions span an object of {rows:.6g} x {columns:.6g} pixels ({rows * columns * 8 / 2**30:.3g} GiB), of "
        f"which patterns cover less than {share:.1g}: {numbered('position', far)} lie{'s' * one} far from the rest"
        f"{'' if one else ', the first'} at x = {x:g}, y = {y:g}."
    )
