"""Photon counts, amplitudes and the factors between them; sums in float64, in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float32Array, Float64Array, FloatArray, IntArray
from ptychopinn_backend.errors import DataError

IN_CACHE_ELEMENTS: Final = 2**18
"""Values of which a few arrays stay in a processor's cache."""
_PIECE_ELEMENTS: Final = 2**21
_WIDEST_INTEGER: Final = 8
"""Bytes."""
_LOOKED_AT: Final = 64
"""Patterns, spread over the scan, that tell how strong the noise of counting is."""


def pattern_slices(patterns: AnyArray, elements: int = _PIECE_ELEMENTS) -> Iterator[slice]:
    """Yield slices of the first axis that together cover it, each of a few million values.

    Args:
        patterns: any array with at least one axis; may be memory-mapped.
        elements: values of a slice at most, where one pattern has no more.

    Yields:
        Consecutive slices.
    """
    values_each = max(1, math.prod(patterns.shape[1:]))
    step = max(1, elements // values_each)
    for start in range(0, len(patterns), step):
        yield slice(start, min(start + step, len(patterns)))


def counts_to_amplitudes(
    counts: AnyArray, good_pixels: BoolArray | None = None, out: Float32Array | None = None
) -> Float32Array:
    """Return the square root of photon counts.

    Args:
        counts: (pattern, N, N) of any real type, not negative; integers do not overflow.
        good_pixels: (N, N); pixels that are False become 0. None keeps all.
        out: zeros of the same shape that take the amplitudes; None takes new memory.

    Returns:
        Amplitudes (pattern, N, N).
    """
    amplitudes = np.zeros(counts.shape, np.float32) if out is None else out
    # The root of a number that float32 holds exactly is the same taken in float32.
    exact = np.float32 if np.can_cast(counts.dtype, np.float32) else np.float64
    for piece in pattern_slices(counts):
        good = counts[piece] if good_pixels is None else without_bad_pixels(counts[piece], good_pixels)
        np.sqrt(good, out=amplitudes[piece], dtype=exact, casting="same_kind")
    return amplitudes


def without_bad_pixels(patterns: AnyArray, good_pixels: BoolArray) -> AnyArray:
    """Return patterns that are 0 at bad pixels, whatever stands there, NaN for example.

    Args:
        patterns: (pattern, N, N), real numbers.
        good_pixels: (N, N).

    Returns:
        New memory, same type.
    """
    bits = f"u{patterns.dtype.itemsize}"
    if patterns.dtype.itemsize > _WIDEST_INTEGER:
        return np.where(good_pixels, patterns, patterns.dtype.type(0))
    # All bits of a number or none: several times as fast as a choice between numbers.
    mask = np.where(good_pixels, np.iinfo(bits).max, 0).astype(bits)
    return np.asarray((patterns.view(bits) & mask).view(patterns.dtype))


def count_photons(amplitudes: FloatArray) -> Float64Array:
    """Return the photons of every pattern: the sum of squared amplitudes over its pixels.

    Args:
        amplitudes: (pattern, N, N) or (group, N, N, channel); may be memory-mapped.

    Returns:
        Counts (pattern,) or (group, channel).
    """
    counts = np.empty((amplitudes.shape[0], *amplitudes.shape[3:]), np.float64)
    for piece in pattern_slices(amplitudes):
        values = amplitudes[piece].astype(np.float64)
        counts[piece] = np.einsum("pij...,pij...->p...", values, values)
    return counts


def factor_from_photons(photons: Float64Array, N: int) -> float:
    """Return the factor that brings amplitudes to a mean of (N/2)^2 photons per pattern.

    Args:
        photons: measured photons of every pattern that counts in the mean, any shape.
        N: pattern side in pixels.

    Returns:
        sqrt((N/2)^2 / mean photons).

    Raises:
        DataError: there are no photons at all.
    """
    mean = float(np.mean(photons))
    if not mean > 0:
        raise DataError(
            f"The patterns hold {mean:g} photons on average; normalisation needs some. "
            "Check the patterns and bad_pixels."
        )
    return (N / 2) / math.sqrt(mean)


def normalisation_factor(amplitudes: FloatArray, N: int) -> float:
    """Return the factor from measured to normalised amplitudes (specs/data.md, Normalisation).

    Args:
        amplitudes: (pattern, N, N) or (group, N, N, channel).
        N: pattern side in pixels.

    Returns:
        sqrt((N/2)^2 / mean over patterns of the sum of squares).

    Raises:
        DataError: every amplitude is zero.
    """
    return factor_from_photons(count_photons(amplitudes), N)


def default_intensity_scale(nphotons: float, N: int) -> float:
    """Return the factor from normalised amplitudes to amplitudes of `nphotons` photons per pattern.

    Args:
        nphotons: expected photons of a pattern.
        N: pattern side in pixels.

    Returns:
        sqrt(nphotons) / (N/2).
    """
    return math.sqrt(nphotons) / (N / 2)


class _Rows(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: IntArray, /) -> AnyArray: ...


def counts_in_light(amplitudes: _Rows, bad_pixels: BoolArray | None = None) -> float | None:
    """Return the mean counts of a pixel as a photon meets it, sum n (n - 1) / sum n over some of the patterns.

    Of Poisson counts n it is the mean rate, weighted by the rate itself: below about ten, noise rules the pattern.

    Args:
        amplitudes: square roots of the counts (pattern, N, N), an array or a file that is read by rows.
        bad_pixels: detector pixels to leave out (N, N), or None.

    Returns:
        The mean; None where the squares are no whole numbers or all 0.
    """
    n_patterns = amplitudes.shape[0]
    rows = np.linspace(0, n_patterns - 1, min(n_patterns, _LOOKED_AT)).astype(np.intp)
    counts = np.square(amplitudes[rows].astype(np.float64))
    if bad_pixels is not None:
        counts = counts[:, ~bad_pixels]
    whole = np.rint(counts)
    # Amplitudes are float32, so that a count comes back to within a few parts in ten million.
    if not np.all(np.abs(counts - whole) <= 0.01 + 1e-6 * whole) or whole.sum() == 0:
        return None
    return float(np.sum(whole * (whole - 1)) / whole.sum())
