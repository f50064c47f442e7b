"""Positions in pixels of the object: from metres, mirrored and swapped as stated, and refused in any other unit."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Float64Array
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.readers.parts import Instrument
from ptychopinn_backend.data.readers.units import PLANCK_TIMES_LIGHT_EV_M
from ptychopinn_backend.errors import DataError

FAR_BELOW_A_PIXEL: Final = 0.01
"""Positions whose whole extent is less than this are no pixels."""
LARGEST_EXTENT_PX: Final = 1e6
"""Positions that reach further are in another unit."""
_OPTIONS: Final = "--pixel-size, or with --energy, --distance and --detector-pixel"


def object_pixel_m(instrument: Instrument, shape: tuple[int, ...]) -> tuple[float, float] | None:
    """Return height and width of an object pixel: stated, or lambda z / (N d) of the far field.

    Args:
        instrument: what is known.
        shape: (pattern, row, column) of the patterns.

    Returns:
        Metres; None where too little is known.
    """
    if instrument.object_pixel_height_m is not None and instrument.object_pixel_width_m is not None:
        return instrument.object_pixel_height_m, instrument.object_pixel_width_m
    height, width = instrument.detector_pixel_height_m, instrument.detector_pixel_width_m
    known = (instrument.energy_eV, instrument.distance_m, height, width)
    if any(value is None or not value > 0 for value in known):
        return None
    wavelength_m = PLANCK_TIMES_LIGHT_EV_M / float(instrument.energy_eV or 0)
    reach = wavelength_m * float(instrument.distance_m or 0)
    return reach / (shape[-2] * float(height or 0)), reach / (shape[-1] * float(width or 0))


def stated_instrument(reading: Reading) -> Instrument:
    """Return what the user states of the experiment."""
    side, pixel = reading.detector_pixel_m, reading.pixel_size_m
    return Instrument(reading.energy_eV, reading.distance_m, side, side, pixel, pixel)


def with_object_pixel(told: Instrument, reading: Reading, shape: tuple[int, ...], path: Path) -> tuple[Instrument, str]:
    """Find the side of an object pixel, or say what lacks.

    Args:
        told: what is known of the experiment.
        reading: what the user states.
        shape: (pattern, row, column) of the patterns.
        path: the file.

    Returns:
        The experiment with the side of an object pixel, and a sentence that says where it is from.

    Raises:
        DataError: too little is known.
    """
    found = object_pixel_m(told, shape)
    if found is None:
        names = {
            "photon energy": told.energy_eV,
            "distance of the detector": told.distance_m,
            "detector pixel": told.detector_pixel_width_m,
        }
        missing = " and ".join(name for name, value in names.items() if value is None or not value > 0)
        raise DataError(
            f"{path} has its positions in metres and does not say the {missing}, so they cannot become pixels. Give "
            f"the side of an object pixel with {_OPTIONS}."
        )
    height, width = found
    how = "as stated" if reading.pixel_size_m is not None else "from the file"
    note = f"positions in metres became pixels of {width * 1e9:.4g} nm {how}; --pixel-size states another."
    return replace(told, object_pixel_height_m=height, object_pixel_width_m=width), note


def to_pixels(
    x: AnyArray,
    y: AnyArray,
    told: Instrument,
    shape: tuple[int, ...],
    object_guess: AnyArray | None = None,
    centre_m: tuple[float, float] | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Turn positions in metres into pixels.

    Args:
        x: (pattern,) metres.
        y: (pattern,) metres.
        told: with the sides of an object pixel.
        shape: (pattern, row, column) of the patterns.
        object_guess: (H, W); its pixel (0, 0) becomes the origin. None puts the outermost patterns at the origin.
        centre_m: x and y of the middle of the object; None takes the middle of the scan for it.

    Returns:
        x and y (pattern,) in object pixels.
    """
    has_object = object_guess is not None and object_guess.ndim == 2
    sides = (object_guess.shape[1], object_guess.shape[0]) if object_guess is not None and has_object else (None, None)
    pixels = (told.object_pixel_width_m or 1.0, told.object_pixel_height_m or 1.0)
    found = []
    for axis, values in enumerate((x.astype(np.float64), y.astype(np.float64))):
        low, high = _ends(values)
        side = sides[axis]
        if side is None:
            found.append((values - low) / pixels[axis] + shape[-1 - axis] / 2)
        else:
            origin = (low + high) / 2 if centre_m is None else centre_m[axis]
            found.append((values - origin) / pixels[axis] + side / 2)
    return found[0], found[1]


def described(instrument: Instrument) -> dict[str, Any]:
    """Return an instrument as the metadata of a scan."""
    names = {"energy_eV": "photon_energy_eV", "distance_m": "detector_object_distance_m"}
    values = {item.name: getattr(instrument, item.name) for item in fields(instrument)}
    return {names.get(name, name): value for name, value in values.items() if value is not None}


def extent_px(x: AnyArray, y: AnyArray) -> float:
    """Return the larger side of the box around positions; 0 where they are no finite numbers."""
    sides = []
    for values in (np.asarray(x), np.asarray(y)):
        if values.dtype.kind not in "iuf":
            return 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            finite = values[np.isfinite(values)].astype(np.float64)
            sides.append(float(np.ptp(finite)) if finite.size else 0.0)
    return max(sides)


def require_pixels(x: AnyArray, y: AnyArray, path: Path) -> None:
    """Refuse positions that are in another unit than pixels.

    Args:
        x: (pattern,) columns.
        y: (pattern,) rows.
        path: the file, for the message.

    Raises:
        DataError: they span far less than a pixel, or far more than any object.
    """
    extent = extent_px(x, y)
    if 0 < extent < FAR_BELOW_A_PIXEL:
        raise DataError(
            f"{path}: all positions lie within {extent:.3g} px; expected a scan of many pixels. They look like metres: "
            f"give the side of an object pixel with {_OPTIONS}."
        )
    if extent > LARGEST_EXTENT_PX:
        raise DataError(
            f"{path}: positions span {extent:.3g} px; expected less than {LARGEST_EXTENT_PX:.0e}. Check their unit, "
            f"and the side of an object pixel ({_OPTIONS})."
        )


def oriented(members: dict[str, AnyArray], reading: Reading) -> dict[str, AnyArray]:
    """Return the arrays of a scan with its positions turned, swapped and mirrored as stated.

    Args:
        members: with positions in pixels.
        reading: says which.

    Returns:
        The same arrays but positions; each axis is mirrored within the extent of the positions along it.
    """
    found = dict(members)
    for x, y in (("xcoords", "ycoords"), ("xcoords_start", "ycoords_start")):
        if reading.rotate_deg and x in found and y in found:
            found[x], found[y] = turned(found[x], found[y], reading.rotate_deg)
        if reading.swap_xy and x in found and y in found:
            found[x], found[y] = found[y], found[x]
    for axis, is_negated in (("xcoords", reading.negate_x), ("ycoords", reading.negate_y)):
        if is_negated and _are_numbers(found[axis]):
            ends = sum(_ends(found[axis]))
            names = [name for name in (axis, f"{axis}_start") if name in found and _are_numbers(found[name])]
            found.update({name: ends - found[name].astype(np.float64) for name in names})
    return found


def turned(x: AnyArray, y: AnyArray, angle_deg: float) -> tuple[AnyArray, AnyArray]:
    """Return positions turned about the middle of their extent.

    Args:
        x: (pattern,) columns.
        y: (pattern,) rows, in the same unit.
        angle_deg: from x towards y.

    Returns:
        x and y (pattern,); where either is no finite number, both are none.
    """
    if x.shape != y.shape or not _are_numbers(x) or not _are_numbers(y):
        return x, y
    known = np.isfinite(x) & np.isfinite(y)
    middle = sum(_ends(x[known])) / 2, sum(_ends(y[known])) / 2
    there = ((x[known] - middle[0]) + 1j * (y[known] - middle[1])) * np.exp(1j * np.deg2rad(angle_deg))
    turned_x, turned_y = (np.full(x.shape, np.nan) for _ in range(2))
    turned_x[known], turned_y[known] = there.real + middle[0], there.imag + middle[1]
    return turned_x, turned_y


def _are_numbers(values: AnyArray) -> bool:
    return values.dtype.kind in "iuf"


def _ends(values: AnyArray) -> tuple[float, float]:
    """Return the smallest and the largest finite number; 0 where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def positions_in_pixels(
    members: dict[str, AnyArray], instrument: Instrument, reading: Reading, shape: tuple[int, ...], path: Path
) -> tuple[dict[str, AnyArray], dict[str, Any], list[str]]:
    """Turn positions that are in metres into pixels; those that are pixels stay. Nominal ones alike.

    Positions are metres where all lie within a hundredth of a pixel. For others the side of a pixel is a mere fact.

    Args:
        members: arrays of a scan file.
        instrument: what the file says of the experiment.
        reading: what the user states.
        shape: (pattern, row, column) of the patterns.
        path: the file.

    Returns:
        The arrays, what was found of the experiment for the metadata, and what was decided.

    Raises:
        DataError: they are metres, and the side of a pixel is not known.
    """
    found: dict[str, AnyArray] = dict(members)
    notes: list[str] = []
    if len(shape) < 2:  # no patterns, which is said where they are checked
        return found, {}, notes
    x, y = found["xcoords"], found["ycoords"]
    told = stated_instrument(reading).completed_by(instrument)
    are_metres = 0 < extent_px(x, y) < FAR_BELOW_A_PIXEL
    if are_metres:
        told, note = with_object_pixel(told, reading, shape, path)
        found["xcoords"], found["ycoords"] = to_pixels(x, y, told, shape, found.get("objectGuess"))
        notes.append(note)
    elif object_pixel_m(told, shape) is not None:
        told, _ = with_object_pixel(told, reading, shape, path)
    if reading.pixel_size_m is not None and not are_metres:
        notes.append("positions are pixels already and stay so; --pixel-size says how large these are.")
    nominal = {"xcoords": found.get("xcoords_start"), "ycoords": found.get("ycoords_start")}
    if all(values is not None for values in nominal.values()):
        notes += _nominal_in_pixels(found, {"xcoords": x, "ycoords": y}, told)
    require_pixels(found["xcoords"], found["ycoords"], path)
    return found, described(told), notes


def _nominal_in_pixels(found: dict[str, AnyArray], as_read: dict[str, AnyArray], told: Instrument) -> list[str]:
    """Bring nominal positions in metres into the frame of the others, or leave them out."""
    if not 0 < extent_px(found["xcoords_start"], found["ycoords_start"]) < FAR_BELOW_A_PIXEL:
        return []
    for axis, pixel in (("xcoords", told.object_pixel_width_m), ("ycoords", told.object_pixel_height_m)):
        metres = found.pop(f"{axis}_start")
        if pixel is not None:
            # Both in metres have one origin; else the two sets of positions are laid upon each other.
            was_metres = found[axis] is not as_read[axis]
            origin = as_read[axis] / pixel if was_metres else metres / pixel
            found[f"{axis}_start"] = metres / pixel + (_mean(found[axis]) - _mean(origin))
    known = told.object_pixel_width_m is not None
    became = "became pixels" if known else "are left out; --pixel-size makes pixels of them"
    return [f"nominal positions are in metres and {became}."]


def _mean(values: AnyArray) -> float:
    """Return the mean of the finite numbers; 0 where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else 0.0
