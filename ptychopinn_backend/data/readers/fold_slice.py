"""Scans of fold_slice and PtychoShelves: patterns in `*_dp.hdf5`, positions and geometry in `*_para.hdf5`.

`/dp` holds counts, `/ppX` and `/ppY` positions, `/dx` the side of an object pixel, `/lambda` the wavelength. Positions
divided by `/dx` are pixels in whatever unit both are, metres for X-rays, angstrom for electrons.
"""

from __future__ import annotations

from pathlib import Path

from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.readers.array_source import Hdf5Array
from ptychopinn_backend.data.readers.content import Content
from ptychopinn_backend.data.readers.parts import Instrument, PatternPart, PositionPart
from ptychopinn_backend.data.readers.units import energy_of_wavelength
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5

_LARGEST_PIXEL_M = 1e-5


def holds_patterns(content: Content) -> bool:
    """Return whether a file is a `_dp.hdf5`."""
    return content.has("dp")


def holds_positions(content: Content) -> bool:
    """Return whether a file is a `_para.hdf5`."""
    return content.has("ppX", "ppY")


def read_patterns(path: Path, reading: Reading) -> PatternPart:
    """Read patterns.

    Args:
        path: `*_dp.hdf5`.
        reading: not needed here.

    Returns:
        Counts.

    Raises:
        DataError: the file is damaged or lacks them.
    """
    with LinkedHdf5(path) as file:
        source = Hdf5Array.find(file, "dp")
        files = tuple(file.linked_files())
    if source is None:
        raise DataError(f"{path} lacks '/dp', the patterns of fold_slice. Write them there.")
    return PatternPart(files, source, COUNTS)


def read_positions(path: Path, reading: Reading) -> PositionPart:
    """Read positions.

    Args:
        path: `*_para.hdf5`.
        reading: `pixel_size_m` replaces the file's `/dx`.

    Returns:
        Positions, in pixels where the file has `/dx`.

    Raises:
        DataError: the file is damaged or lacks them.
    """
    with LinkedHdf5(path) as file:
        x, y = file.array("ppX"), file.array("ppY")
        side, wavelength = file.number("dx"), file.number("lambda")
    if x is None or y is None:
        raise DataError(f"{path} lacks '/ppX' or '/ppY', the positions of fold_slice. Write them there.")
    note = "ppX runs along columns and ppY along rows; --swap-xy, --negate-x and --negate-y state another."
    energy = energy_of_wavelength(wavelength[0]) if wavelength and wavelength[0] < _LARGEST_PIXEL_M else None
    x, y = x.reshape(-1), y.reshape(-1)
    if side is None or side[0] <= 0 or reading.pixel_size_m is not None:
        return PositionPart((path,), x, y, in_metres=True, instrument=Instrument(energy), notes=(note,))
    if side[0] < _LARGEST_PIXEL_M:
        instrument = Instrument(energy, object_pixel_height_m=side[0], object_pixel_width_m=side[0])
        return PositionPart((path,), x, y, in_metres=True, instrument=instrument, notes=(note,))
    note = f"{note} Positions and the object pixel of {side[0]:.4g} are taken in the same unit."
    return PositionPart((path,), x / side[0], y / side[0], in_metres=False, notes=(note,))
