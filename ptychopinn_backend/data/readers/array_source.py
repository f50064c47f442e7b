"""Arrays in files that are read piece by piece along their first axis, never as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5
from ptychopinn_backend.files.npz import MemberHeader, member_header, member_pieces, read_npz, require_fits_memory

PIECE_VALUES: Final = 2**20
"""About as many values are in a piece."""
_LARGEST_CHUNK_VALUES: Final = 2**26


class ArraySource(Protocol):
    """An array that is read piece by piece; it holds no open file and may be read again and again."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, the first of them the one that is cut into pieces."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def pieces(self) -> Iterator[AnyArray]:
        """Yield consecutive pieces."""


def stand_in(source: ArraySource) -> AnyArray:
    """Return an array of the shape and type of a source that holds none of it and needs no memory."""
    return np.broadcast_to(np.zeros((), source.dtype), source.shape)


def read_whole(source: ArraySource, path: Path, count: int | None = None) -> AnyArray:
    """Read all pieces of a source, or its first entries.

    Args:
        source: what to read.
        path: named when it does not fit memory.
        count: entries of the first axis, at most as many as there are; None reads all.

    Returns:
        The array.

    Raises:
        DataError: it does not fit memory, or the file is damaged.
    """
    shape = source.shape if count is None else (count, *source.shape[1:])
    require_fits_memory(path, math.prod(shape) * source.dtype.itemsize)
    whole = np.empty(shape, source.dtype)
    done = 0
    for piece in source.pieces():
        taken = piece[: len(whole) - done]
        whole[done : done + len(taken)] = taken
        done += len(taken) if count is not None else len(piece)
        if done == count:
            break
    if done != len(whole):
        raise DataError(f"{path} holds {done} patterns where it declares {len(whole)}. Copy or write the file again.")
    return whole


@dataclass(frozen=True)
class InMemory:
    """An array that is in memory already."""

    values: AnyArray
    """The array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    def pieces(self) -> Iterator[AnyArray]:
        """Yield all of it."""
        yield self.values


@dataclass(frozen=True)
class NpzArray:
    """An array of an NPZ file; patterns may be first or last in it."""

    path: Path
    """The file."""
    key: str
    """Name of the array."""
    header: MemberHeader
    """What the file says of it."""
    patterns_last: bool = False
    """The last axis counts the patterns."""

    @classmethod
    def find(cls, path: Path, key: str, n_patterns: int | None = None) -> NpzArray | None:
        """Look for an array.

        Args:
            path: the file.
            key: its name.
            n_patterns: where only the last of three axes has this length, it counts the patterns.

        Returns:
            The array; None where the file does not hold it.

        Raises:
            DataError: the file is damaged or the array holds Python objects.
        """
        header = member_header(path, key)
        if header is None:
            return None
        shape = header.shape
        return cls(path, key, header, len(shape) == 3 and shape[0] != n_patterns and shape[2] == n_patterns)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, patterns first."""
        shape = self.header.shape
        return (shape[2], *shape[:2]) if self.patterns_last else shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.header.dtype

    def pieces(self) -> Iterator[AnyArray]:
        """Yield consecutive pieces; where the pattern axis varies fastest in the file, all of it is read at once."""
        if not self.patterns_last and not self.header.fortran_order:
            yield from member_pieces(self.path, self.key, PIECE_VALUES)
        elif self.patterns_last and self.header.fortran_order:
            for piece in member_pieces(self.path, self.key, PIECE_VALUES):
                yield np.swapaxes(piece, 1, 2)
        else:
            whole = read_npz(self.path, [self.key])[self.key]
            yield np.moveaxis(whole, 2, 0) if self.patterns_last else whole


@dataclass(frozen=True)
class Hdf5Array:
    """A data set of an HDF5 file, behind links or put together from other files; leading axes become one."""

    path: Path
    """The file."""
    name: str
    """Path of the data set in it."""
    shape: tuple[int, ...]
    """(pattern, row, column)."""
    dtype: np.dtype[Any]
    """Type of the values."""

    @classmethod
    def find(cls, file: LinkedHdf5, name: str) -> Hdf5Array | None:
        """Look for patterns.

        Args:
            file: the open file.
            name: path of the data set.

        Returns:
            The array, of three axes; None where the file has no such data set.

        Raises:
            DataError: it cannot be read, or has fewer than two axes.
        """
        found = file.dataset(name)
        if found is None:
            return None
        shape = tuple(map(int, found.shape))
        if len(shape) < 2:
            raise DataError(f"'{name}' in {file.path} has shape {shape}; patterns need (pattern, N, N).")
        return cls(file.path, name, (math.prod(shape[:-2]), *shape[-2:]), found.dtype)

    def pieces(self) -> Iterator[AnyArray]:
        """Yield consecutive pieces, each chunk of the file decoded once."""
        with LinkedHdf5(self.path) as file:
            found = file.dataset(self.name)
            if found is None:
                raise DataError(f"{self.path} lacks '{self.name}' by now. Was the file replaced?")
            if found.ndim == 2:
                yield np.asarray(found[()])[np.newaxis]
                return
            together = _outer_chunk(found)
            if together > 1:
                for first in range(0, found.shape[0], together):
                    yield np.asarray(found[first : first + together]).reshape(-1, *self.shape[1:])
                return
            for outer in np.ndindex(*found.shape[:-3]):
                for piece in _chunked_slices(found):
                    yield np.asarray(found[(*outer, piece)])


def _outer_chunk(dataset: Any) -> int:
    """Return how many entries of the first axis are read together, so that no chunk of a grid is decoded again."""
    if dataset.ndim < 4 or not dataset.chunks:
        return 1
    count = int(dataset.chunks[0])
    return count if count * math.prod(dataset.shape[1:]) <= _LARGEST_CHUNK_VALUES else 1


def _chunked_slices(dataset: Any) -> Iterator[slice]:
    frames, frame_values = dataset.shape[-3], max(1, math.prod(dataset.shape[-2:]))
    step = max(1, PIECE_VALUES // frame_values)
    chunk = dataset.chunks[-3] if dataset.chunks else 1
    if chunk * frame_values <= _LARGEST_CHUNK_VALUES:
        step = math.ceil(step / chunk) * chunk
    for start in range(0, frames, step):
        yield slice(start, min(start + step, frames))


@dataclass(frozen=True, eq=False)
class SomeRows:
    """Some patterns of a source, in its order."""

    source: ArraySource
    """Where they come from."""
    kept: BoolArray
    """(pattern,) which of them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return (int(self.kept.sum()), *self.source.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.source.dtype

    def pieces(self) -> Iterator[AnyArray]:
        """Yield consecutive pieces."""
        done = 0
        for piece in self.source.pieces():
            kept = self.kept[done : done + len(piece)]
            done += len(piece)
            if kept.any():
                yield piece[kept]


@dataclass(frozen=True)
class Centred:
    """Patterns whose zero frequency is in the corner, moved to the centre."""

    source: ArraySource
    """Where they come from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.source.dtype

    def pieces(self) -> Iterator[AnyArray]:
        """Yield consecutive pieces."""
        for piece in self.source.pieces():
            yield np.fft.fftshift(piece, axes=(-2, -1))


@dataclass(frozen=True)
class Joined:
    """Several sources one after the other."""

    sources: tuple[ArraySource, ...]
    """At least one; all of the same N."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return (sum(source.shape[0] for source in self.sources), *self.sources[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds the values of all."""
        return np.result_type(*(source.dtype for source in self.sources))

    def pieces(self) -> Iterator[AnyArray]:
        """Yield consecutive pieces."""
        for source in self.sources:
            yield from source.pieces()
