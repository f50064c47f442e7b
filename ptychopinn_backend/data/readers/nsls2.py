"""Scans of the hard X-ray nanoprobe of NSLS-II (`/diffamp`, `/points`).

`/diffamp` holds amplitudes (pattern, N, N), as a rule with the zero frequency in the corner; `/points` (2, pattern)
micrometres, first x; `/lambda_nm`, `/z_m` and `/ccd_pixel_um` the geometry.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.measurement import AMPLITUDES
from ptychopinn_backend.data.readers.array_source import ArraySource, Centred, Hdf5Array
from ptychopinn_backend.data.readers.content import Content
from ptychopinn_backend.data.readers.parts import Instrument, PatternPart, PositionPart
from ptychopinn_backend.data.readers.units import energy_of_wavelength, in_metres
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5


def holds_patterns(content: Content) -> bool:
    """Return whether a file holds `/diffamp`."""
    return content.has("diffamp")


def holds_positions(content: Content) -> bool:
    """Return whether a file holds `/points`."""
    return content.has("points")


def read_patterns(path: Path, reading: Reading) -> PatternPart:
    """Read patterns, and find out where their zero frequency is.

    Args:
        path: the file.
        reading: not needed here.

    Returns:
        Amplitudes.

    Raises:
        DataError: the file is damaged or lacks them.
    """
    with LinkedHdf5(path) as file:
        source: ArraySource | None = Hdf5Array.find(file, "diffamp")
        if source is None:
            raise DataError(f"{path} lacks '/diffamp', the patterns of NSLS-II. Write them there.")
        files = tuple(file.linked_files())
        side = in_metres(file.number("ccd_pixel_um", "um"))
        distance = in_metres(file.number("z_m", "m"))
        energy = energy_of_wavelength(in_metres(file.number("lambda_nm", "nm")))
        height, width = (in_metres(file.number(f"{axis}_pixel_m", "m")) for axis in "yx")
    place = "centre"
    if _is_in_corner(source):
        source, place = Centred(source), "corner, and is moved to the centre"
    note = f"patterns are amplitudes (--measurement states counts); their zero frequency is in the {place}."
    return PatternPart(
        files, source, AMPLITUDES, None, None, Instrument(energy, distance, side, side, height, width), (note,)
    )


def read_positions(path: Path, reading: Reading) -> PositionPart:
    """Read positions.

    Args:
        path: the file.
        reading: not needed here.

    Returns:
        Positions in metres.

    Raises:
        DataError: the file is damaged or lacks them.
    """
    with LinkedHdf5(path) as file:
        points = file.array("points")
    if points is not None and points.ndim == 2 and points.shape[0] != 2 and points.shape[1] == 2:
        points = points.T
    if points is None or points.ndim != 2 or points.shape[0] != 2 or points.dtype.kind not in "iuf":
        raise DataError(f"{path} lacks '/points' (2, pattern), the positions of NSLS-II. Write them there.")
    x, y = points.astype(np.float64) * 1e-6
    note = "positions are micrometres, first x; --swap-xy, --negate-x and --negate-y state another."
    return PositionPart((path,), x, y, in_metres=True, notes=(note,))


def _is_in_corner(source: ArraySource) -> bool:
    """Compare what the quarter around the centre of the first patterns holds with that around the corners."""
    piece = next(source.pieces(), np.zeros((1, 2, 2)))
    mean = np.nan_to_num(np.square(piece.astype(np.float64)).mean(axis=0))
    rows, columns = (slice(length // 4, length - length // 4) for length in mean.shape)
    return bool(np.fft.fftshift(mean)[rows, columns].sum() > mean[rows, columns].sum())
