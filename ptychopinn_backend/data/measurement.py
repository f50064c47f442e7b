"""Whether patterns are photon counts or amplitudes: said by the caller or the file, or seen in the values."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float32Array
from ptychopinn_backend.data.decisions import tell
from ptychopinn_backend.data.scaling import IN_CACHE_ELEMENTS, counts_to_amplitudes, pattern_slices
from ptychopinn_backend.errors import DataError

COUNTS: Final = "counts"
AMPLITUDES: Final = "amplitudes"
NORMALISED: Final = "normalised"
"""Amplitudes divided by a number that is not known, with a known mean of photons."""
_NAMES: Final = {
    "counts": COUNTS,
    "count_intensity": COUNTS,
    "amplitudes": AMPLITUDES,
    "normalized_amplitude": AMPLITUDES,
}
NORMALISED_DOMAIN: Final = "normalized_amplitude"
"""What the PyTorch options call amplitudes that are normalised."""
STATED_PHOTONS: Final = "nphotons_of_patterns"
"""Key of metadata that says that the user states nphotons of these patterns."""
# Squares of float32 amplitudes are off by about 1.2e-7 of their value; above 1e5 that no longer tells
# whole numbers from others.
_RELATIVE_ERROR: Final = 5e-7
_LARGEST_TELLING_SQUARE: Final = 1e5
_NESTED: Final = 3
"""Levels of mappings within metadata that are looked through."""


def measurement_name(value: Any, where: str) -> str:
    """Return 'counts' or 'amplitudes' for one of their accepted names.

    Args:
        value: counts, amplitudes, or the PyTorch names count_intensity, normalized_amplitude.
        where: what the message calls the value.

    Returns:
        'counts' or 'amplitudes'.

    Raises:
        DataError: any other value.
    """
    if not isinstance(value, str) or value not in _NAMES:
        raise DataError(f"{where} = {value!r} is neither 'counts' nor 'amplitudes'. Say which of the two patterns are.")
    return _NAMES[value]


def decide_measurement(
    patterns: AnyArray, measurement: str | None, metadata: Mapping[str, Any], good_pixels: BoolArray | None
) -> str:
    """Return what the patterns are: the argument decides, then the metadata, then the values.

    Args:
        patterns: (pattern, N, N), real, finite, not negative at good pixels.
        measurement: a name of `measurement_name`, or None.
        metadata: of the file; its keys measurement, measurement_domain and nphotons are looked at.
        good_pixels: (N, N); only these pixels are looked at. None means all.

    Returns:
        'counts', 'amplitudes' or 'normalised'.

    Raises:
        DataError: the argument or the metadata name something else.
    """
    stated = stated_measurement(measurement, metadata)
    pieces = (patterns[piece] for piece in pattern_slices(patterns))
    return stated or seen_measurement(pieces, good_pixels, measurement, metadata)


def stated_measurement(measurement: str | None, metadata: Mapping[str, Any]) -> str | None:
    """Return what patterns are said to be: the argument decides, then the metadata.

    Args:
        measurement: a name of `measurement_name`, or None.
        metadata: of the file; its keys measurement, measurement_domain and nphotons are looked at.

    Returns:
        'counts' or 'amplitudes'; 'normalised' for amplitudes that are said to be normalised and whose photons are
        known. None when nothing is said, or when the values must tell whether amplitudes of known photons are
        normalised.

    Raises:
        DataError: the argument or the metadata name something else.
    """
    said = _said(measurement, metadata)
    if said != AMPLITUDES:
        return said
    of_file = metadata.get("measurement")
    domain = _anywhere(metadata, "measurement_domain") if of_file is None else of_file
    is_normalised, are_photons_known = NORMALISED_DOMAIN in (measurement, domain), stated_photons(metadata) is not None
    if is_normalised and not are_photons_known:
        warnings.warn(
            "The patterns are said to be normalised, and nothing tells their photons; they are taken as amplitudes. "
            "Say nphotons, the mean photons of a pattern, in _metadata or with --nphotons.",
            UserWarning,
            stacklevel=3,
        )
    if is_normalised or not are_photons_known:
        return NORMALISED if are_photons_known else said
    # A file that names its unit, as those of this package do, may tell an nphotons that is not that of its patterns.
    is_open = of_file is None or metadata.get(STATED_PHOTONS) is not None
    return None if is_open else said


def _said(measurement: str | None, metadata: Mapping[str, Any]) -> str | None:
    """Return 'counts' or 'amplitudes' as the argument says, then the metadata; None where neither does."""
    if measurement is not None:
        return measurement_name(measurement, "measurement")
    for key, value in (
        ("measurement", metadata.get("measurement")),
        ("measurement_domain", _anywhere(metadata, "measurement_domain")),
    ):
        if value is not None:
            return measurement_name(value, f"{key} in _metadata")
    return None


def stated_photons(metadata: Mapping[str, Any]) -> float | None:
    """Return the mean photons of a pattern that metadata state; None where they state no number above 0."""
    value = _anywhere(metadata, "nphotons")
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if value is not None and is_number else None


def _anywhere(metadata: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, also from mappings within, where these agree; None otherwise."""
    if metadata.get(key) is not None:
        return metadata[key]
    found: list[Any] = []
    level: list[Mapping[str, Any]] = [metadata]
    for _ in range(_NESTED):
        level = [inner for outer in level for inner in outer.values() if isinstance(inner, Mapping)]
        found += [inner[key] for inner in level if inner.get(key) is not None]
    return found[0] if found and all(value == found[0] for value in found) else None


def restoring_factor(metadata: Mapping[str, Any], mean_photons: float) -> float:
    """Return the factor that brings normalised amplitudes to the photons that metadata state.

    Args:
        metadata: of the file, with nphotons.
        mean_photons: mean over patterns of the sum of squared amplitudes, as they are in the file.

    Returns:
        sqrt(nphotons / mean photons); 1 where either is not known.
    """
    wanted = stated_photons(metadata)
    return math.sqrt(wanted / mean_photons) if wanted is not None and mean_photons > 0 else 1.0


def seen_measurement(
    pieces: Iterable[AnyArray],
    good_pixels: BoolArray | None,
    measurement: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Return what the values of patterns look like, where `stated_measurement` leaves it to them.

    Args:
        pieces: (pattern, N, N) each, real, finite, not negative at good pixels; together all patterns.
        good_pixels: (N, N); only these pixels are looked at. None means all.
        measurement: what the user says they are; None says nothing.
        metadata: of the file.

    Returns:
        'counts' or 'amplitudes'. When they look like neither: 'normalised' where the photons are known, else
        'amplitudes' with one warning.
    """
    told = metadata or {}
    nphotons, are_amplitudes = stated_photons(told), _said(measurement, told) == AMPLITUDES
    found = _look_at_values(pieces, good_pixels)
    if found is None and nphotons is not None:
        tell(
            [
                f"Patterns look like amplitudes divided by some number; they are brought to nphotons = {nphotons:.6g} "
                "photons on average. --measurement states what else they are, --nphotons another mean."
            ]
        )
        return NORMALISED
    if are_amplitudes:
        return AMPLITUDES
    if found is None:
        warnings.warn(
            "The patterns are neither whole numbers (counts) nor square roots of them (amplitudes); they are taken as "
            "amplitudes. Say measurement='counts' or measurement='amplitudes' to be sure, and nphotons, the mean "
            "photons of a pattern, where they are amplitudes divided by some number.",
            UserWarning,
            stacklevel=2,
        )
        return AMPLITUDES
    tell([f"Patterns look like {found}; --measurement states the other."])
    return found


def to_amplitudes(
    patterns: AnyArray, measurement: str, good_pixels: BoolArray | None, out: Float32Array | None = None
) -> Float32Array:
    """Return patterns as float32 amplitudes, zero at bad pixels.

    Args:
        patterns: (pattern, N, N).
        measurement: 'counts', 'amplitudes' or 'normalised'; the last are returned as they are.
        good_pixels: (N, N), or None when all are good.
        out: zeros of the same shape that take the amplitudes of counts; None takes new memory.

    Returns:
        (pattern, N, N); not a copy when the input already is float32 amplitudes without bad pixels.
    """
    if measurement == COUNTS:
        return counts_to_amplitudes(patterns, good_pixels, out)
    if good_pixels is None:
        return np.asarray(patterns, np.float32)
    amplitudes = np.array(patterns, np.float32)
    amplitudes[:, ~good_pixels] = 0
    return amplitudes


def _look_at_values(pieces: Iterable[AnyArray], good_pixels: BoolArray | None) -> str | None:
    could_be_counts = could_be_roots = True
    above_one = told = False
    for piece in pieces:
        values = piece if good_pixels is None else piece[:, good_pixels]
        # Whole numbers are roots of whole numbers too.
        is_whole = values.dtype.kind in "bui" or bool((values == np.rint(values)).all())
        could_be_counts = could_be_counts and is_whole
        could_be_roots = could_be_roots and (is_whole or _are_roots(values))
        above_one = above_one or bool((values > 1).any())
        told = told or _is_telling(values)
        if not could_be_counts and not could_be_roots:
            return None
    if could_be_counts:
        return COUNTS if above_one else AMPLITUDES
    return AMPLITUDES if could_be_roots and told else None


def _are_roots(values: AnyArray) -> bool:
    """Return whether the values are square roots of whole numbers, as far as they can tell."""
    for some in pattern_slices(values, IN_CACHE_ELEMENTS):
        squares = np.square(values[some], dtype=np.float64)
        off = np.abs(squares - np.rint(squares))
        if not ((off <= _RELATIVE_ERROR * squares) | (squares >= _LARGEST_TELLING_SQUARE)).all():
            return False
    return True


def _is_telling(values: AnyArray) -> bool:
    squares = np.square(values, dtype=np.float64)
    return bool(((squares > 0) & (squares < _LARGEST_TELLING_SQUARE)).any())
