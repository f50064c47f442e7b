"""Uncertainty of an object, from a half object and from held-out patterns.

Let O be the whole object, and let H be an object that got a part a of its light. If errors are independent and their
variance is proportional to one over the light, var(H - O) = var(O) (1 - a) / a. So the difference gives the error of O.
The component of the difference along O, squared and averaged over neighbouring pixels, gives the error of the
amplitude. The error of the phase is proportional to it (`PHASE_OVER_AMPLITUDE`). In addition, phases drift slowly from
patch to patch. No single pattern shows this drift. It is taken from the component across O, over the whole object.

Errors that O and H share, for example detail that the network does not know, are not in their difference. Held-out
patterns correct for this. Their squared residuals, less the noise of photons, exceed those that the difference would
cause by a factor. A power of this factor multiplies the variance.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from ptychopinn_backend.arrays import Complex64Array, Float32Array, Float64Array, FloatArray, IntArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation.metrics import remove_phase_ramp
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.runs.half_object import HalfObject
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger(__name__)

UNKNOWN_PHASE_RAD: Final = float(np.pi / np.sqrt(3))
"""Standard deviation of a phase about which nothing is known, radians."""
PHASE_OVER_AMPLITUDE: Final = 1.28
"""Error of the phase times the amplitude, divided by the error of the amplitude, both without drift. Simulated scans
give 1.0 to 1.5 at every dose."""
_TRUST: Final = 0.5
"""Power of the held-out patterns' factor that is used. This factor and the difference of the halves are about equally
uncertain, by a factor of two in the variance. If one of them is too large, the other is as often too small."""
_FACTORS: Final = (0.2, 5.0)
"""Smallest and largest factor of the variance."""
UNJUDGED_FACTOR: Final = 1.6
"""Factor of the variance without held-out patterns; about the median of the factors on simulated scans."""
_NORMAL_MEDIAN: Final = 0.4549
"""Median of the square of a normal variable with variance 1."""
_NEAR_PX: Final = 4.0
_DRIFT_PX: Final = 8.0
"""Standard deviations in pixels of two Gaussians: one for the mean of errors, and one beyond which errors are drift."""
_MOST_SHARED: Final = 0.95
"""Largest useful part of a pixel's light in the half; beyond it the half equals the whole and says nothing."""
_TURNS: Final = 30
"""Number of iterations in which the mean error of held-out patterns settles."""


def with_uncertainty(
    made: Reconstruction,
    half: HalfObject,
    light: Float32Array,
    scan: RawData,
    rows: IntArray,
    factor: float | None = None,
) -> Reconstruction:
    """Return a reconstruction with the uncertainties of its amplitude and phase.

    Args:
        made: reconstruction with the whole object.
        half: the half object, on the same pixels.
        light: photons that fell on every pixel in the patterns of the whole object (row, column).
        scan: all patterns.
        rows: rows of the patterns that took part in neither object (held out,); they set the factor.
        factor: factor of the variance from an earlier pass; None asks the held-out patterns.

    Returns:
        The reconstruction with `amplitude_uncertainty`, `phase_uncertainty` (radians), and the factor in `info`. Where
        the object is 0, nothing is known: they are the root mean square of the amplitude and that of a random phase.
        If the halves share no pixel, the reconstruction is unchanged.
    """
    known = made.object != 0
    common = known & (half.object != 0)
    if not common.any():
        return made
    shared = np.clip(half.light / np.maximum(light, np.float32(1e-9)), 0, 1)
    freedom = np.where(common & (shared < _MOST_SHARED), shared * (1 - shared), 0)
    common = freedom > 0
    if not common.any():
        return made
    other = _aligned(half.object, made.object, freedom * light)
    apart = np.where(common, (other - made.object) * np.exp(-1j * np.angle(made.object)), 0)
    to_whole = np.sqrt(np.divide(shared, 1 - shared, out=np.zeros_like(shared), where=common))
    error = apart * to_whole
    if factor is None:
        of_whole = float(np.mean(to_whole[common] ** 2))
        factor = _judged(made, np.where(common, other, made.object), of_whole, scan, rows)
    amplitude = factor * _mean_near(error.real**2, freedom, _NEAR_PX)
    drift = _mean_near(error.imag, freedom, _DRIFT_PX)[common]
    # The median is robust where a half breaks and the whole does not. Slow phases follow the whole factor of the fit,
    # since halves with too little overlap fit badly, and drift.
    slow = min(factor ** (1 / _TRUST), _FACTORS[1]) * float(np.median(drift**2)) / _NORMAL_MEDIAN
    phase = PHASE_OVER_AMPLITUDE**2 * amplitude + slow
    modulus = np.abs(made.object)
    largest = np.sqrt(np.mean(modulus[known] ** 2))
    amplitude = np.where(known, np.minimum(np.sqrt(amplitude), largest), largest)
    with np.errstate(divide="ignore"):
        phase = np.where(known, np.minimum(np.sqrt(phase) / modulus, UNKNOWN_PHASE_RAD), UNKNOWN_PHASE_RAD)
    return replace(
        made,
        amplitude_uncertainty=amplitude.astype(np.float32),
        phase_uncertainty=phase.astype(np.float32),
        info=made.info | {"uncertainty_factor": factor},
    )


def _aligned(obj: Complex64Array, target: Complex64Array, weight: FloatArray) -> Complex64Array:
    """Return an object with the phase, the ramp and the scale of another, since no counts fix these.

    Args:
        obj: object (row, column).
        target: object that gives phase, ramp and scale (row, column).
        weight: weight of every pixel (row, column), not negative.

    Returns:
        Object (row, column); 0 where the weight is 0.
    """
    share = (weight / weight.max()).astype(np.float32)
    known = share > 0
    moved = remove_phase_ramp(obj * share, target * share)
    scale = np.sum(np.abs(moved * target) * share) / np.sum(np.abs(moved) ** 2)
    return np.asarray(np.divide(moved * scale, share, out=np.zeros_like(moved), where=known), np.complex64)


def _mean_near(values: FloatArray, weight: FloatArray, width_px: float) -> Float64Array:
    """Return the weighted mean over a Gaussian around every pixel, or over everything where the weight is small."""
    total = gaussian_filter(weight.astype(np.float64), width_px)
    mean = gaussian_filter(values * weight, width_px, output=np.float64)
    # Where few pixels have weight, a small part of the mean over everything takes their place.
    few = 1e-2 * total.max()
    return np.asarray((mean + few * np.average(values, weights=weight)) / (total + few))


def _judged(made: Reconstruction, other: Complex64Array, to_whole: float, scan: RawData, rows: IntArray) -> float:
    """Return the factor between the squared residuals of held-out patterns and those from the difference of objects.

    Let I be the counts that an object predicts and n the measured counts. On average, (n - I)^2 - n is (I_true - I)^2
    at every dose. The difference of the objects gives (I_other - I)^2 for it. Both are weighted by 1 / (I + s), which
    suits counts of variance I, where s is the error that is found.
    """
    if not len(rows):
        return UNJUDGED_FACTOR
    valid = np.ones((scan.N, scan.N), bool) if scan.bad_pixels is None else ~scan.bad_pixels
    positions = scan.positions_xy[rows]
    predicted, by_other = (
        scan_intensities(obj, made.origin_rc, made.probe, positions)[:, valid].astype(np.float64)
        for obj in (made.object, other)
    )
    counts = np.square(scan.diff3d[rows][:, valid], dtype=np.float64)
    excess = (counts - predicted) ** 2 - counts
    floor = 1e-4 * predicted.mean()
    error = floor
    for _ in range(_TURNS):
        error = max(floor, float(np.mean(excess / (2 * (predicted + error)))))
    weight = 1 / (predicted + error)
    expected = to_whole * float(np.sum(weight * (by_other - predicted) ** 2))
    if not expected > 0:
        return UNJUDGED_FACTOR
    found = float(np.sum(weight * excess)) / expected
    factor = float(np.clip(max(found, 0.0) ** _TRUST, *_FACTORS))
    logger.info(
        "Errors of the object are %.2f times those in which its halves differ, by %d held-out patterns.",
        np.sqrt(factor),
        len(rows),
    )
    return factor
