"""Search for the patterns of a scan file that a reconstruction was made of, and for doubts about a truth.

A reconstruction keeps the positions and counts of its patterns. Both together identify a pattern. Two objects of one
file may share every position, and a refinement changes positions but not counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from ptychopinn_backend.arrays import AnyArray, Complex64Array, Float64Array, FloatArray, IntArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation.scan_fit import scan_fit
from ptychopinn_backend.stitching.assembly import ObjectFrame, counts_scale
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

SAME_POSITION_PX: Final = 1e-3
"""Positions at a smaller distance are the same."""
SAME_COUNTS: Final = 1e-5
"""Counts of two patterns with a smaller relative difference are the same; it is less than a photon."""
MIN_CORRELATION: Final = 0.2
"""Two objects count as different ones if their amplitudes and their phases both correlate less than this."""
SURE_CORRELATION: Final = 0.6
"""Two objects count as the same one if either correlation is at least this."""
_ASKED_PATTERNS: Final = 64
_ALLOWED_EXCESS: Final = (3.0, 0.3)
"""Largest excess deviance of a truth: the first number times that of the reconstruction, plus the second number times
the deviance of photon noise."""


@dataclass(frozen=True, eq=False)
class MatchedScan:
    """The patterns of a scan that a reconstruction was made of."""

    raw: RawData
    """These patterns, at the positions of the reconstruction."""
    doubts: tuple[str, ...] = ()
    """Reasons to doubt the match, one sentence each."""


def matched_scan(reconstruction: Reconstruction, raw: RawData) -> MatchedScan:
    """Return the patterns of a scan that a reconstruction was made of.

    Args:
        reconstruction: its positions, and its counts if it has them, identify the patterns.
        raw: a scan, which may have further patterns and objects.

    Returns:
        The patterns in the order of the reconstruction.

    Raises:
        DataError: probe and patterns differ in size, the patterns are not in the scan, several objects could have
            them, or the object lies nowhere under the scan.
    """
    if reconstruction.probe.shape[-1] != raw.N:
        raise DataError(
            f"the reconstruction's probe has N = {reconstruction.probe.shape[-1]}, the scan's patterns {raw.N}; both "
            "must be equal. Give the scan that was reconstructed."
        )
    matched = (
        _without_positions(reconstruction, raw)
        if reconstruction.positions_xy is None
        else _by_positions(reconstruction, raw, reconstruction.positions_xy)
    )
    return replace(matched, doubts=(*matched.doubts, *_doubts_of_place(reconstruction, matched.raw)))


def doubts_of_target(
    target: AnyArray, origin_rc: tuple[float, float], name: str, positions_xy: FloatArray
) -> Iterator[str]:
    """Yield reasons to doubt that a truth or a reference shows the object of a scan, before they are compared.

    Args:
        target: the object to compare with (row, column).
        origin_rc: place of scan coordinate (0, 0) in it (row, column), pixels.
        name: 'truth' or 'reference'.
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.

    Yields:
        One sentence for each reason.
    """
    outside = _outside(target, origin_rc, positions_xy)
    if outside.any():
        rows, columns = target.shape
        yield (
            f"{int(outside.sum())} of {len(outside)} scan positions lie outside the {name} of {rows} x {columns} "
            f"pixels. Check that the {name} is of this scan, and its origin."
        )


def doubt_of_likeness(correlations: tuple[float, float], name: str, is_explained: bool) -> str | None:
    """Return a reason to doubt that two aligned objects are the same one, or None.

    Small regions correlate by chance, and even more after a shift to the best correlation. So if the correlation is
    low, but may be due to the same object, the counts decide.

    Args:
        correlations: Pearson correlations of the amplitudes and of the phases; NaN if one image is constant.
        name: 'truth' or 'reference'.
        is_explained: whether the target explains the measured counts, as far as this is known.

    Returns:
        One sentence, or None.
    """
    best = np.nanmax([*correlations, -1.0])
    if best >= SURE_CORRELATION or (best >= MIN_CORRELATION and is_explained):
        return None
    return (
        f"Reconstruction and {name} have little in common: their amplitudes correlate to {correlations[0]:.2f}, their "
        f"phases to {correlations[1]:.2f}. Check that the {name} is of this scan."
    )


def explains_counts(
    target: Complex64Array, origin_rc: tuple[float, float], measured: Reconstruction, raw: RawData
) -> bool:
    """Return whether a true object explains the counts of a scan about as well as a reconstruction does.

    Args:
        target: the object (row, column), at any scale.
        origin_rc: place of scan coordinate (0, 0) in it (row, column), pixels.
        measured: the reconstruction; its probe is used for both.
        raw: the scan.

    Returns:
        False if the excess deviance of the target is several times that of the reconstruction, or if the target
        predicts no light.
    """
    some = raw.select(np.unique(np.linspace(0, raw.n_patterns - 1, _ASKED_PATTERNS).round().astype(int)))
    frame = ObjectFrame((target.shape[0], target.shape[1]), origin_rc)
    valid = None if some.bad_pixels is None else ~some.bad_pixels
    try:
        scale = counts_scale(target, frame, measured.probe, some.positions_xy, some.diff3d, valid)
        true = scan_fit(Reconstruction(np.asarray(scale * target, np.complex64), origin_rc, measured.probe), some)
        found = scan_fit(measured, some)
    except DataError:
        return False
    allowed = _ALLOWED_EXCESS[0] * max(found.deviance - found.poisson_deviance, 0.0)
    return true.deviance - true.poisson_deviance <= allowed + _ALLOWED_EXCESS[1] * true.poisson_deviance


def shares_positions(reconstruction: Reconstruction, positions_xy: FloatArray) -> bool:
    """Return whether the positions of a reconstruction may be those of another scan, or may be refined from them.

    Args:
        reconstruction: the reconstruction; without positions the answer is True.
        positions_xy: positions of the other scan (pattern, 2), axis 1 = (x, y), pixels.

    Returns:
        True if the reconstruction may belong to that scan.
    """
    wanted = reconstruction.positions_xy
    return wanted is None or _nearest(positions_xy, wanted) is not None or _are_refined(positions_xy, wanted)


def _without_positions(reconstruction: Reconstruction, raw: RawData) -> MatchedScan:
    objects = len(np.unique(raw.scan_index))
    if objects > 1:
        raise DataError(
            f"the reconstruction holds no positions, and the scan shows {objects} objects; one of them was "
            "reconstructed. Give a file with the patterns of that one."
        )
    made_of = reconstruction.info.get("n_patterns")
    if isinstance(made_of, int) and made_of != raw.n_patterns:
        doubt = (
            f"The reconstruction was made of {made_of} patterns, and the scan has {raw.n_patterns}. Check that it is"
        )
        return MatchedScan(raw, (f"{doubt} of this scan.",))
    return MatchedScan(raw)


def _by_positions(reconstruction: Reconstruction, raw: RawData, positions: Float64Array) -> MatchedScan:
    parts = raw.by_object()
    stated = reconstruction.info.get("scan_index")
    if len(parts) > 1 and stated in parts:
        parts = {stated: parts[stated], **parts}
    counts = reconstruction.pattern_counts
    if counts is not None:
        for find in (_of_same_counts, _of_refined_positions):
            for part in parts.values():
                rows = find(part, positions, counts)
                if rows is not None:
                    return MatchedScan(_chosen(part, rows, positions))
    found = {
        index: rows for index, part in parts.items() if (rows := _nearest(part.positions_xy, positions)) is not None
    }
    if not found and counts is None:
        every = np.arange(len(positions))
        found = {index: every for index, part in parts.items() if _are_refined(part.positions_xy, positions)}
    if stated in found:
        found = {stated: found[stated]}
    if len(found) > 1:
        raise DataError(
            f"the scan shows {len(parts)} objects, of which {len(found)} have the positions of the reconstruction, and "
            "it does not say of which it is. Give a file with the patterns of that one, or reconstruct it again."
        )
    if not found:
        raise DataError(
            f"the reconstruction was made of {len(positions)} patterns at positions that the {raw.n_patterns} of this "
            "scan do not have; it is of another scan. Give the scan that was reconstructed."
        )
    index, rows = found.popitem()
    used = _chosen(parts[index], rows, positions)
    if counts is None:
        return MatchedScan(used)
    share = np.mean(~_close(count_photons(used.diff3d), counts))
    doubt = (
        f"{100 * share:.0f} % of the patterns hold other counts than those the reconstruction was made of. Check that "
        "it is of this scan, and that the same pixels are masked."
    )
    return MatchedScan(used, (doubt,))


def _chosen(part: RawData, rows: IntArray, positions: Float64Array) -> RawData:
    """Return some patterns at the positions of the reconstruction. If all are taken in order, they are not copied."""
    used = part if np.array_equal(rows, np.arange(part.n_patterns)) else part.select(rows)
    return replace(used, xcoords=positions[:, 0], ycoords=positions[:, 1])


def _of_same_counts(part: RawData, positions: Float64Array, counts: Float64Array) -> IntArray | None:
    """Return the rows of patterns with these counts: all in order at any positions, or some at the same positions."""
    there = count_photons(part.diff3d)
    if len(there) == len(counts) and np.mean(_close(there, counts)) > 0.5:
        return np.arange(len(there))
    return _nearest(_features(part.positions_xy, there), _features(positions, counts))


def _of_refined_positions(part: RawData, positions: Float64Array, counts: Float64Array) -> IntArray | None:
    """Return the rows of some patterns with these counts, at positions from which those asked for were refined."""
    given, there = part.positions_xy, count_photons(part.diff3d)
    # As near as this, positions only tell patterns of the same counts apart.
    to_near = SAME_POSITION_PX / max(float(np.ptp(np.concatenate([given, positions]), axis=0).max()), 1.0)
    wanted, shift = _features(to_near * positions, counts), np.zeros(2)
    # As a whole they may have moved further than to the next pattern of the same counts.
    for _ in range(2):
        rows = _nearest(_features(to_near * (given + shift), there), wanted)
        if rows is None:
            return None
        shift = np.median(positions - given[rows], axis=0)
    return rows if _are_refined(given[rows], positions) else None


def _features(places: FloatArray, counts: FloatArray) -> Float64Array:
    """Return (pattern, 3) of positions and counts, in which the same ones are nearer than `SAME_POSITION_PX`."""
    return np.column_stack([places, SAME_POSITION_PX / SAME_COUNTS * np.log(np.maximum(counts, 1e-9))])


def _nearest(features: FloatArray, wanted: FloatArray) -> IntArray | None:
    """Return the row of each wanted point, each row at most once; None if a point is missing."""
    if len(features) == len(wanted) and np.abs(features - wanted).max() < SAME_POSITION_PX:
        return np.arange(len(wanted))
    tree = cKDTree(features)
    distance, found = tree.query(wanted, distance_upper_bound=2 * SAME_POSITION_PX)
    rows = np.asarray(found)
    if not np.isfinite(distance).all():
        return None
    # If points coincide, each of them is taken once, in order.
    first, repeats = np.unique(rows, return_counts=True)
    for row in first[repeats > 1]:
        here = np.flatnonzero(rows == row)
        choices = sorted(tree.query_ball_point(wanted[here[0]], 2 * SAME_POSITION_PX))
        if len(choices) < len(here):
            return None
        rows[here] = choices[: len(here)]
    return rows


def _are_refined(positions: FloatArray, refined: FloatArray) -> bool:
    """Return whether a typical position moved by less than half the distance to its nearest neighbour."""
    if len(positions) != len(refined) or len(positions) < 2:
        return len(positions) == len(refined)
    moved = refined - positions
    moved = np.linalg.norm(moved - np.median(moved, axis=0), axis=1)
    to_neighbour = np.asarray(cKDTree(positions).query(positions, k=2)[0])[:, 1]
    return bool(np.median(moved) < np.median(to_neighbour) / 2)


def _close(counts: FloatArray, others: FloatArray) -> AnyArray:
    return np.abs(counts - others) <= SAME_COUNTS * np.maximum(counts, others)


def _doubts_of_place(reconstruction: Reconstruction, raw: RawData) -> Iterator[str]:
    outside = _outside(reconstruction.object, reconstruction.origin_rc, raw.positions_xy)
    rows, columns = reconstruction.object.shape
    if outside.all():
        raise DataError(
            f"the object of {rows} x {columns} pixels lies nowhere under the scan: every position is outside of it. "
            "Give the scan that was reconstructed, and check origin_rc."
        )
    if outside.any():
        yield (
            f"{int(outside.sum())} of {len(outside)} scan positions lie outside the object of {rows} x {columns} "
            "pixels, which counts as dark there. Check origin_rc, or give the scan that was reconstructed."
        )


def _outside(obj: AnyArray, origin_rc: tuple[float, float], positions_xy: FloatArray) -> AnyArray:
    place = positions_xy[:, ::-1] + np.asarray(origin_rc)
    return np.asarray(((place < 0) | (place > np.asarray(obj.shape))).any(axis=1))
