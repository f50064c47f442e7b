"""The grid cache of PtychoPINN: groups of patterns with a channel axis, taken apart into single scan points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.data.readers.array_source import ArraySource
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import read_npz


@dataclass(frozen=True)
class Flattened:
    """Groups (group, N, N, channel) as patterns (group * channel, N, N), channels of a group side by side."""

    source: ArraySource
    """The groups."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(pattern, N, N)."""
        groups, rows, columns, channels = self.source.shape
        return groups * channels, rows, columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.source.dtype

    def pieces(self) -> Iterator[AnyArray]:
        """Yield consecutive pieces."""
        for piece in self.source.pieces():
            yield np.moveaxis(piece, 3, 1).reshape(-1, *piece.shape[1:3])


@dataclass(frozen=True)
class PolarPatches:
    """Ground-truth patches from their amplitude and phase, both (group, N, N[, channel])."""

    amplitude: ArraySource
    """`Y_I`."""
    phase: ArraySource
    """`Y_phi`, radians."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(pattern, N, N)."""
        return self.amplitude.shape if len(self.amplitude.shape) == 3 else Flattened(self.amplitude).shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype(np.complex64)

    def pieces(self) -> Iterator[AnyArray]:
        """Yield consecutive pieces.

        Yields:
            (pattern, N, N) complex64.

        Raises:
            DataError: amplitude and phase differ in shape.
        """
        if self.amplitude.shape != self.phase.shape:
            raise DataError(
                f"Y_I has shape {self.amplitude.shape} and Y_phi {self.phase.shape}; they must agree. Write them anew."
            )
        for amplitude, phase in zip(_same_pieces(self.amplitude), _same_pieces(self.phase), strict=True):
            yield (amplitude * np.exp(1j * phase)).astype(np.complex64)


def positions_of_groups(path: Path, key: str) -> dict[str, AnyArray]:
    """Return the positions of a grid cache.

    Args:
        path: the file.
        key: name of an array (group, 1, 2, channel), axis 2 = (x, y).

    Returns:
        'xcoords' and 'ycoords' (group * channel,).

    Raises:
        DataError: the array has another shape.
    """
    coordinates = read_npz(path, [key])[key]
    if coordinates.ndim != 4 or coordinates.shape[1:3] != (1, 2):
        raise DataError(
            f"'{key}' in {path} has shape {coordinates.shape}; expected (group, 1, 2, channel). Write the file again."
        )
    return {"xcoords": coordinates[:, 0, 0].reshape(-1), "ycoords": coordinates[:, 0, 1].reshape(-1)}


def _same_pieces(source: ArraySource) -> Iterator[AnyArray]:
    yield from (source if len(source.shape) == 3 else Flattened(source)).pieces()
