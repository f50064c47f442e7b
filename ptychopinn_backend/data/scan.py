"""What all groups of one scan share: patterns, probe, mask, normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ptychopinn_backend.arrays import (
    AnyArray,
    BoolArray,
    Complex64Array,
    Float32Array,
    Float64Array,
    IntArray,
    require_shape,
)
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.scaling import count_photons, factor_from_photons
from ptychopinn_backend.physics.probe import normalised_for


class Rows(Protocol):
    """Patterns or patches by row: an array, or a file that is read when asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(pattern, N, N)."""

    def __getitem__(self, rows: IntArray, /) -> AnyArray:
        """Return the given rows, (..., N, N)."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What the groups of one scan share."""

    patterns: Rows
    """Measured amplitudes (pattern, N, N) float32; in memory or on disk."""
    probe: Complex64Array
    """Normalised probe (mode, N, N)."""
    valid_pixels: Float32Array
    """(N, N): 1 good, 0 bad."""
    normalisation: float
    """Factor from measured to normalised amplitudes."""
    labels: Rows | None
    """Ground-truth patches (pattern, N, N) complex64, or None."""
    phase_subtraction: bool = False
    """The labels of each group lose their common mean phase."""


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
        model: decides N and how the probe is normalised.
        pattern_rows: (group, channel) patterns of the groups; normalisation is the mean over these.
        bad_pixels: (N, N), True = bad; None when all are good.
        labels: ground-truth patches (pattern, N, N), or None.

    Returns:
        The scan.

    Raises:
        DataError: a malformed probe or one of another size, or no photons.
    """
    return prepare_counted_scan(patterns, count_photons(patterns), probe, model, pattern_rows, bad_pixels, labels)


def prepare_counted_scan(
    patterns: Rows,
    photons: Float64Array,
    probe: AnyArray,
    model: ModelConfig,
    pattern_rows: IntArray,
    bad_pixels: BoolArray | None,
    labels: Rows | None,
) -> Scan:
    """Do what `prepare_scan` does for patterns whose photons are known.

    Args:
        patterns: measured amplitudes (pattern, N, N).
        photons: sum of squared amplitudes of every pattern (pattern,).
        probe: (N, N) or (mode, N, N).
        model: decides N and how the probe is normalised.
        pattern_rows: (group, channel) patterns of the groups; normalisation is the mean over these.
        bad_pixels: (N, N), True = bad; None when all are good.
        labels: ground-truth patches (pattern, N, N), or None.

    Returns:
        The scan.

    Raises:
        DataError: a malformed probe or one of another size, or no photons.
    """
    probe_normalised = normalised_for(model, probe)
    require_shape("probe", probe_normalised, (None, model.N, model.N), "(mode, N, N)")
    valid = np.ones((model.N, model.N), np.float32)
    if bad_pixels is not None:
        valid[bad_pixels] = 0
    return Scan(
        patterns=patterns,
        probe=probe_normalised,
        valid_pixels=valid,
        normalisation=factor_from_photons(photons[pattern_rows], model.N),
        labels=labels,
    )
