"""Fit of object times probe to the counts of a scan; nothing is changed to improve it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation.deviance import DevianceSum
from ptychopinn_backend.evaluation.metrics import RFactorSum
from ptychopinn_backend.physics.scan_model import Interpolation, pattern_batches, scan_intensities
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

FLOOR_PATTERNS: Final = 512
"""Number of patterns, spread evenly over the scan, for the Poisson floor."""


@dataclass(frozen=True)
class ScanFit:
    """Measures of the fit of object times probe to measured counts."""

    r_factor: float
    """R-factor, sum |sqrt(counts) - sqrt(model)| / sum sqrt(counts)."""
    poisson_floor_r_factor: float
    """R-factor of a Poisson draw of the model against the model."""
    deviance: float
    """Poisson deviance per pixel; see `evaluation.deviance`."""
    poisson_deviance: float
    """Deviance per pixel from photon noise alone, if the model were right. `deviance` is larger if the model is wrong,
    or if counts scatter more than photons do."""


def scan_fit(reconstruction: Reconstruction, raw: RawData, interpolation: Interpolation = "bilinear") -> ScanFit:
    """Compare object times probe with the counts, without the bad pixels.

    Args:
        reconstruction: object and probe.
        raw: the patterns; see `matching.matched_scan`.
        interpolation: method to read object patches between pixels.

    Returns:
        The measures.

    Raises:
        DataError: probe and patterns differ in size, only zeros were measured, or object times probe is dark.
    """
    if reconstruction.probe.shape[-1] != raw.N:
        raise DataError(
            f"the reconstruction's probe has N = {reconstruction.probe.shape[-1]}, the scan's patterns {raw.N}; both "
            "must be equal. Give the scan that was reconstructed."
        )
    valid: BoolArray | None = None if raw.bad_pixels is None else ~raw.bad_pixels
    positions = raw.positions_xy
    measured, floor, lost = RFactorSum(), RFactorSum(), DevianceSum()
    rng = np.random.default_rng(0)
    drawn_every = max(1, raw.n_patterns // FLOOR_PATTERNS)
    obj, origin, probe = reconstruction.object, reconstruction.origin_rc, reconstruction.probe
    for batch in pattern_batches(raw.n_patterns, probe):
        model = scan_intensities(obj, origin, probe, positions[batch], interpolation)
        amplitudes = raw.diff3d[batch]
        measured.add(amplitudes, np.sqrt(model), valid)
        lost.add(np.square(amplitudes, dtype=np.float64), model, valid)
        drawn = model[batch % drawn_every == 0]
        floor.add(np.sqrt(rng.poisson(drawn)), np.sqrt(drawn), valid)
    if not floor.total > 0:
        raise DataError(
            "object times probe is dark everywhere on the valid pixels, so it explains no count. Check that the "
            "reconstruction is of this scan, its origin_rc, and the mask."
        )
    return ScanFit(measured.value, floor.value, *lost.per_pixel)


def pattern_r_factors(
    reconstruction: Reconstruction, raw: RawData, interpolation: Interpolation = "bilinear"
) -> Float64Array:
    """Return the R-factor of object times probe for every pattern by itself.

    Args:
        reconstruction: object and probe.
        raw: the patterns; see `matching.matched_scan`.
        interpolation: method to read object patches between pixels.

    Returns:
        R-factor of every pattern (pattern,); 0 for a pattern without counts.
    """
    valid = np.ones((raw.N, raw.N), np.float32) if raw.bad_pixels is None else (~raw.bad_pixels).astype(np.float32)
    positions, found = raw.positions_xy, np.zeros(raw.n_patterns)
    obj, origin, probe = reconstruction.object, reconstruction.origin_rc, reconstruction.probe
    for batch in pattern_batches(raw.n_patterns, probe):
        model = np.sqrt(scan_intensities(obj, origin, probe, positions[batch], interpolation))
        amplitudes = raw.diff3d[batch]
        light = np.sum(amplitudes * valid, axis=(1, 2), dtype=np.float64)
        off = np.sum(np.abs(amplitudes - model) * valid, axis=(1, 2), dtype=np.float64)
        found[batch] = np.divide(off, light, out=np.zeros_like(off), where=light > 0)
    return found


def scan_r_factors(
    reconstruction: Reconstruction, raw: RawData, interpolation: Interpolation = "bilinear"
) -> tuple[float, float]:
    """Return the R-factor of object times probe against the counts, and the R-factor of photon noise alone.

    Args:
        reconstruction: object and probe.
        raw: the patterns.
        interpolation: method to read object patches between pixels.

    Returns:
        (R-factor, Poisson floor). `scan_fit` gives further measures.
    """
    fit = scan_fit(reconstruction, raw, interpolation)
    return fit.r_factor, fit.poisson_floor_r_factor
