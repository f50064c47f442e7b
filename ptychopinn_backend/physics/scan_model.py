"""Diffraction of a whole object in a scan: the counts that an object and a probe predict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array, FloatArray, IntArray
from ptychopinn_backend.physics.far_field import exit_waves, far_field_intensity
from ptychopinn_backend.physics.object_patches import extract_patches, window_corners

Interpolation: TypeAlias = Literal["bilinear", "fourier"]

_BATCH_BYTES: Final = 1 << 23
_WRAP_MARGIN_PX: Final = 16


def scan_intensities(
    obj: Complex64Array,
    origin_rc: tuple[float, float],
    probe: Complex64Array,
    positions_xy: FloatArray,
    interpolation: Interpolation = "bilinear",
) -> Float32Array:
    """Return the intensity sum over modes of |F(P_m * patch)|^2 at every scan position.

    Args:
        obj: the object (row, column).
        origin_rc: place of scan coordinate (0, 0) in `obj` (row, column), pixels.
        probe: probe (mode, N, N), with sum |P|^2 in counts.
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        interpolation: method to read patches between pixels. 'bilinear' is the model of this package. 'fourier' keeps
            the finest detail, as most iterative codes do.

    Returns:
        Counts (pattern, N, N), zero frequency at the array centre.
    """
    cut = extract_patches if interpolation == "bilinear" else _fourier_patches
    patches = cut(obj, origin_rc, positions_xy, probe.shape[-1])
    return far_field_intensity(exit_waves(patches, probe)).astype(np.float32)


def pattern_batches(n_patterns: int, probe: Complex64Array, max_patterns: int | None = None) -> Iterator[IntArray]:
    """Yield pattern indices in batches whose far fields take about 8 MB, so that they fit in the processor's cache.

    Args:
        n_patterns: number of patterns of the scan.
        probe: probe (mode, N, N), which decides the size of a batch.
        max_patterns: number of patterns to take, spread evenly over the scan; None takes all.

    Yields:
        Indices (batch,) in ascending order.
    """
    indices = np.arange(n_patterns)
    if max_patterns is not None and max_patterns < n_patterns:
        indices = np.linspace(0, n_patterns - 1, max_patterns).round().astype(np.int64)
    size = max(1, _BATCH_BYTES // (8 * probe.size))
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def _fourier_patches(
    obj: Complex64Array, origin_rc: tuple[float, float], positions_xy: FloatArray, N: int
) -> Complex64Array:
    """Cut patches (pattern, N, N) from larger, faded ones, which a phase ramp on their spectrum has shifted."""
    side = N + 2 * _WRAP_MARGIN_PX
    corners, fractions = window_corners(origin_rc, positions_xy, side)
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    taper = np.sin(np.pi / 2 * np.minimum(distance / _WRAP_MARGIN_PX, 1)) ** 2
    large = extract_patches(obj, (0.0, 0.0), corners[:, ::-1] + side / 2, side) * np.outer(taper, taper)
    ramps = np.exp(2j * np.pi * fractions[:, :, None] * np.fft.fftfreq(side))
    spectra = np.fft.fft2(large) * (ramps[:, 0, :, None] * ramps[:, 1, None, :])
    inner = slice(_WRAP_MARGIN_PX, _WRAP_MARGIN_PX + N)
    return np.asarray(np.fft.ifft2(spectra)[:, inner, inner], np.complex64)
