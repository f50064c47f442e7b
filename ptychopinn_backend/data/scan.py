"""What all groups of one scan share: patterns, probe, mask, normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float32Array, IntArray, require_shape
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.scaling import count_photons, factor_from_photons
from ptychopinn_backend.physics.probe import normalise_probe


@dataclass(frozen=True, eq=False)
class Scan:
    """What the groups of one scan share."""

    patterns: Float32Array
    """Measured amplitudes (pattern, N, N); in memory or memory-mapped."""
    probe: Complex64Array
    """Normalised probe (mode, N, N)."""
    valid_pixels: Float32Array
    """(N, N): 1 good, 0 bad."""
    normalisation: float
    """Factor from measured to normalised amplitudes."""
    labels: Complex64Array | None
    """Ground-truth patches (pattern, N, N), or None."""


def prepare_scan(
    patterns: Float32Array,
    probe: AnyArray,
    model: ModelConfig,
    pattern_rows: IntArray,
    bad_pixels: BoolArray | None,
    labels: Complex64Array | None,
) -> Scan:
    """Normalise the probe and find the factor that normalises the patterns.

    Args:
        patterns: measured amplitudes (pattern, N, N).
        probe: (N, N) or (mode, N, N).
        model: decides N and probe_scale.
        pattern_rows: (group, channel) patterns of the groups; normalisation is the mean over these.
        bad_pixels: (N, N), True = bad; None when all are good.
        labels: ground-truth patches (pattern, N, N), or None.

    Returns:
        The scan.

    Raises:
        DataError: a malformed probe or one of another size, or no photons.
    """
    probe_normalised = normalise_probe(probe, model.probe_scale)
    require_shape("probe", probe_normalised, (None, model.N, model.N), "(mode, N, N)")
    valid = np.ones((model.N, model.N), np.float32)
    if bad_pixels is not None:
        valid[bad_pixels] = 0
    return Scan(
        patterns=patterns,
        probe=probe_normalised,
        valid_pixels=valid,
        normalisation=factor_from_photons(count_photons(patterns)[pattern_rows], model.N),
        labels=labels,
    )
