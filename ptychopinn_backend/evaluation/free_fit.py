"""How well an object explains patterns it was not made from: R-free and their deviance."""

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
"""A pattern can judge where so much of its light falls on pixels that other patterns have reached."""


class FreeFit(NamedTuple):
    """How well an object explains patterns it was not made from."""

    r: float
    """R-factor, sum |A - A_model| / sum A."""
    deviance: float
    """Twice the log-likelihood that is missing to a perfect fit of Poisson counts, per pixel: 1 is photon noise."""
    misfit: float
    """What decides between two objects, per pixel: `deviance` where counts are few; where they are many, the mean of
    4 (sqrt(n) - sqrt(I))^2, which is 1 for photon noise too. A model that is right but for some dark pixels has a large
    deviance by these few alone, and would be changed everywhere to mend them."""
    n_patterns: int
    """Patterns that could judge."""


def free_fit(reconstruction: Reconstruction, scan: RawData, rows: IntArray) -> FreeFit | None:
    """Compare an object with patterns it was not made from.

    Args:
        reconstruction: object and probe, made without these patterns.
        scan: the whole scan.
        rows: (held out,) the patterns.

    Returns:
        The fit; None where no pattern has its light on the object.
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
    """Return whether the square root of a count is biased by noise, so that the Poisson law has to take its place."""
    light = scan.counts_in_light
    return light is not None and light < NOISY_COUNTS


def _lit_part(reconstruction: Reconstruction, positions_xy: Float64Array) -> Float64Array:
    """Return the part of the probe's light that falls on pixels the object is known in, per pattern."""
    light = np.sum(np.abs(reconstruction.probe) ** 2, axis=0)
    known = np.asarray(reconstruction.object != 0, np.complex64)
    patches = extract_patches(known, reconstruction.origin_rc, positions_xy, light.shape[-1])
    return np.asarray(np.sum(patches.real * light, axis=(1, 2)) / light.sum(), np.float64)
