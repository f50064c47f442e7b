"""R-free and deviance: the fit of an object to patterns that took no part in making it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import Float64Array, IntArray
from ptychopinn_backend.config.presets import NOISY_COUNTS
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation.metrics import RFactorSum
from ptychopinn_backend.physics.likelihood import poisson_deviance
from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

LIT_PART: Final = 0.9
"""Least part of a pattern's light that must fall on known pixels of the object, so that the pattern can judge."""


class FreeFit(NamedTuple):
    """Fit of an object to patterns that took no part in making it."""

    r: float
    """R-factor, sum |A - A_model| / sum A."""
    deviance: float
    """Poisson deviance per pixel: twice the log-likelihood that is lost against a perfect fit. Photon noise gives 1."""
    misfit: float
    """Measure for the choice between two objects, per pixel; photon noise gives 1.

    It is `deviance` if counts are few. If counts are many, it is the mean of 4 (sqrt(n) - sqrt(I))^2. There the
    deviance would be misleading: a model that is wrong at only a few dark pixels has a large deviance from these pixels
    alone, and a fit would change the whole object to repair them.
    """
    n_patterns: int
    """Number of patterns that could judge."""


def free_fit(reconstruction: Reconstruction, scan: RawData, rows: IntArray) -> FreeFit | None:
    """Compare an object with patterns that took no part in making it.

    Args:
        reconstruction: object and probe, made without these patterns.
        scan: the whole scan.
        rows: rows of these patterns in the scan (held out,).

    Returns:
        The fit; None if no pattern has enough of its light on the known part of the object.
    """
    positions = scan.positions_xy[rows]
    lit = rows[_lit_part(reconstruction, positions) >= LIT_PART]
    if not len(lit):
        return None
    obj, origin, probe = reconstruction.object, reconstruction.origin_rc, reconstruction.probe
    model = scan_intensities(obj, origin, probe, scan.positions_xy[lit])
    valid = np.ones(model.shape[1:], bool) if scan.bad_pixels is None else ~scan.bad_pixels
    amplitudes = scan.diff3d[lit]
    r = RFactorSum()
    r.add(amplitudes, np.sqrt(model), valid)
    deviance = float(poisson_deviance(amplitudes, model, valid).mean() / valid.sum())
    if counts_are_few(scan):
        return FreeFit(r.value, deviance, deviance, len(lit))
    misfit = 4 * float(np.mean(np.square(amplitudes - np.sqrt(model), dtype=np.float64)[:, valid]))
    return FreeFit(r.value, deviance, misfit, len(lit))


def counts_are_few(scan: RawData) -> bool:
    """Return whether counts are so few that noise biases their square root, and the Poisson law is needed."""
    light = scan.counts_in_light
    return light is not None and light < NOISY_COUNTS


def _lit_part(reconstruction: Reconstruction, positions_xy: Float64Array) -> Float64Array:
    """Return for every pattern the part of the probe's light that falls on known pixels of the object."""
    light = np.sum(np.abs(reconstruction.probe) ** 2, axis=0)
    known = np.asarray(reconstruction.object != 0, np.complex64)
    patches = extract_patches(known, reconstruction.origin_rc, positions_xy, light.shape[-1])
    return np.asarray(np.sum(patches.real * light, axis=(1, 2)) / light.sum(), np.float64)
