"""The likelihood of counts under a predicted intensity, and the change of a far field that makes them more likely.

There are three laws of noise. Squared amplitudes: the square root of a count has the variance 1/4 for every mean. This
holds above about 5 photons per pixel and is biased below 1. Poisson: the variance is the mean. Over-dispersed: the
variance is I + excess * I^2, for errors of the model or the detector that grow with the signal. A constant factor of
the variance changes no estimate (McCullagh and Nelder, Generalized Linear Models, 1989, chapter 9, quasi-likelihood).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float32Array, Float64Array, FloatArray
from ptychopinn_backend.config.checks import require_choice

LIKELIHOODS: Final = ("amplitude", "poisson", "overdispersed")
"""Names of the three laws."""
_LEAST_BACKGROUND: Final = 1e-3
_MOST_BACKGROUND: Final = 0.05
_RELATIVE_BACKGROUND: Final = 0.1
_TINY: Final = np.float32(1e-12)
_LEAST_JUDGED: Final = 1e-6
"""Least counts that a model predicts when its deviance is judged."""


@dataclass(frozen=True)
class Likelihood:
    """A law of noise; the module describes the three laws."""

    name: str = "amplitude"
    """Name of the law, one of `LIKELIHOODS`."""
    background: float = _MOST_BACKGROUND
    """Counts that are added to the variance only, so that a photon where none is expected has a finite effect."""
    excess: float = 0.0
    """Relative variance beyond the Poisson law, for 'overdispersed'."""

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ConfigError: the law is unknown.
        """
        require_choice("likelihood", self.name, LIKELIHOODS)

    def far_field_change(self, amplitudes: Float32Array, intensity: Float32Array) -> Float32Array:
        """Return the change of the far field in a step, as a fraction of the far field itself.

        For squared amplitudes it is sqrt(n / I) - 1, which sets the measured modulus. For the other laws it is half the
        score over the variance, (n - I) / (2 V). Near the solution this is the same step.

        Args:
            amplitudes: square roots of the counts, any shape.
            intensity: predicted counts, same shape.

        Returns:
            Fraction of the change, same shape.
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
    """Return a law of noise with a background that suits the counts.

    Args:
        name: one of `LIKELIHOODS`.
        mean_counts: mean counts over patterns and valid pixels.
        excess: relative variance beyond the Poisson law, for 'overdispersed'.

    Returns:
        The law.

    Raises:
        ConfigError: `name` is unknown.
    """
    background = float(np.clip(_RELATIVE_BACKGROUND * mean_counts, _LEAST_BACKGROUND, _MOST_BACKGROUND))
    return Likelihood(name, background, excess)


def deviance(counts: FloatArray, intensity: FloatArray, least_intensity: float) -> FloatArray:
    """Return the Poisson deviance 2 (n log(n / I) - n + I) of every pixel.

    It is twice the log-likelihood that Poisson counts lose against a model that predicts each of them exactly.

    Args:
        counts: measured counts n, any shape.
        intensity: predicted counts I, same shape and type.
        least_intensity: smaller predicted counts are raised to this, so that a single photon in the dark stays finite.

    Returns:
        Deviance of every pixel, same shape and type, 0 or more.
    """
    predicted = np.maximum(intensity, intensity.dtype.type(least_intensity))
    lost = predicted - counts
    # At pixels without a photon the logarithm is finite, and its factor is 0.
    ratio = np.maximum(counts, _TINY) / predicted
    lost += counts * np.log(ratio, out=ratio)
    lost *= 2
    return np.asarray(lost)


def poisson_deviance(
    amplitudes: Float32Array, intensity: Float32Array, valid_pixels: BoolArray | None = None
) -> Float64Array:
    """Return the deviance of every pattern; it is about 1 per pixel if the model is right and counts are many.

    Args:
        amplitudes: square roots of the counts (pattern, N, N).
        intensity: predicted counts (pattern, N, N).
        valid_pixels: detector pixels to use (N, N); None uses all.

    Returns:
        Sum over the pixels of each pattern (pattern,).
    """
    lost = deviance(np.square(amplitudes), intensity, _LEAST_JUDGED)
    if valid_pixels is not None:
        lost *= valid_pixels
    return np.asarray(lost.sum(axis=(1, 2), dtype=np.float64))
