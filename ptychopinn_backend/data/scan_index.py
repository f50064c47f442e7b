"""Whether `scan_index` numbers objects, or the scan points of one object."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, IntArray
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.value_checks import require_kind, shown
from ptychopinn_backend.errors import DataError

_FEW_OBJECTS: Final = 2
"""Up to so many objects may have two scan points each."""
_SURE_POINTS: Final = 0.9
"""Values for each scan point above which they surely number the points."""
_SURE_OBJECTS: Final = 8
"""Scan points for each value above which they surely number objects."""


def check_scan_index(
    values: AnyArray | None, n_patterns: int, meaning: str | None = None, point_index: AnyArray | None = None
) -> dict[str, IntArray | None]:
    """Return which object every scan point belongs to, and the numbers of the scan points.

    Numbers of objects are few and repeat. Where nearly every point has a number of its own, they number the points of
    one object.

    Args:
        values: (pattern,) whole numbers; None means one object.
        n_patterns: number of scan points.
        meaning: 'points' or 'objects' where it is stated; None looks at the values.
        point_index: (pattern,) numbers of the scan points, where the file has them under their own name.

    Returns:
        'scan_index' (pattern,) int32, zeros for one object; 'point_index' (pattern,) int32, None where the file numbers
        objects.

    Raises:
        DataError: wrong rank or length, not whole numbers, or another meaning.
    """
    one_object = np.zeros(n_patterns, np.int32)
    points = None if point_index is None else _whole_numbers("point_index", np.asarray(point_index), n_patterns)
    if values is None:
        return {"scan_index": one_object, "point_index": points}
    numbers = _whole_numbers("scan_index", np.asarray(values), n_patterns)
    if meaning not in (None, "points", "objects"):
        raise DataError(f"scan_index = {shown(meaning)[:40]!r} in _metadata; expected 'points' or 'objects'. Mend it.")
    distinct = len(np.unique(numbers))
    counts_points = distinct == n_patterns > 1 or (distinct > _FEW_OBJECTS and 2 * distinct >= n_patterns)
    if meaning == "points" or (meaning is None and counts_points):
        return {"scan_index": one_object, "point_index": numbers}
    return {"scan_index": numbers, "point_index": points}


def scan_index_note(values: AnyArray | None, meaning: str | None, point_index: AnyArray | None) -> str | None:
    """Return in one sentence what was decided on `scan_index`; None where nothing was.

    Args:
        values: the key as in the file.
        meaning: 'points' or 'objects' where it is stated.
        point_index: what `check_scan_index` made of it.

    Returns:
        The sentence.
    """
    told = _decision(values, meaning, point_index)
    return None if told is None or not told[1] else f"{told[0]} --scan-index {told[2]} states the other."


def scan_index_finding(values: AnyArray | None, meaning: str | None, point_index: AnyArray | None) -> Finding | None:
    """Return what was decided on `scan_index` where its values leave it open; None where they do not.

    Args:
        values: the key as in the file.
        meaning: 'points' or 'objects' where it is stated.
        point_index: what `check_scan_index` made of it.

    Returns:
        The finding.
    """
    told = _decision(values, meaning, point_index)
    if told is None or told[1]:
        return None
    evidence = f"{told[0]} The numbers alone do not tell."
    remedy = f"State it with --scan-index {told[2]} if that is wrong, or with scan_index in _metadata."
    return Finding("scan-index", "metadata", "warning", evidence, remedy)


def _decision(
    values: AnyArray | None, meaning: str | None, point_index: AnyArray | None
) -> tuple[str, bool, str] | None:
    """Return what was decided in a sentence, whether it is sure, and the other meaning; None where nothing was."""
    if values is None or meaning is not None:
        return None
    distinct, points = len(np.unique(values)), len(values)
    if distinct < 2:
        return None
    if point_index is None:
        taken, other = "objects", "points"
        is_sure = distinct <= _FEW_OBJECTS or points >= _SURE_OBJECTS * distinct
    else:
        taken, other, is_sure = "points, of one object", "objects", distinct >= _SURE_POINTS * points
    sentence = f"scan_index has {distinct} values for {points} scan points; they are taken to number the {taken}."
    return sentence, is_sure, other


def _whole_numbers(name: str, array: AnyArray, n_patterns: int) -> IntArray:
    require_kind(name, array, "iufb", "whole numbers")
    if array.shape != (n_patterns,):
        raise DataError(
            f"{name} has shape {array.shape} for {n_patterns} scan points; expected ({n_patterns},). "
            "Give one number per scan point, or leave it out."
        )
    with np.errstate(invalid="ignore"):
        indices = array.astype(np.int32)
        differing = array[indices != array]
    if len(differing):
        raise DataError(f"{name} holds {shown(differing[0])}; expected whole numbers. Round it first.")
    return indices
