"""The size of the array that patches are put together in, before it is allocated."""

from __future__ import annotations

from ptychopinn_backend.arrays import FloatArray
from ptychopinn_backend.data.findings.positions import FAR_REMEDY, uncovered
from ptychopinn_backend.errors import DataError


def require_covered(shape: tuple[float, float], positions_xy: FloatArray, side: int) -> None:
    """Raise where positions far from one another make a huge array that stays empty.

    Args:
        shape: (row, column) lengths of the array.
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        side: of what is placed at each, pixels.

    Raises:
        DataError: names the positions that lie far from the others.
    """
    words = uncovered(shape, positions_xy, side)
    if words is not None:
        raise DataError(f"{words} {FAR_REMEDY}")
