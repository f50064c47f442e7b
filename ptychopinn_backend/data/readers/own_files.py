"""Scans under the names of specs/data.md: NPZ of this package and of PtychoPINN, and Ptychodus' training data.

NPZ files of PtychoPINN differ in small ways that are read here: a trailing axis of length 1, the grid cache (`Y_I`,
`Y_phi`, `coords_nominal`), and files of SLAC, whose positions are `xcoords_start` in metres.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.findings.layout import PATTERN_AXIS_KEY, is_axis_open, pattern_axis
from ptychopinn_backend.data.readers.array_source import ArraySource, NpzArray
from ptychopinn_backend.data.readers.content import Content
from ptychopinn_backend.data.readers.grid_cache import Flattened, PolarPatches, positions_of_groups
from ptychopinn_backend.data.readers.host_export import settled
from ptychopinn_backend.data.readers.parts import Instrument, OpenedScan
from ptychopinn_backend.data.readers.pixel_positions import oriented, positions_in_pixels
from ptychopinn_backend.data.scan_checks import parse_metadata
from ptychopinn_backend.data.training_hdf5 import (
    NAMES_IN_HDF5,
    hdf5_pattern_pieces,
    is_hdf5,
    pattern_stand_in,
    read_training_hdf5,
)
from ptychopinn_backend.errors import DataError, ScanWarning, nearest_name
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5
from ptychopinn_backend.files.npz import METADATA_KEY, member_names, read_npz

PATTERN_KEYS: Final = ("diffraction", "diff3d")
LABELS: Final = "Y"
SMALL_KEYS: Final = (
    "xcoords",
    "ycoords",
    "xcoords_start",
    "ycoords_start",
    "probeGuess",
    "objectGuess",
    "scan_index",
    "point_index",
    "bad_pixels",
    METADATA_KEY,
)
"""All of a scan file but patterns and labels."""
_GROUP_POSITIONS: Final = ("coords_true", "coords_nominal")
_FACTS: Final = {
    "photon_energy_eV": "energy_eV",
    "probe_energy_ev": "energy_eV",
    "detector_object_distance_m": "distance_m",
    "detector_distance_m": "distance_m",
    "detector_pixel_size_m": "detector_pixel_height_m",
    "object_pixel_height_m": "object_pixel_height_m",
    "object_pixel_width_m": "object_pixel_width_m",
}
"""Facts of an experiment, as arrays of one number or as metadata."""


def is_scan_npz(content: Content) -> bool:
    """Return whether an NPZ file holds patterns or positions under their names here."""
    return any(content.has_arrays(name) for name in (*PATTERN_KEYS, "xcoords"))


def is_training_hdf5(content: Content) -> bool:
    """Return whether a file is training data of Ptychodus."""
    return content.has("probe_position_x_px") or content.has("patterns", "probe_position_y_px")


def open_npz(path: Path, reading: Reading) -> OpenedScan:
    """Open an NPZ file.

    Args:
        path: the file.
        reading: what the user states.

    Returns:
        The scan.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: it is no NPZ, damaged, lacks a key, or its positions are metres and the pixel is not known.

    Warns:
        ScanWarning: it may be an export of Ptychodus, half a pixel lower.
    """
    names, notes = member_names(path), []
    members = read_npz(path, (*SMALL_KEYS, *_FACTS, "probe"))
    probe = members.pop("probe", None)
    groups = next((name for name in _GROUP_POSITIONS if name in names), None)
    if groups is not None and "xcoords" not in names:
        members.update(positions_of_groups(path, groups))
        members.setdefault("probeGuess", np.zeros(0) if probe is None else probe)
        notes.append("a grid cache; its groups become single scan points.")
    elif "xcoords" not in names and {"xcoords_start", "ycoords_start"} <= set(names):
        members.update(xcoords=members["xcoords_start"], ycoords=members["ycoords_start"])
        notes.append("lacks xcoords; the nominal positions xcoords_start are taken.")
    for key in ("xcoords", "ycoords"):
        if key not in members:
            refuse_missing_key(path, key)
    if members["probeGuess"].size == 0 if "probeGuess" in members else False:
        del members["probeGuess"]
    metadata = parse_metadata(members.pop(METADATA_KEY, None), path)
    exported = settled(path, names, members)
    if exported is not None:
        members, metadata = exported.members, {**metadata, **exported.metadata}
        if exported.is_open:
            warnings.warn(f"{path} {exported.note}", ScanWarning, stacklevel=2)
        else:
            notes.append(exported.note)
    patterns = _patterns(path, names, len(members["xcoords"]) if members["xcoords"].ndim else 0, metadata)
    instrument = _instrument(metadata, {name: members.pop(name) for name in _FACTS if name in members})
    members, told, decided = positions_in_pixels(members, instrument, reading, patterns.shape, path)
    notes += decided
    if all(name in names for name in PATTERN_KEYS):
        notes.append("holds 'diffraction' and 'diff3d'; 'diffraction' is read.")
    return OpenedScan(
        path,
        (path,),
        "npz",
        oriented(members, reading),
        {**metadata, **told},
        patterns,
        _labels(path, names),
        tuple(notes),
    )


def open_training_hdf5(path: Path, reading: Reading) -> OpenedScan:
    """Open training data of Ptychodus.

    Args:
        path: the file.
        reading: what the user states.

    Returns:
        The scan.

    Raises:
        DataError: it is damaged, or lacks a data set.
    """
    members = read_training_hdf5(path, patterns=False)
    metadata = parse_metadata(members.pop(METADATA_KEY, None), path)
    patterns = _TrainingPatterns(path, pattern_stand_in(path))
    members, told, notes = positions_in_pixels(members, _instrument(metadata, {}), reading, patterns.shape, path)
    return OpenedScan(
        path,
        (path,),
        "ptychodus-training",
        oriented(members, reading),
        {**metadata, **told},
        patterns,
        notes=tuple(notes),
        names=NAMES_IN_HDF5,
    )


def open_unknown(path: Path, reading: Reading) -> OpenedScan:
    """Open a file that looks like no format: it is taken for an NPZ, whose reader says what is wrong with it.

    Args:
        path: the file.
        reading: what the user states.

    Returns:
        The scan, should it be one.

    Raises:
        DataError: as a rule.
    """
    if is_hdf5(path):
        with LinkedHdf5(path) as file:
            held = ", ".join(file.keys("/")[:20]) or "nothing"
        raise DataError(
            f"{path} is HDF5 of no known format: it lacks 'patterns' and holds {held}. 'ptychopinn formats' lists what "
            "is read; state one with --reader, or write the scan as NPZ."
        )
    return open_npz(path, reading)


def refuse_missing_key(path: Path, key: str) -> NoReturn:
    """Raise because an NPZ file lacks a key.

    Args:
        path: the file.
        key: what it lacks.

    Raises:
        DataError: names what the file holds instead.
    """
    names = member_names(path)
    wanted = " or ".join(f"'{name}'" for name in (PATTERN_KEYS if key in PATTERN_KEYS else (key,)))
    raise DataError(
        f"{path} lacks {wanted}; it holds {', '.join(names) or 'nothing'}.{nearest_name(key, names)} "
        "Add it under that name."
    )


def _patterns(path: Path, names: list[str], n_points: int, metadata: dict[str, Any]) -> ArraySource:
    key = next((key for key in PATTERN_KEYS if key in names), PATTERN_KEYS[0])
    found = NpzArray.find(path, key, n_points)
    if found is None:
        refuse_missing_key(path, key)
    axis = metadata.get(PATTERN_AXIS_KEY)
    if is_axis_open(found.shape, n_points, metadata) and found.dtype.kind in "iuf":
        # Only the values tell; a cube of equal sides is small.
        axis = pattern_axis(read_npz(path, [key])[key])
    if axis in (0, 2):
        metadata[PATTERN_AXIS_KEY] = 0
        if axis == 2 and len(found.shape) == 3 and found.header.shape[2] == n_points:
            return replace(found, patterns_last=True)
    return Flattened(found) if len(found.shape) == 4 and found.shape[0] * found.shape[3] == n_points else found


def _labels(path: Path, names: list[str]) -> ArraySource | None:
    if LABELS in names:
        return NpzArray.find(path, LABELS)
    amplitude, phase = (NpzArray.find(path, key) if key in names else None for key in ("Y_I", "Y_phi"))
    return None if amplitude is None or phase is None else PolarPatches(amplitude, phase)


def _instrument(metadata: dict[str, Any], arrays: dict[str, AnyArray]) -> Instrument:
    facts: dict[str, float] = {}
    for name, meaning in _FACTS.items():
        value = arrays.get(name, metadata.get(name))
        if value is not None and np.size(value) == 1 and np.asarray(value).dtype.kind in "iuf":
            number = float(np.asarray(value).reshape(-1)[0])
            if np.isfinite(number) and number > 0:
                facts.setdefault(meaning, number)
    return Instrument(**facts, detector_pixel_width_m=facts.get("detector_pixel_height_m"))


@dataclass(frozen=True, eq=False)
class _TrainingPatterns:
    path: Path
    stand_in: AnyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stand_in.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.stand_in.dtype

    def pieces(self) -> Iterator[AnyArray]:
        yield from hdf5_pattern_pieces(self.path)
