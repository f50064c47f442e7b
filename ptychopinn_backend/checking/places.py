"""Examination of the scan points: twice at one place, on a line, too far apart, after a jump, beyond the object."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, KDTree, QhullError

from ptychopinn_backend.arrays import Float64Array, IntArray
from ptychopinn_backend.checking.subject import NOTHING, Outcome, Subject, note
from ptychopinn_backend.config.presets import MINIMUM_OVERLAP
from ptychopinn_backend.config.scan_traits import ScanTraits, neighbour_step
from ptychopinn_backend.data.findings.finding import Finding, numbered

_FEWEST: Final = 9
_LINE: Final = 0.01
"""Largest extent across a line, as a part of that along it."""
_SAME_PLACE: Final = 0.05
"""Positions closer to each other than this part of the probe's width are one place."""
_JUMP: Final = 5.0
"""A step is a jump if it differs from all others by this many times their own differences or their usual length."""
_BESIDE: Final = 2.5
"""Distance within which a place lies beside another, in usual steps."""
_MOST_JUMPS: Final = 3
_UNEVEN: Final = 2.0
"""Step in the worse direction over that in the better from which on they are two: places at random come near it."""
_ENOUGH_PLACES: Final = 2000
"""Places, next to one another, that show the steps of a scan."""
_UNLIKE: Final = 0.7
"""Least difference of patterns at one place, as a part of that of any patterns, at which they are of other places."""


def duplicates(subject: Subject) -> Outcome:
    """Find positions that are equal to others, and compare their patterns.

    Args:
        subject: the scan.

    Returns:
        A note if the patterns agree; a warning if they do not; or nothing.
    """
    places = np.column_stack([subject.raw.positions_xy, subject.raw.scan_index])
    _, place_of_point, count = np.unique(places, axis=0, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(count[place_of_point.ravel()] > 1)
    if not len(repeated) or len(count) < 2:
        return NOTHING
    points = subject.rows[repeated]
    told = f"{numbered('position', points).capitalize()} share their places ({len(count)} places in all)"
    if _unlikeness(subject, repeated, place_of_point.ravel()) < _UNLIKE:
        return Outcome((note("duplicate-positions", "positions", f"{told}; their patterns agree."),))
    evidence = f"{told}, and their patterns differ as those of other places do: the positions stood still in the file."
    remedy = "Check the readout of the stage, or 'ptychopinn calibrate' the positions."
    return Outcome((Finding("duplicate-positions", "positions", "warning", evidence, remedy, points=points),))


def collinear(subject: Subject) -> Outcome:
    """Find positions that all lie on one line.

    Args:
        subject: the scan.

    Returns:
        The finding, or nothing.
    """
    positions = subject.raw.positions_xy
    if len(positions) < _FEWEST:
        return NOTHING
    long, short = np.linalg.svd(positions - positions.mean(axis=0), compute_uv=False) / np.sqrt(len(positions))
    if long < 1 or short > _LINE * long:
        return NOTHING
    evidence = (
        f"All positions lie on a line ({long * 2:.4g} px along it, {short * 2:.3g} px across): neighbours overlap in "
        "one direction only, and the object comes out as a strip."
    )
    return Outcome((Finding("collinear", "positions", "warning", evidence, "Check the unit of both axes."),))


def thin_overlap(subject: Subject) -> Outcome:
    """Find the overlap of neighbouring patches, in the direction in which they overlap less.

    Args:
        subject: the scan.

    Returns:
        A note; a warning if the overlap is too small; nothing if it is unknown.
    """
    traits = subject.traits
    if traits is None:
        step_px = neighbour_step(subject.raw.positions_xy, subject.raw.scan_index)
        evidence = f"Neighbours lie {step_px:.3g} px apart; by how much they overlap is not known without a probe."
        return Outcome((note("overlap", "positions", evidence),)) if step_px > 0 else NOTHING
    if traits.step_px == 0:
        return NOTHING
    across = _step_across_px(subject, traits)
    overlap = traits.overlap if across is None else max(0.0, 1 - across / traits.probe_width_px)
    other = "" if across is None else f", {across:.3g} px in the worse direction,"
    told = (
        f"Neighbours lie {traits.step_px:.3g} px apart{other} and nine tenths of the probe's light fill "
        f"{traits.probe_width_px:.3g} px: {overlap:.0%} overlap"
    )
    if overlap >= MINIMUM_OVERLAP:
        return Outcome((note("overlap", "positions", f"{told}."),))
    remedy = "Scan with smaller steps or a wider probe; 60 to 80 % are usual."
    evidence = f"{told}, too little for the patterns to agree on one object (below {MINIMUM_OVERLAP:.0%})."
    return Outcome((Finding("overlap", "positions", "warning", evidence, remedy),))


def _step_across_px(subject: Subject, traits: ScanTraits) -> float | None:
    """Return the step in the direction in which places lie further apart, pixels; None where it is like the other.

    Of three places with none between them, two lie as near as in the one direction, and the next distance is that of
    the other: the middle side of a triangle.
    """
    index, positions = subject.raw.scan_index, subject.raw.positions_xy
    numbers, counts = np.unique(index, return_counts=True)
    positions = positions[index == numbers[int(counts.argmax())]]
    distance = np.hypot(*(positions - np.median(positions, axis=0)).T)
    positions = positions[np.argsort(distance, kind="stable")[:_ENOUGH_PLACES]]
    # A place measured again is no place of its own.
    _, first = np.unique(np.round(positions / (_SAME_PLACE * traits.probe_width_px)), axis=0, return_index=True)
    places = positions[first]
    if len(places) < _FEWEST:
        return None
    try:
        corners = places[Delaunay(places).simplices]
    except QhullError:  # all of them on a line
        return None
    sides = np.sort(np.hypot(*(corners - np.roll(corners, 1, axis=1)).T), axis=0)
    nearer, across = np.median(sides[:2], axis=1).tolist()
    return float(across) if across > _UNEVEN * nearer else None


def jumps(subject: Subject) -> Outcome:
    """Find single steps that differ from all others, and parts of a scan that do not touch.

    The steps from one row to the next may be long, but they are similar, and lead to a place beside earlier ones.

    Args:
        subject: the scan.

    Returns:
        The findings, or nothing.
    """
    return Outcome((*_apart(subject), *_unlike_steps(subject)))


def _apart(subject: Subject) -> list[Finding]:
    parts = _parts(subject)
    if parts < 2:
        return []
    evidence = (
        f"The scan falls into {parts} parts whose patterns do not overlap: their phases and their places relative to "
        "each other are not known."
    )
    remedy = (
        "Check the positions between them; where the parts are meant, number them as objects in scan_index, and each "
        "is reconstructed by itself."
    )
    return [Finding("parts", "positions", "warning", evidence, remedy)]


def _unlike_steps(subject: Subject) -> list[Finding]:
    index, positions = subject.raw.scan_index, subject.raw.positions_xy
    steps = np.diff(positions, axis=0)
    inside = np.flatnonzero(np.diff(index) == 0)
    if len(inside) < 2 * _FEWEST:
        return []
    unlike = _distance_to_next(steps[inside])
    usual = float(np.median(np.hypot(*steps[inside].T)))
    order = np.argsort(unlike)[::-1]
    for count in range(_MOST_JUMPS, 0, -1):
        at = np.sort(inside[order[:count]])
        rest = max(float(unlike[order[count]]), usual)
        if unlike[order[count - 1]] > _JUMP * rest and all(_leads_away(positions, step, usual) for step in at):
            return [_described_jumps(subject, at, np.hypot(*steps.T))]
    return []


def _distance_to_next(steps: Float64Array) -> Float64Array:
    """Return how much every step (step, 2) differs from the one most like it (step,), pixels."""
    # A tree of many equal points takes the square of their number.
    kinds, kind_of_step, counts = np.unique(np.round(steps, 6), axis=0, return_inverse=True, return_counts=True)
    if len(kinds) < 2:
        return np.zeros(len(steps))
    nearest = np.asarray(KDTree(kinds).query(kinds, k=2)[0])[:, 1]
    return np.asarray(np.where(counts > 1, 0.0, nearest)[kind_of_step.ravel()])


def _leads_away(positions: Float64Array, step: int, usual: float) -> bool:
    """Return whether a step leads to a place that is not beside an earlier one."""
    return bool(np.hypot(*(positions[: step + 1] - positions[step + 1]).T).min() > _BESIDE * usual)


def beyond_object(subject: Subject) -> Outcome:
    """Find patterns that reach beyond the object of the scan.

    Args:
        subject: the scan.

    Returns:
        The finding, or nothing.
    """
    obj = subject.raw.objectGuess
    if obj is None:
        return NOTHING
    half = subject.raw.N / 2
    # A pixel at the border may be interpolated between two pixels.
    low, high = subject.raw.positions_xy - half, subject.raw.positions_xy + half
    outside = np.asarray(((low < -1) | (high > np.array(obj.shape[::-1]) + 1)).any(axis=1))
    if not outside.any():
        return NOTHING
    points = subject.rows[outside]
    (left, top), (right, bottom) = low.min(axis=0), high.max(axis=0)
    evidence = (
        f"The object of {obj.shape[0]} x {obj.shape[1]} px is smaller than the scan, whose patterns cover rows "
        f"{top:.0f} to {bottom:.0f} and columns {left:.0f} to {right:.0f}: {len(points)} of {len(outside)} patterns "
        "reach beyond it."
    )
    remedy = "It matters to labels and comparisons only: give a larger object, or check its pixel and the positions."
    return Outcome((Finding("beyond-object", "object", "warning", evidence, remedy, points=points),))


def _unlikeness(subject: Subject, repeated: IntArray, place_of_point: IntArray) -> float:
    """Return the difference of patterns at one place, divided by the difference of patterns at different places."""
    by_place = repeated[np.argsort(place_of_point[repeated], kind="stable")]
    together = place_of_point[by_place[1:]] == place_of_point[by_place[:-1]]
    pairs = np.stack([by_place[:-1][together], by_place[1:][together]], axis=1)[:100]
    rng = np.random.default_rng(0)
    others = rng.integers(0, subject.raw.n_patterns, (200, 2))
    others = others[place_of_point[others[:, 0]] != place_of_point[others[:, 1]]]
    patterns = subject.raw.diff3d

    def difference(chosen: IntArray) -> float:
        first, second = patterns[chosen[:, 0]], patterns[chosen[:, 1]]
        return float(np.median(np.abs(first - second).sum(axis=(1, 2), dtype=np.float64)))

    usual = difference(others) if len(others) else 0.0
    # Patterns are amplitudes, and their noise is the same everywhere. It must not count as a difference of places.
    return difference(pairs) / usual if usual > 0 else 0.0


def _described_jumps(subject: Subject, at: IntArray, lengths: Float64Array) -> Finding:
    words = ", ".join(
        f"from {subject.rows[step]} to {subject.rows[step + 1]} by {lengths[step]:.4g} px" for step in at.tolist()
    )
    evidence = f"The positions jump {words}, unlike any other step of the scan."
    remedy = "Check that the stage did not slip there, and that no pattern is missing."
    return Finding("jump", "positions", "warning", evidence, remedy, points=subject.rows[at + 1])


def _parts(subject: Subject) -> int:
    """Return the number of parts of overlapping patterns in the largest object; single points do not count."""
    index = subject.raw.scan_index
    numbers, counts = np.unique(index, return_counts=True)
    positions = subject.raw.positions_xy[index == numbers[int(counts.argmax())]]
    traits = subject.traits
    reach = float(subject.raw.N) if traits is None else traits.probe_width_px
    cells, members = np.unique(np.floor(positions / reach), axis=0, return_counts=True)
    pairs = KDTree(cells).query_pairs(1.5, output_type="ndarray")
    joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(cells), len(cells)))
    part_of = connected_components(joined, directed=False)[1]
    return int((np.bincount(part_of, members) >= _FEWEST).sum())
