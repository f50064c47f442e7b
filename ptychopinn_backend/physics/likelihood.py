"""How likely counts are under a predicted intensity, and how a far field has to change to make them likelier.

Three laws of noise. Squared amplitudes: the square root of a count has the variance 1/4 whatever its mean, which holds
above about 5 photons per pixel and is biased below 1. Poisson: the variance is the mean. Over-dispersed: the variance
is I + excess * I^2, for errors of the model or of the detector that grow with the signal; a constant factor of the
variance changes no estimate (McCullagh and Nelder, Generalized Linear Models, 1989, chapter 9, quasi-likelihood).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float32Array, Float64Array, FloatArray
from ptychopinn_backend.config.checks import require_choice

LIKELIHOODS: Final = ("amplitude", "poisson", "overdispersed")
"""Names of the laws."""
_LEAST_BACKGROUND: Final = 1e-3
_MOST_BACKGROUND: Final = 0.05
_RELATIVE_BACKGROUND: Final = 0.1
_TINY: Final = np.float32(1e-12)
_LEAST_JUDGED: Final = 1e-6
"""Counts that a model predicts at least where it is judged by its deviance."""


@dataclass(frozen=True)
class Likelihood:
    """A law of noise; see the module."""

    name: str = "amplitude"
    """One of `LIKELIHOODS`."""
    background: float = _MOST_BACKGROUND
    """Counts a pixel holds at least, for the variance alone: a single photon where none is expected stays finite."""
    excess: float = 0.0
    """Relative variance beyond the Poisson law, for 'overdispersed'."""

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ConfigError: unknown law.
        """
        require_choice("likelihood", self.name, LIKELIHOODS)

    def far_field_change(self, amplitudes: Float32Array, intensity: Float32Array) -> Float32Array:
        """Return by which fraction of itself the far field changes in a step.

        For squared amplitudes sqrt(n / I) - 1, which puts the measured modulus in place; for the others half the score
        over the variance, (n - I) / (2 V), which near the solution is the same step.

        Args:
            amplitudes: square roots of the counts, any shape.
            intensity: predicted counts, same shape.

        Returns:
            Same shape.
        """
        if self.name == "amplitude":
            change = np.sqrt(np.maximum(intensity, _TINY))
            np.divide(amplitudes, change, out=change)
            change -= 1
            return change
        change = np.square(amplitudes)
        change -= intensity
        variance = intensity + np.float32(self.background)
        if self.name == "overdispersed":
            variance += np.float32(self.excess) * np.square(intensity)
        variance *= 2
        change /= variance
        return change


def likelihood_for(name: str, mean_counts: float, excess: float = 0.0) -> Likelihood:
    """Return a law with a background that suits the counts.

    Args:
        name: one of `LIKELIHOODS`.
        mean_counts: mean over patterns and valid pixels.
        excess: relative variance beyond the Poisson law, for 'overdispersed'.

    Returns:
        The law.

    Raises:
        ConfigError: unknown name.
    """
    background = float(np.clip(_RELATIVE_BACKGROUND * mean_counts, _LEAST_BACKGROUND, _MOST_BACKGROUND))
    return Likelihood(name, background, excess)


def deviance(counts: FloatArray, intensity: FloatArray, least_intensity: float) -> FloatArray:
    """Return 2 (n log(n / I) - n + I) pixel by pixel.

    It is twice the log-likelihood that Poisson counts lose against a model that hits every one of them.

    Args:
        counts: n, any shape.
        intensity: predicted counts I, same shape and type.
        least_intensity: what it is taken as at least, so that a single photon in the dark stays finite.

    Returns:
        Same shape and type, from 0 on.
    """
    predicted = np.maximum(intensity, intensity.dtype.type(least_intensity))
    lost = predicted - counts
    # Where there is no photon the logarithm is finite, and counts for nothing.
    ratio = np.maximum(counts, _TINY) / predicted
    lost += counts * np.log(ratio, out=ratio)
    lost *= 2
    return np.asarray(lost)


def poisson_deviance(
    amplitudes: Float32Array, intensity: Float32Array, valid_pixels: BoolArray | None = None
) -> Float64Array:
    """Return the deviance of patterns: about 1 per pixel where the model is right and counts are many.

    Args:
        amplitudes: square roots of the counts (pattern, N, N).
        intensity: predicted counts (pattern, N, N).
        valid_pixels: detector pixels that count (N, N); None takes all.

    Returns:
        (pattern,).
    """
    lost = deviance(np.square(amplitudes), intensity, _LEAST_JUDGED)
    if valid_pixels is not None:
        lost *= valid_pixels
    return np.asarray(lost.sum(axis=(1, 2), dtype=np.float64))
