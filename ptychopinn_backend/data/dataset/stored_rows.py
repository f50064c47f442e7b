"""Patterns and patches in a `.npy` file, written piece by piece and read row by row.

Rows are read with plain file reads and not mapped into memory: pages of a map count as resident memory of the process
for as long as the map lives, and reading small rows is faster than mapping anew for every batch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from ptychopinn_backend.arrays import AnyArray, IntArray
from ptychopinn_backend.data.measurement import to_amplitudes
from ptychopinn_backend.errors import DataError

_PIECE_BYTES: Final = 1 << 24
"""Bytes that are read at a time when all rows are wanted."""
_LARGEST: Final = 1e18
"""The square of a larger amplitude does not fit single precision."""


@dataclass(frozen=True)
class StoredRows:
    """Rows (pattern, N, N) of a file; holds no open file, so that it may be pickled and shared by threads."""

    path: Path
    """The `.npy` file."""
    shape: tuple[int, ...]
    """(pattern, N, N)."""
    dtype: np.dtype[Any]
    """Type of the values in the file."""
    first_byte: int
    """Where the rows begin."""
    measurement: str | None
    """'counts' or 'amplitudes': rows are returned as float32 amplitudes. None: rows are returned as they are."""

    @classmethod
    def open(cls, path: Path, measurement: str | None = None) -> StoredRows:
        """Look at a file.

        Args:
            path: the file.
            measurement: what the rows hold, or None for no conversion.

        Returns:
            Its rows.

        Raises:
            DataError: the file is missing, damaged or cut short.
        """
        try:
            with path.open("rb") as stream:
                np.lib.format.read_magic(stream)
                shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
                first_byte = stream.tell()
                size = os.fstat(stream.fileno()).st_size
        except Exception as error:
            # NumPy reports a malformed header by almost any class, SyntaxError and TokenError among them.
            raise _damaged(path, error) from error
        if fortran_order or dtype.kind not in "iufc" or len(shape) != 3:
            raise _damaged(path, f"it holds {shape} values of {dtype}")
        rows = cls(path, shape, dtype, first_byte, measurement)
        if size != first_byte + shape[0] * rows.row_bytes:
            raise _damaged(path, f"{size} bytes do not hold {shape} values of {dtype}")
        return rows

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def __getitem__(self, rows: IntArray, /) -> AnyArray:
        """Read rows.

        Args:
            rows: indices of any shape.

        Returns:
            (*rows.shape, N, N).

        Raises:
            DataError: the file was removed, cut short or altered.
            IndexError: there is no such row.
        """
        wanted = np.asarray(rows)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.shape[0]:
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {self.shape[0]} in {self.path}")
        values = np.empty((wanted.size, *self.shape[1:]), self.dtype)
        try:
            with self.path.open("rb", buffering=0) as stream:
                for value, row in zip(values, wanted.ravel().tolist(), strict=True):
                    stream.seek(self.first_byte + row * self.row_bytes)
                    if stream.readinto(value.data) != self.row_bytes:
                        raise EOFError(f"row {row} is missing")
        except (OSError, EOFError) as error:
            raise _damaged(self.path, error) from error
        with np.errstate(invalid="ignore", over="ignore"):
            if self.measurement is not None:
                values = to_amplitudes(values, self.measurement, None)
            # Checked when they were stored; what a disk or a person altered since must not reach a training.
            is_sound = self.dtype.kind == "u" or bool((np.abs(values) < _LARGEST).all())
        if not is_sound:
            raise _damaged(self.path, f"it holds values that are not finite or beyond {_LARGEST:g}")
        return values.reshape(*wanted.shape, *self.shape[1:])

    def pieces(self) -> Iterator[AnyArray]:
        """Yield all values as they lie in the file; nothing is judged.

        Yields:
            Some rows (pattern, N, N).

        Raises:
            DataError: the file was removed or cut short.
        """
        rows = max(1, _PIECE_BYTES // max(1, self.row_bytes))
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.first_byte)
                for first in range(0, self.shape[0], rows):
                    values = np.empty((min(rows, self.shape[0] - first), *self.shape[1:]), self.dtype)
                    if stream.readinto(values.data) != values.nbytes:
                        raise EOFError(f"row {first} is missing")
                    yield values
        except (OSError, EOFError) as error:
            raise _damaged(self.path, error) from error


class RowWriter(Protocol):
    """Appends rows to a file."""

    def __call__(self, rows: AnyArray) -> None:
        """Append rows (pattern, N, N)."""


@contextmanager
def row_writer(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[RowWriter]:
    """Open a `.npy` file to append rows to; it is on the disk when the context ends.

    Args:
        path: file to write.
        shape: (pattern, N, N) of all rows together.
        dtype: type of the values in the file.

    Yields:
        A function that appends rows.

    Raises:
        OSError: the disk is full or refuses.
    """
    with path.open("wb") as stream:
        described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, described)

        def append(rows: AnyArray) -> None:
            stream.write(np.ascontiguousarray(rows, dtype).data)

        yield append
        stream.flush()
        os.fsync(stream.fileno())


def _damaged(path: Path, reason: object) -> DataError:
    return DataError(
        f"{path} of a data set cannot be read ({reason}). Was the data set rebuilt or removed? Create it again."
    )
