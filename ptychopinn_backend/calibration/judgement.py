"""Decision whether a calibration should be believed, from patterns that had no part in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ptychopinn_backend.calibration.estimate import Measured
from ptychopinn_backend.calibration.fit import Fit
from ptychopinn_backend.calibration.refinement import Refinement
from ptychopinn_backend.physics.likelihood import poisson_deviance

LOW_COUNTS: Final = 1.0
"""Mean counts per pixel below which noise biases squared amplitudes and the R-factor."""
_TOLERATED_R: Final = 1.03


def suited_law(fits: Mapping[str, Fit], mean_counts: float) -> str:
    """Return the law of noise that explains the held-out patterns best.

    The likelihood decides. If counts are not low, the R-factor must also not rise by more than 3 %.

    Args:
        fits: fits of the held-out patterns, by law; if two are equal, the first one is taken.
        mean_counts: mean counts over patterns and valid pixels.

    Returns:
        Name of the law.
    """
    first = next(iter(fits))
    allowed = [
        name
        for name, fit in fits.items()
        if mean_counts < LOW_COUNTS or not fit.r_factor > _TOLERATED_R * fits[first].r_factor
    ]
    return min(allowed, key=lambda name: fits[name].deviance)


def judged(before: Fit | None, after: Fit, refinement: Refinement) -> tuple[bool, str]:
    """Return whether a calibration should be believed, and why.

    Args:
        before: fit of the held-out patterns with the given probe and positions; None if no probe was given.
        after: fit of the held-out patterns at the end.
        refinement: the refinement at the end.

    Returns:
        Whether it should be believed, and the reason in one sentence.
    """
    measured = refinement.measured
    if not len(measured.held_out):
        return False, f"{len(measured.fitted)} patterns are too few to hold any out, so nothing judges the result."
    if not (np.isfinite(after.deviance) and np.isfinite(after.r_factor)):
        return False, "The held-out patterns have no finite likelihood."
    null = _mean_pattern_deviance(measured)
    if not after.deviance < null:
        return False, (
            f"The held-out patterns are no better explained than by the mean pattern (deviance {after.deviance:.3g} "
            f"against {null:.3g} per pixel)."
        )
    if before is None:
        return True, f"R-free {after.r_factor:.4f} without a probe to compare with; the mean pattern explains less."
    change = (
        f"R-free {before.r_factor:.4f} -> {after.r_factor:.4f}, "
        f"deviance {before.deviance:.4g} -> {after.deviance:.4g} per pixel"
    )
    if not after.deviance < before.deviance:
        return False, f"The held-out patterns are not better explained than with what was given: {change}."
    if float(measured.mean_pattern().sum()) / measured.n_valid >= LOW_COUNTS and (
        after.r_factor > _TOLERATED_R * before.r_factor
    ):
        return False, f"Likelihood and R-factor of the held-out patterns contradict each other: {change}."
    return True, f"The held-out patterns are better explained: {change}."


def _mean_pattern_deviance(measured: Measured) -> float:
    """Return the deviance per pixel of the held-out patterns under the mean pattern, scaled to the counts of each."""
    mean = measured.mean_pattern()
    total = 0.0
    for row in measured.held_out:
        amplitudes = measured.amplitudes[row : row + 1]
        counts = np.square(amplitudes, dtype=np.float64)
        if measured.valid_pixels is not None:
            counts = counts * measured.valid_pixels
        predicted = (mean * counts.sum() / mean.sum()).astype(np.float32)
        total += float(poisson_deviance(amplitudes, predicted, measured.valid_pixels).sum())
    return total / len(measured.held_out) / measured.n_valid
