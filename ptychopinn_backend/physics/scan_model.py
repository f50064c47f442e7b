"""Diffraction of a whole object under a scan: the counts that an object and a probe predict."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array, FloatArray, IntArray
from ptychopinn_backend.physics.far_field import exit_waves, far_field_intensity
from ptychopinn_backend.physics.object_patches import extract_patches

_BATCH_BYTES = 1 << 25


def scan_intensities(
    obj: Complex64Array, origin_rc: tuple[float, float], probe: Complex64Array, positions_xy: FloatArray
) -> Float32Array:
    """Return the intensity sum over modes of |F(P_m * patch)|^2 at every scan position.

    Args:
        obj: the object (row, column).
        origin_rc: (row, column) in `obj` of scan coordinate (0, 0), pixels.
        probe: (mode, N, N), with sum |P|^2 in counts.
        positions_xy: (pattern, 2), axis 1 = (x, y), pixels.

    Returns:
        Counts (pattern, N, N), zero frequency at the array centre.
    """
    patches = extract_patches(obj, origin_rc, positions_xy, probe.shape[-1])
    return far_field_intensity(exit_waves(patches, probe)).astype(np.float32)


def pattern_batches(n_patterns: int, probe: Complex64Array, max_patterns: int | None = None) -> Iterator[IntArray]:
    """Yield pattern indices in batches whose far fields fit in some 32 MB.

    Args:
        n_patterns: number of patterns of the scan.
        probe: (mode, N, N); decides the size of a batch.
        max_patterns: take only this many, spread evenly over the scan; None takes all.

    Yields:
        Indices (batch,), ascending.
    """
    indices = np.arange(n_patterns)
    if max_patterns is not None and max_patterns < n_patterns:
        indices = np.linspace(0, n_patterns - 1, max_patterns).round().astype(np.int64)
    size = max(1, _BATCH_BYTES // (8 * probe.size))
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
