"""How sure an object is: from a second one of every second pattern, and from patterns that took part in neither.

Let H be an object made of a part a of the light of the whole object O. Where errors are independent and their variance
goes as one over the light, var(H - O) = var(O) (1 - a) / a, so that the difference gives the error of O: along O that
of the amplitude, across it that of the phase, squared and averaged over neighbouring pixels. Phases drift slowly from
patch to patch, too; no single pattern sees that, and it is averaged over the whole object.

What O and H share, such as detail that the network does not know, is not in their difference. Held-out patterns tell by
which factor their squared residuals, less the noise of photons, exceed those that the difference would leave.
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
"""Standard deviation of a phase of which nothing is known."""
PHASE_OVER_AMPLITUDE: Final = 1.28
"""Error of the phase, times the amplitude, over that of the amplitude, both without drift: found on simulated scans,
where it is 1.0 to 1.5, whatever the dose."""
_TRUST: Final = 0.5
"""Power of the factor of held-out patterns that is believed: they and the difference of the halves are about equally
uncertain, by a factor of two of the variance, one as often too large as the other is too small."""
_FACTORS: Final = (0.2, 5.0)
"""Smallest and largest factor of the variance."""
UNJUDGED_FACTOR: Final = 1.6
"""Factor of the variance without held-out patterns: about the median that they gave on simulated scans."""
_NORMAL_MEDIAN: Final = 0.4549
"""Median of the square of a normal variable of variance 1."""
_NEAR_PX: Final = 4.0
_DRIFT_PX: Final = 8.0
"""Standard deviations of the Gaussians over which errors are averaged, and beyond which they count as drift, pixels."""
_MOST_SHARED: Final = 0.95
"""Part of a pixel's light beyond which the half is as good as the whole, and says nothing."""
_TURNS: Final = 30
"""In which the mean error of held-out patterns settles."""


def with_uncertainty(
    made: Reconstruction,
    half: HalfObject,
    light: Float32Array,
    scan: RawData,
    rows: IntArray,
    factor: float | None = None,
) -> Reconstruction:
    """Return a reconstruction that says how sure it is.

    Args:
        made: the whole object.
        half: the second one, on the same pixels.
        light: photons that fell on every pixel in the patterns of the whole object (row, column).
        scan: all patterns.
        rows: (held out,) the patterns that took part in neither object; they set the factor.
        factor: of the variance, from an earlier pass; None asks the held-out patterns.

    Returns:
        The same with `amplitude_uncertainty` and `phase_uncertainty`, and the factor as `info["uncertainty_factor"]`.
        Where the object is 0, nothing is known: the amplitude may be off by its root mean square, the phase by
        that of a phase drawn at random. None of both where the halves share no pixel.
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
    # The median, since a half may break where the whole does not. Slow phases follow the fit of the halves by the whole
    # factor: halves with too little overlap fit badly, and drift.
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
    """Return an object with the phase, the ramp and the scale of another, which no counts fix.

    Args:
        obj: (row, column).
        target: (row, column).
        weight: of every pixel (row, column), not negative.

    Returns:
        (row, column); 0 where the weight is 0.
    """
    share = (weight / weight.max()).astype(np.float32)
    known = share > 0
    moved = remove_phase_ramp(obj * share, target * share)
    scale = np.sum(np.abs(moved * target) * share) / np.sum(np.abs(moved) ** 2)
    return np.asarray(np.divide(moved * scale, share, out=np.zeros_like(moved), where=known), np.complex64)


def _mean_near(values: FloatArray, weight: FloatArray, width_px: float) -> Float64Array:
    """Return the weighted mean over a Gaussian around every pixel; over everything where the weight is small."""
    total = gaussian_filter(weight.astype(np.float64), width_px)
    mean = gaussian_filter(values * weight, width_px, output=np.float64)
    # A little of the mean over everything stands in where few pixels speak.
    few = 1e-2 * total.max()
    return np.asarray((mean + few * np.average(values, weights=weight)) / (total + few))


def _judged(made: Reconstruction, other: Complex64Array, to_whole: float, scan: RawData, rows: IntArray) -> float:
    """Return the factor between the squared residuals of held-out patterns and what the difference of objects gives.

    With I the counts an object predicts and n those measured, (n - I)^2 - n is on average (I_true - I)^2, whatever the
    dose; (I_other - I)^2 is what the difference of the objects gives for it. Both are weighed by 1 / (I + s), as suits
    counts of variance I, s being the error that is found.
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
