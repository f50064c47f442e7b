"""The content of streams: frames and positions, independent of the way they arrive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from ptychopinn_backend.arrays import AnyArray

UNKNOWN_TIME = float("nan")
"""Time of an entry whose sender gives no time."""
_LATEST_S: Final = 1e11
"""Largest number of seconds that any clock shows. A larger number is no time."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One diffraction pattern of the detector."""

    number: int
    """Number of the frame in its scan; NTNDArray calls it uniqueId."""
    counts: AnyArray
    """Values of the pixels as the detector gave them (row, column), zero frequency at the array centre."""
    time_s: float = UNKNOWN_TIME
    """Time of the exposure, seconds of the sender's clock; NaN if unknown."""
    scan: str = ""
    """Name of the scan; empty if the sender gives none."""
    arrived_s: float = 0.0
    """Time of arrival, seconds of the receiver's monotonic clock."""


@dataclass(frozen=True)
class Position:
    """One reading of the encoders."""

    number: int
    """Number of the frame that it belongs to; it has no meaning if pairing is by time."""
    x: float
    """Column of the patch's centre, object pixels."""
    y: float
    """Row of the patch's centre, object pixels."""
    time_s: float = UNKNOWN_TIME
    """Time of the reading, seconds of the clock that stamps the frames; NaN if unknown."""
    scan: str = ""
    """Name of the scan; empty if the sender gives none."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A frame with its position."""

    frame: Frame
    """The frame."""
    x: float
    """Column of the patch's centre, object pixels."""
    y: float
    """Row of the patch's centre, object pixels."""
    scan: str = ""
    """Name of the scan of the frame."""


Entry = TypeVar("Entry", Frame, Position)


def known_time(entry: Entry) -> Entry:
    """Return the entry. Its time is set to unknown if its number of seconds is no time."""
    return entry if is_time(entry.time_s) else replace(entry, time_s=UNKNOWN_TIME)


def is_time(seconds: float) -> bool:
    """Return whether a number of seconds since 1970 can be a time."""
    return abs(seconds) <= _LATEST_S


def positions_of(pairs: list[Pair]) -> AnyArray:
    """Return the positions of pairs (pair, 2), axis 1 = (x, y), object pixels."""
    return np.array([(pair.x, pair.y) for pair in pairs], np.float64).reshape(-1, 2)
