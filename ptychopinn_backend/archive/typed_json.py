"""JSON that restores Python types exactly: tuples, paths, complex and non-finite numbers, NumPy scalars and arrays.

Plain JSON values (None, bool, int, finite float, str, list, dict with string keys) stand for themselves. Everything
else is a tagged object `{"__type__": tag, ...}`. Arrays are put aside under a number, for the archive's HDF5 member.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import PLAIN_DTYPES, AnyArray, is_plain_dtype
from ptychopinn_backend.errors import ArchiveError

TAG: Final = "__type__"


def dump_json(value: Any, where: str, arrays: dict[str, AnyArray] | None = None) -> bytes:
    """Return `value` as UTF-8 JSON.

    Args:
        value: what to write.
        where: how messages call it, for example 'params'.
        arrays: receives the NumPy arrays met, under the names '0', '1', ...; None refuses arrays.

    Returns:
        Strict JSON text, sorted as given, indented.

    Raises:
        ArchiveError: a value of a type that cannot be restored; names the value's place and type.
    """
    return json.dumps(_encode(value, where, arrays), indent=1, allow_nan=False).encode()


def load_json(text: bytes, arrays: Mapping[str, AnyArray] | None = None) -> Any:
    """Return the value that `dump_json` wrote.

    Args:
        text: UTF-8 JSON.
        arrays: the arrays that were put aside.

    Returns:
        The value, with its types.

    Raises:
        ValueError: not JSON, or an unknown or malformed tag.
    """
    try:
        return _decode(json.loads(text.decode("utf-8")), arrays or {})
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"malformed JSON value: {error}") from error


def _encode(value: Any, where: str, arrays: dict[str, AnyArray] | None) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}
    if type(value) is list:
        return [_encode(item, f"{where}[{index}]", arrays) for index, item in enumerate(value)]
    if type(value) is tuple:
        return {TAG: "tuple", "items": _encode(list(value), where, arrays)}
    if type(value) is dict and all(type(key) is str for key in value):
        encoded = {key: _encode(item, f"{where}['{key}']", arrays) for key, item in value.items()}
        return {TAG: "dict", "items": encoded} if TAG in value else encoded
    if type(value) is complex:
        return {TAG: "complex", "parts": _encode([value.real, value.imag], where, arrays)}
    if isinstance(value, Path):
        return {TAG: "path", "value": str(value)}
    return _encode_numpy(value, where, arrays)


def _encode_numpy(value: Any, where: str, arrays: dict[str, AnyArray] | None) -> Any:
    if isinstance(value, np.generic) and is_plain_dtype(value.dtype):
        return {TAG: "scalar", "dtype": value.dtype.name, "value": _encode(value.item(), where, arrays)}
    if type(value) is np.ndarray and is_plain_dtype(value.dtype) and arrays is not None:
        name = str(len(arrays))
        arrays[name] = value
        return {TAG: "array", "name": name}
    raise ArchiveError(
        f"{where} is a {type(value).__name__}, which an archive cannot restore. Use None, bool, int, float, complex, "
        "str, pathlib.Path, a list, tuple or dict with string keys of these, or a NumPy array of numbers."
    )


def _decode(value: Any, arrays: Mapping[str, AnyArray]) -> Any:
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    if tag is None:
        return {key: _decode(item, arrays) for key, item in value.items()}
    if tag == "dict":
        return {key: _decode(item, arrays) for key, item in value["items"].items()}
    if tag == "tuple":
        return tuple(_decode(value["items"], arrays))
    if tag == "float":
        return float(value["value"])
    if tag == "complex":
        real, imaginary = _decode(value["parts"], arrays)
        return complex(real, imaginary)
    if tag == "path":
        return Path(value["value"])
    if tag == "scalar":
        return _numpy_scalar(value["dtype"], _decode(value["value"], arrays))
    if tag == "array":
        return arrays[value["name"]]
    raise ValueError(f"unknown tag {tag!r}")


def _numpy_scalar(dtype_name: str, value: Any) -> Any:
    if not isinstance(value, (bool, int, float, complex)):
        raise ValueError(f"{value!r} is not a number")
    if dtype_name not in PLAIN_DTYPES:
        raise ValueError(f"{dtype_name[:40]!r} is not a number type")
    try:
        return PLAIN_DTYPES[dtype_name].type(value)
    except OverflowError as error:
        raise ValueError(f"{value!r} does not fit {dtype_name!r}") from error
