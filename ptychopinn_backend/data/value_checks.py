"""Checks of the values of any array, each with its own words."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray
from ptychopinn_backend.errors import DataError


def require_kind(name: str, array: AnyArray, kinds: str, meaning: str) -> None:
    """Refuse an array of another kind of values.

    Args:
        name: how messages call it.
        array: the array.
        kinds: letters of `numpy.dtype.kind` that are accepted.
        meaning: what the values should be.

    Raises:
        DataError: it holds Python objects, or values of another kind.
    """
    if array.dtype.hasobject:
        raise DataError(
            f"{name} is an array of Python objects; expected {meaning}. Convert it to a plain numeric array."
        )
    if array.dtype.kind not in kinds:
        raise DataError(f"{name} has type {array.dtype}; expected {meaning}. Convert it first.")


def require_finite(name: str, array: AnyArray) -> None:
    """Refuse an array with NaN, infinity, or what single precision cannot hold.

    Args:
        name: how messages call it.
        array: the array.

    Raises:
        DataError: says which value and where.
    """
    finite = is_finite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise DataError(
            f"{name} holds {shown(array[where])} at index {where}; every value must be finite (no NaN, no infinity). "
            "Remove or repair it."
        )


def shown(value: object) -> str:
    """Return a value as messages show it."""
    # A NaN that signals warns when it is converted.
    with np.errstate(invalid="ignore"):
        return str(value)


def is_finite(array: AnyArray) -> BoolArray:
    """Return where values are finite in single precision."""
    # What single precision cannot hold would become infinite later.
    return np.asarray(np.abs(array) <= np.finfo(np.float32).max)
