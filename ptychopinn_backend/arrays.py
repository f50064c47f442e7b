"""Array aliases named by their axes, and the shape checks that go with them.

Axis words used in every docstring: `pattern` (scan point), `group` (a set of neighbouring scan points), `channel`
(member of a group, `channel = gridsize**2`), `mode` (incoherent probe mode), `row`/`column` (`N` each for patterns).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ptychopinn_backend.errors import DataError

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Float32Array: TypeAlias = npt.NDArray[np.float32]
Float64Array: TypeAlias = npt.NDArray[np.float64]
ComplexArray: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]
Complex64Array: TypeAlias = npt.NDArray[np.complex64]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
AnyArray: TypeAlias = npt.NDArray[Any]


def is_plain_dtype(dtype: np.dtype[Any]) -> bool:
    """Return whether `dtype` is a bool, integer, float or complex number of a width HDF5 keeps exactly."""
    return dtype.kind in "biufc" and dtype.itemsize <= (16 if dtype.kind == "c" else 8)


# Asking NumPy what a name from a file means would parse that name as a Python literal.
PLAIN_DTYPES: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        dtype.name: dtype
        for dtype in map(np.dtype, np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?")
        if is_plain_dtype(dtype)
    }
)
"""Name -> type of number, of all that an archive may hold."""


def require_shape(name: str, array: AnyArray, expected: Sequence[int | None], axes: str) -> None:
    """Raise `DataError` unless `array` has the expected shape (`None` matches any length).

    Args:
        name: how the message calls the array.
        array: the array to check.
        expected: one length an axis.
        axes: the axis words for the message, for example '(group, row, column, channel)'.

    Raises:
        DataError: rank or a length differs; names the array, its shape and what was expected.
    """
    fits = array.ndim == len(expected) and all(
        wanted is None or length == wanted for length, wanted in zip(array.shape, expected, strict=True)
    )
    if not fits:
        wanted_text = "(" + ", ".join("any" if n is None else str(n) for n in expected) + ")"
        raise DataError(
            f"{name} has shape {array.shape}; expected {wanted_text} = {axes}. Check the array before passing it on."
        )
