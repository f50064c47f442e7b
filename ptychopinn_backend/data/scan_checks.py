"""Checks that turn the arrays of a scan into the types the package works with; each bad input has its own error."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float64Array
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.findings.layout import PATTERN_AXIS_KEY
from ptychopinn_backend.data.scan_index import check_scan_index, scan_index_finding, scan_index_note
from ptychopinn_backend.data.value_checks import require_finite, require_kind
from ptychopinn_backend.errors import DataError, ScanWarning
from ptychopinn_backend.files.npz import METADATA_KEY
from ptychopinn_backend.physics.probe import as_mode_stack


def check_scan_facts(
    arrays: Mapping[str, AnyArray | None], metadata: Mapping[str, Any]
) -> tuple[dict[str, Any], AnyArray]:
    """Check all of a scan but the values of its patterns, and its labels.

    Args:
        arrays: by their names in the file format; optional ones may be missing or None. Of 'diffraction' only shape
            and type are looked at.
        metadata: of the scan; its key pattern_axis says which axis of a cube counts the patterns.

    Returns:
        The fields of `RawData` without the patterns and what follows from their values; and the patterns with the
        pattern axis first.

    Raises:
        DataError: an array breaks the contract of specs/data.md.
    """
    columns = check_positions("xcoords", arrays["xcoords"])
    n_patterns = len(columns)
    rows = check_positions("ycoords", arrays["ycoords"], n_patterns)
    start = {name: arrays.get(name) for name in ("xcoords_start", "ycoords_start")}
    given = [name for name, values in start.items() if values is not None]
    if len(given) == 1:
        raise DataError(f"{given[0]} is given alone; nominal positions need both axes. Give both or neither.")
    bad = check_bad_pixels(arrays.get("bad_pixels"))
    axis = metadata.get(PATTERN_AXIS_KEY)
    patterns = check_pattern_layout("diffraction", arrays["diffraction"], n_patterns, bad, axis)
    obj, unusable = check_object(arrays.get("objectGuess"))
    numbers, meaning = arrays.get("scan_index"), metadata.get("scan_index")
    index = check_scan_index(numbers, n_patterns, meaning, arrays.get("point_index"))
    found = (unusable, scan_index_finding(numbers, meaning, index["point_index"]))
    fields = {
        "xcoords": columns,
        "ycoords": rows,
        "probeGuess": check_probe(arrays.get("probeGuess"), patterns.shape[1]),
        **index,
        "objectGuess": obj,
        "bad_pixels": bad,
        **{name: check_positions(name, values, n_patterns) for name, values in start.items() if values is not None},
        "metadata": dict(metadata),
        "findings": tuple(finding for finding in found if finding is not None),
    }
    return fields, patterns


def check_positions(name: str, values: AnyArray | None, n_patterns: int | None = None) -> Float64Array:
    """Return scan positions along one axis.

    Args:
        name: key of the array in messages.
        values: (pattern,) real numbers, object pixels.
        n_patterns: length it must have; None accepts any.

    Returns:
        (pattern,) float64.

    Raises:
        DataError: wrong rank, not real, not finite, none at all, or a length that differs.
    """
    array = np.asarray(values)
    require_kind(name, array, "iuf", "real numbers")
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}; expected (pattern,), one number per scan point. Flatten it.")
    if n_patterns is not None and len(array) != n_patterns:
        raise DataError(f"{name} has {len(array)} values for {n_patterns} scan points. Give one per scan point.")
    if len(array) == 0:
        raise DataError(f"{name} is empty: the scan has zero positions. Give at least one scan point.")
    require_finite(name, array)
    return array.astype(np.float64)


def check_pattern_layout(
    name: str, values: AnyArray | None, n_positions: int, bad_pixels: BoolArray | None, axis: object = None
) -> AnyArray:
    """Return diffraction patterns with the pattern axis first, in their own type; values are not looked at.

    Args:
        name: key of the array in messages.
        values: (pattern, N, N), or (N, N, pattern) when only the last axis matches the number of positions.
        n_positions: number of scan positions.
        bad_pixels: (N, N), or None.
        axis: 2 where the last axis counts the patterns though the first has as many entries; None or 0 takes the first.

    Returns:
        (pattern, N, N); a view.

    Raises:
        DataError: wrong rank, not real, no patterns, counts that differ, not square, or a mask of another shape.
    """
    array = np.asarray(values)
    require_kind(name, array, "iuf", "real numbers (counts or amplitudes)")
    if array.ndim != 3:
        raise DataError(f"{name} has shape {array.shape}; expected (pattern, N, N), three axes. Reshape it.")
    if 0 in array.shape:
        raise DataError(f"{name} has shape {array.shape}: there are zero patterns. Give at least one.")
    if axis not in (None, 0, 2):
        raise DataError(
            f"{PATTERN_AXIS_KEY} = {axis!r} in _metadata is neither 0 nor 2 (first or last axis of {name}). Correct it."
        )
    if is_pattern_axis_last(array.shape, n_positions, axis):
        array = np.moveaxis(array, 2, 0)
    if len(array) != n_positions:
        raise DataError(
            f"{name} holds {len(array)} patterns for {n_positions} scan positions (shape {array.shape}). "
            "Give one position per pattern."
        )
    if array.shape[1] != array.shape[2]:
        raise DataError(
            f"{name} holds patterns of {array.shape[1]} x {array.shape[2]} pixels; they must be square. "
            "Crop or pad them."
        )
    if bad_pixels is not None and bad_pixels.shape != array.shape[1:]:
        raise DataError(
            f"bad_pixels has shape {bad_pixels.shape} for patterns of {array.shape[1:]}. Give one flag per pixel."
        )
    return array


def is_pattern_axis_last(shape: tuple[int, ...], n_positions: int, axis: object) -> bool:
    """Return whether the last axis of patterns counts them.

    Args:
        shape: three axes.
        n_positions: number of scan positions.
        axis: 0 or 2 where it is known.

    Returns:
        False where the first one does, or neither can.
    """
    return shape[2] == n_positions and (shape[0] != n_positions or axis == 2)


def check_bad_pixels(values: AnyArray | None) -> BoolArray | None:
    """Return the bad-pixel mask.

    Args:
        values: (N, N) of bool, or integers where 0 is good; None when all are good.

    Returns:
        (N, N) bool, True = bad; None when given None.

    Raises:
        DataError: wrong rank or type, or every pixel is bad.
    """
    if values is None:
        return None
    array = np.asarray(values)
    require_kind("bad_pixels", array, "biu", "flags (True = bad)")
    if array.ndim != 2:
        raise DataError(f"bad_pixels has shape {array.shape}; expected (N, N), one flag per pixel. Reshape it.")
    if array.all():
        raise DataError("bad_pixels marks every pixel as bad; True means bad. Invert the mask.")
    return array.astype(np.bool_)


def check_probe(values: AnyArray | None, N: int) -> Complex64Array | None:
    """Return the probe as a stack of modes.

    Args:
        values: (N, N), (mode, N, N), (N, N, mode) or (opr, mode, N, N), complex or real; None when there is none. Of a
            probe that varies over the scan the first set of modes is taken.
        N: pattern side in pixels.

    Returns:
        (mode, N, N) complex64, or None.

    Raises:
        DataError: wrong rank, no modes, a side that is not N, not finite, or without light.
    """
    if values is None:
        return None
    require_kind("probeGuess", np.asarray(values), "fciu", "complex numbers")
    stack = as_mode_stack(_modes_first(np.asarray(values), N))
    if stack.shape[1] != N:
        raise DataError(
            f"probeGuess has shape {values.shape} for patterns of {N} x {N} pixels; the sides must agree. "
            "Crop or pad the probe."
        )
    return stack


def _modes_first(probe: AnyArray, N: int) -> AnyArray:
    if probe.ndim in (3, 4) and probe.shape[:2] == (N, N) and probe.shape[-2:] != (N, N):
        probe = np.moveaxis(probe, (0, 1), (-2, -1))
        probe = probe if probe.ndim == 3 else np.swapaxes(probe, 0, 1)
    if probe.ndim == 4 and len(probe):
        probe = probe[0]
    return probe


def decisions(arrays: Mapping[str, AnyArray | None], fields: Mapping[str, Any]) -> list[str]:
    """Return what the checks of a scan decided, each a sentence with how to state it.

    Args:
        arrays: what was checked.
        fields: what became of it.

    Returns:
        The sentences.
    """
    probe = arrays.get("probeGuess")
    note = scan_index_note(arrays.get("scan_index"), fields["metadata"].get("scan_index"), fields["point_index"])
    found = [] if note is None else [note]
    if probe is not None and np.size(probe) > np.size(fields["probeGuess"]):
        found.append(f"the probe varies over the scan, shape {probe.shape}; its first set of modes is used everywhere.")
    return found


def check_object(values: AnyArray | None) -> tuple[Complex64Array | None, Finding | None]:
    """Return the object guess, which only labels and comparisons need.

    Args:
        values: (H, W) or (1, H, W), complex or real; None when there is none.

    Returns:
        (H, W) complex64, or None; and the finding where one is given that cannot be used.
    """
    if values is None:
        return None, None
    array = np.asarray(values)
    plane = array[0] if array.ndim == 3 and len(array) == 1 else array
    try:
        require_kind("objectGuess", plane, "fciu", "complex numbers")
        if plane.ndim != 2 or 0 in plane.shape:
            raise DataError(f"objectGuess has shape {array.shape}; expected (H, W), one object plane. Reshape it.")
        require_finite("objectGuess", plane)
    except DataError as error:
        problem, _, remedy = str(error).rpartition(". ")
        evidence = f"{problem}. It is left out, which matters to labels and comparisons only."
        return None, Finding("unusable-object", "object", "warning", evidence, remedy)
    return plane.astype(np.complex64), None


def check_label_patches(values: AnyArray | None, n_patterns: int, N: int) -> Complex64Array | None:
    """Return ground-truth patches.

    Args:
        values: (pattern, N, N) or (pattern, N, N, 1), complex; None when there are none.
        n_patterns: number of scan points.
        N: pattern side in pixels.

    Returns:
        (pattern, N, N) complex64, or None.

    Raises:
        DataError: wrong shape, not complex (the phase would be lost), or not finite.
    """
    if values is None:
        return None
    array = np.asarray(values)
    require_kind("Y", array, "c", "complex patches (the phase is part of them)")
    patches = array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array
    if patches.shape != (n_patterns, N, N):
        raise DataError(f"Y has shape {array.shape}; expected ({n_patterns}, {N}, {N}) = (pattern, N, N). Reshape it.")
    require_finite("Y", patches)
    return patches.astype(np.complex64, copy=False)


def parse_metadata(values: AnyArray | None, path: Path | None = None) -> dict[str, Any]:
    """Return the metadata of a file.

    Args:
        values: array holding one JSON text; None when there is none.
        path: the file, named in the warning.

    Returns:
        The mapping it describes; empty, with one warning, when it is not JSON text of a mapping.
    """
    if values is None:
        return {}
    try:
        text = np.asarray(values).reshape(-1)[0]
        parsed = json.loads(text.decode() if isinstance(text, bytes) else str(text))
    except (IndexError, ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    warnings.warn(
        f"{'' if path is None else f'{path}: '}'{METADATA_KEY}' is not JSON text of a mapping and was skipped. Store "
        "json.dumps(...) of a dict.",
        ScanWarning,
        stacklevel=2,
    )
    return {}
