"""Whether patterns are photon counts or amplitudes: said by the caller or the file, or seen in the values."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float32Array
from ptychopinn_backend.data.scaling import IN_CACHE_ELEMENTS, counts_to_amplitudes, pattern_slices
from ptychopinn_backend.errors import DataError

logger = logging.getLogger(__name__)

COUNTS: Final = "counts"
AMPLITUDES: Final = "amplitudes"
_NAMES: Final = {
    "counts": COUNTS,
    "count_intensity": COUNTS,
    "amplitudes": AMPLITUDES,
    "normalized_amplitude": AMPLITUDES,
}
# Squares of float32 amplitudes are off by about 1.2e-7 of their value; above 1e5 that no longer tells
# whole numbers from others.
_RELATIVE_ERROR: Final = 5e-7
_LARGEST_TELLING_SQUARE: Final = 1e5


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
        measurement: 'counts', 'amplitudes' or None.
        metadata: of the file; its keys measurement and measurement_domain are looked at.
        good_pixels: (N, N); only these pixels are looked at. None means all.

    Returns:
        'counts' or 'amplitudes'.

    Raises:
        DataError: the argument or the metadata name something else.
    """
    stated = stated_measurement(measurement, metadata)
    return stated or seen_measurement((patterns[piece] for piece in pattern_slices(patterns)), good_pixels)


def stated_measurement(measurement: str | None, metadata: Mapping[str, Any]) -> str | None:
    """Return what patterns are said to be: the argument decides, then the metadata.

    Args:
        measurement: 'counts', 'amplitudes' or None.
        metadata: of the file; its keys measurement and measurement_domain are looked at.

    Returns:
        'counts' or 'amplitudes'; None when nothing is said.

    Raises:
        DataError: the argument or the metadata name something else.
    """
    if measurement is not None:
        return measurement_name(measurement, "measurement")
    for key in ("measurement", "measurement_domain"):
        if metadata.get(key) is not None:
            return measurement_name(metadata[key], f"{key} in _metadata")
    return None


def seen_measurement(pieces: Iterable[AnyArray], good_pixels: BoolArray | None) -> str:
    """Return what the values of patterns look like.

    Args:
        pieces: (pattern, N, N) each, real, finite, not negative at good pixels; together all patterns.
        good_pixels: (N, N); only these pixels are looked at. None means all.

    Returns:
        'counts' or 'amplitudes'; amplitudes, with one warning, when they look like neither.
    """
    found = _look_at_values(pieces, good_pixels)
    if found is None:
        warnings.warn(
            "The patterns are neither whole numbers (counts) nor square roots of them (amplitudes); they are taken as "
            "amplitudes. Say measurement='counts' or measurement='amplitudes' to be sure.",
            UserWarning,
            stacklevel=2,
        )
        return AMPLITUDES
    logger.info("Patterns look like %s.", found)
    return found


def to_amplitudes(
    patterns: AnyArray, measurement: str, good_pixels: BoolArray | None, out: Float32Array | None = None
) -> Float32Array:
    """Return patterns as float32 amplitudes, zero at bad pixels.

    Args:
        patterns: (pattern, N, N).
        measurement: 'counts' or 'amplitudes'.
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
