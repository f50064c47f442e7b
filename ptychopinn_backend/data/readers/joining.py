"""From patterns and positions to one scan: pairing by index, metres to object pixels, and what was decided, said."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float64Array, IntArray
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.readers.array_source import ArraySource, SomeRows
from ptychopinn_backend.data.readers.parts import OpenedScan, PatternPart, PositionPart
from ptychopinn_backend.data.readers.pixel_positions import (
    described,
    oriented,
    require_pixels,
    stated_instrument,
    to_pixels,
    turned,
    with_object_pixel,
)
from ptychopinn_backend.errors import DataError, ScanWarning

_INVENTED: Final = 0.1
"""Part of the patterns whose positions are interpolated from which on that is no matter of a few lost readings."""


def join(patterns: PatternPart, positions: PositionPart, reading: Reading, path: Path, format_name: str) -> OpenedScan:
    """Pair patterns with positions and bring the positions into object pixels.

    Pairing is that of Ptychodus: the patterns' numbers rule; positions of the same number are averaged, positions
    between numbers are interpolated, and patterns outside the range of positions are left out.

    Args:
        patterns: one half.
        positions: the other.
        reading: what the user states; it wins.
        path: names the scan.
        format_name: what it was read as.

    Returns:
        The scan.

    Raises:
        DataError: nothing pairs, or metres cannot become pixels.
    """
    told = stated_instrument(reading).completed_by(positions.instrument).completed_by(patterns.instrument)
    paired = _paired(patterns, positions, path)
    x, y, kept = paired.x, paired.y, paired.kept
    source: ArraySource = patterns.patterns if kept is None or kept.all() else SomeRows(patterns.patterns, kept)
    notes = [*patterns.notes, *positions.notes, *paired.notes]
    centre = positions.object_centre_m
    if reading.rotate_deg:
        x, y = turned(x, y, reading.rotate_deg)
    if reading.swap_xy:  # in the unit of the file: the sides of an object pixel may differ
        x, y = y, x
        centre = None if centre is None else (centre[1], centre[0])
    if positions.in_metres:
        shape = patterns.patterns.shape
        told, note = with_object_pixel(told, reading, shape, path)
        x, y = to_pixels(x, y, told, shape, positions.object_guess, centre)
        notes.append(note)
    elif reading.pixel_size_m is not None:
        raise DataError(f"{path} has its positions in pixels; --pixel-size is for metres. Leave it out.")
    members: dict[str, AnyArray] = {"xcoords": x, "ycoords": y}
    require_pixels(x, y, path)
    optional = {
        "probeGuess": positions.probe,
        "objectGuess": positions.object_guess,
        "bad_pixels": patterns.bad_pixels,
    }
    members.update({name: values for name, values in optional.items() if values is not None})
    members = oriented(members, replace(reading, swap_xy=False, rotate_deg=0.0))
    files = tuple(dict.fromkeys((*patterns.files, *positions.files)))
    metadata = {**positions.described, **described(told), "measurement": patterns.measurement}
    return OpenedScan(path, files, format_name, members, metadata, source, notes=tuple(notes))


@dataclass(frozen=True, eq=False)
class _Paired:
    """A position for every pattern that has one."""

    x: Float64Array
    """(kept pattern,) in the unit of the file."""
    y: Float64Array
    """(kept pattern,)."""
    kept: BoolArray | None = None
    """(pattern,) which patterns have a position; None where they are paired in order."""
    notes: tuple[str, ...] = ()
    """What was done where numbers differ, a sentence each."""


def _paired(patterns: PatternPart, positions: PositionPart, path: Path) -> _Paired:
    x, y = (np.asarray(values, np.float64).reshape(-1) for values in (positions.x, positions.y))
    n_patterns = patterns.patterns.shape[0]
    if patterns.indexes is None and positions.indexes is None:
        return _Paired(x, y)
    wanted = np.arange(n_patterns) if patterns.indexes is None else np.asarray(patterns.indexes).reshape(-1)
    given = np.arange(len(x)) if positions.indexes is None else np.asarray(positions.indexes).reshape(-1)
    if len(wanted) != n_patterns or not len(x) == len(y) == len(given):
        raise DataError(
            f"{path}: {n_patterns} patterns with {len(wanted)} indexes, {len(x)} and {len(y)} positions with "
            f"{len(given)}; each needs one. Write the files again."
        )
    anchors, inverse = np.unique(given, return_inverse=True)
    kept = (wanted >= 0) & (len(anchors) > 0)
    if len(anchors):
        kept &= (wanted >= anchors[0]) & (wanted <= anchors[-1])
    if not kept.any():
        raise DataError(
            f"{path}: no pattern has a position; patterns are numbered {_span(wanted)} and positions {_span(given)}. "
            "Give the files that belong together."
        )
    counts = np.bincount(inverse)
    means = [np.bincount(inverse, weights=values) / counts for values in (x, y)]
    mean_x, mean_y = (np.interp(wanted[kept], anchors, mean) for mean in means)
    return _Paired(mean_x, mean_y, kept, _told(path, wanted, kept, anchors, counts))


def _told(path: Path, wanted: AnyArray, kept: BoolArray, anchors: AnyArray, counts: IntArray) -> tuple[str, ...]:
    """Say where numbers of patterns and positions differ; warn where many positions were not measured.

    Args:
        path: names the scan.
        wanted: numbers of the patterns (pattern,).
        kept: patterns within the range of positions (pattern,).
        anchors: numbers of the positions, each once (number,).
        counts: positions of each of these (number,).

    Returns:
        A sentence each.
    """
    notes = []
    if not kept.all():
        notes.append(f"{int((~kept).sum())} of {len(kept)} patterns have no position and are left out.")
    unused = int(counts[~np.isin(anchors, wanted)].sum())
    if unused:
        notes.append(f"{unused} of {int(counts.sum())} positions belong to no pattern.")
    repeated = int((counts > 1).sum())
    if repeated:
        numbers = "number has" if repeated == 1 else "numbers have"
        notes.append(f"{repeated} {numbers} several positions, which are averaged.")
    between = int((~np.isin(wanted[kept], anchors)).sum())
    if not between:
        return tuple(notes)
    told = f"{between} of {int(kept.sum())} patterns have a number that no position has; theirs is interpolated"
    if between <= _INVENTED * kept.sum():
        return (*notes, f"{told}.")
    warnings.warn(
        f"{path}: {told}, not measured. Save the positions of all patterns, or name the file that belongs to them with "
        "--positions.",
        ScanWarning,
        stacklevel=2,
    )
    return tuple(notes)


def _span(numbers: AnyArray) -> str:
    return f"{numbers.min()} to {numbers.max()}" if len(numbers) else "not at all"
