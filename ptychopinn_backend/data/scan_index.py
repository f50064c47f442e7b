"""Whether `scan_index` numbers objects, or the scan points of one object."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, IntArray
from ptychopinn_backend.data.value_checks import require_kind, shown
from ptychopinn_backend.errors import DataError

_FEW_OBJECTS: Final = 2
"""Up to so many objects may have two scan points each."""


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
    if values is None or meaning is not None:
        return None
    distinct = len(np.unique(values))
    if distinct < 2:
        return None
    taken, other = ("objects", "points") if point_index is None else ("points, of one object", "objects")
    return (
        f"scan_index has {distinct} values for {len(values)} scan points; they number the {taken}. "
        f"--scan-index {other} states the other."
    )


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
