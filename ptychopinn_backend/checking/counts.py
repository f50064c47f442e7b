"""Examination of the numbers in the patterns: photon counts, a multiple of them, or numbers with another scatter."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array
from ptychopinn_backend.checking.subject import NOTHING, Outcome, Subject, note
from ptychopinn_backend.data.findings.finding import Finding

_FEWEST_VALUES: Final = 200
_LARGEST_TOLD: Final = 200.0
"""Largest multiple of the unit at which single-precision amplitudes still show whole numbers."""
_OFF: Final = 0.01
_GAIN: Final = 1.01
_BINS: Final = 12
_BIN_COUNTS: Final = 2000.0
_BIN_PIXELS: Final = 6
_FEWEST_BINS: Final = 5
_MOST_COUNTS: Final = 3.0
"""Largest mean counts of a pixel for this test; above them, the structure of the pattern exceeds its noise."""
_SCATTER: Final = (0.7, 2.0)
"""Variance over mean of photons without light, with pile-up and charge sharing: least and largest value."""


def gain(subject: Subject) -> Outcome:
    """Find counts that are all multiples of one number, as the gain of a detector makes them.

    Args:
        subject: the scan.

    Returns:
        The finding, and the scan in photons; or nothing.
    """
    values = subject.sample[subject.sample > 0]
    if len(values) < _FEWEST_VALUES:
        return NOTHING
    unit = _common_unit(values)
    if unit is None or 1 / _GAIN < unit < _GAIN:
        return NOTHING
    photons = float(subject.photons.mean()) / unit
    what = "counts" if subject.raw.measured_as_counts else "squared amplitudes"
    evidence = (
        f"All {what} are whole multiples of {unit:.6g}: one photon counts {unit:.4g} times, and a pattern holds "
        f"{photons:.4g} photons instead of {photons * unit:.4g}, so that noise is {np.sqrt(unit):.2g} times as large."
        if unit > 1
        else f"All {what} are whole multiples of {unit:.4g}, which then is one photon: a pattern holds {photons:.4g} "
        f"photons instead of {photons * unit:.4g}."
    )
    remedy = (
        f"Divide the counts by {unit:.6g} before they are stored."
        if subject.raw.measured_as_counts
        else f"Write it anew with 'ptychopinn convert --measurement amplitudes --nphotons {photons:.6g}', or --mend."
    )
    root = np.float32(np.sqrt(unit))
    changes: dict[str, Any] = {"diff3d": subject.raw.diff3d / root, "measured_as_counts": True}
    probe, objects = subject.raw.probeGuess, ""
    if probe is not None:
        power = float(np.sum(np.abs(probe) ** 2, dtype=np.float64))
        if abs(np.log(power / (photons * unit))) < abs(np.log(power / photons)):
            changes["probeGuess"], objects = probe / root, ", the probe with them"
    change = f"Counts were divided by {unit:.6g}{objects}."
    finding = Finding("gain", "detector", "warning", evidence, remedy)
    return Outcome((finding,), subject.with_raw(**changes), change)


def dispersion(subject: Subject) -> Outcome:
    """Compare the scatter of the counts with photon noise, whose variance is the mean.

    Differences of neighbouring pixels come from noise and from the structure of the pattern. The effect of the
    structure grows with the distance of the pixels and with the square of the counts. An extrapolation to no distance
    and no light therefore leaves the noise.

    Args:
        subject: the scan.

    Returns:
        A note; a warning if the scatter is far from that of photons; nothing if it cannot be found.
    """
    found = scatter_of(subject.sample, subject)
    if found is None:
        return NOTHING
    value, error = found
    low, high = _SCATTER
    told = (
        f"Counts scatter {value:.2f} times as much as photons do (variance over mean towards no light, +-{error:.2g})"
    )
    if value + 2 * error < low:
        remedy = "Store counts as the detector gave them; give --measurement if they are amplitudes."
        why = "they were averaged, smoothed or divided."
        return Outcome((Finding("dispersion", "detector", "warning", f"{told}: {why}", remedy),))
    if value - 2 * error > high:
        remedy = "Divide the counts by the detector's gain, or subtract its dark current."
        why = "one photon counts several times, or the detector adds noise."
        return Outcome((Finding("dispersion", "detector", "warning", f"{told}: {why}", remedy),))
    return Outcome((note("dispersion", "detector", f"{told}."),))


def scatter_of(counts: Float64Array, subject: Subject) -> tuple[float, float] | None:
    """Return variance over mean of counts at hardly any light, and its error; None if they cannot be found.

    Args:
        counts: counts of some patterns (pattern, N, N).
        subject: the scan, which gives the good pixels.

    Returns:
        Variance over mean, which is 1 for photons, and its standard error.
    """
    usable = subject.good[:, :-2] & subject.good[:, 1:-1] & subject.good[:, 2:]
    left, here, right = (counts[:, :, start : start + counts.shape[2] - 2] for start in range(3))
    mean = (left + here + right).mean(axis=0)[usable] / 3
    near = ((left - here) ** 2 + (here - right) ** 2).mean(axis=0)[usable] / 4
    far = ((left - right) ** 2).mean(axis=0)[usable] / 2
    # The differences of the pattern itself grow with the square of the distance. The noise of photons does not.
    noise = (4 * near - far) / 3
    order = np.argsort(mean)[: int((mean <= _MOST_COUNTS).sum())]
    mean, noise = mean[order], noise[order]
    ends = np.searchsorted(np.cumsum(mean), _BIN_COUNTS / len(counts) * np.arange(1, _BINS + 1))
    edges = np.unique([0, *ends[ends < len(mean)].tolist()])
    bins = [slice(a, b) for a, b in pairwise(edges.tolist()) if b - a >= _BIN_PIXELS]
    if len(bins) < _FEWEST_BINS:
        return None
    light = np.array([mean[part].mean() for part in bins])
    ratio = np.array([noise[part].mean() for part in bins]) / light
    (slope, value), covariance = np.polyfit(light, ratio, 1, cov=True)
    # If the structure is still larger in the darkest bin, the noise cannot be found.
    if abs(slope) * light[0] > 0.5 * max(abs(value), 0.1):
        return None
    return float(value), float(np.sqrt(max(covariance[1, 1], 1e-6)))


def _common_unit(values: Float64Array) -> float | None:
    """Return the number of which all values are whole multiples; None if there is no such number."""
    whole = np.rint(values)
    if (np.abs(values - whole) <= _OFF + 1e-6 * whole).all():
        return float(np.gcd.reduce(whole.astype(np.int64)))
    unit = float(values.min())
    small = values[values <= _LARGEST_TOLD * unit]
    for _ in range(3):
        multiples = np.rint(small / unit)
        if len(small) < _FEWEST_VALUES or not multiples.any():
            return None
        unit = float((small * multiples).sum() / (multiples**2).sum())
    off = np.abs(small / unit - multiples)
    return unit if (off <= 0.02 + 2e-4 * multiples).all() and len(np.unique(multiples)) > 2 else None
