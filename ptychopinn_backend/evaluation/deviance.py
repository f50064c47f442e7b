"""Poisson deviance of counts, and its expectation for photon noise alone.

An R-factor says little if most pixels have no photon. Where 0.01 photons per pixel are expected, the differences add up
to about ten times the measured amplitudes. The deviance weights each pixel by the information in it. It is twice the
log-likelihood that is lost against a model that predicts every count exactly (McCullagh and Nelder, Generalized Linear
Models, 1989, section 2.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array, FloatArray
from ptychopinn_backend.physics import likelihood

LEAST_INTENSITY: Final = 1e-3
"""Least counts that a model predicts. No detector is darker, and a single stray photon then has a finite deviance."""
_LARGEST_SUMMED: Final = 100.0
_TABLE_LENGTH: Final = 400


def deviance(counts: FloatArray, intensity: FloatArray) -> Float64Array:
    """Return the deviance pixel by pixel, in double precision.

    Args:
        counts: measured counts n, any shape.
        intensity: predicted counts I, same shape; smaller values are raised to `LEAST_INTENSITY`.

    Returns:
        Deviance of every pixel, same shape, 0 or more.
    """
    exact = likelihood.deviance(counts.astype(np.float64), intensity.astype(np.float64), LEAST_INTENSITY)
    return np.asarray(exact, np.float64)


def expected_deviance(intensity: FloatArray) -> Float64Array:
    """Return the mean deviance of Poisson counts of known intensity; about 1 for many counts, and less for few.

    Args:
        intensity: mean counts, any shape.

    Returns:
        Mean deviance, same shape.
    """
    predicted = np.maximum(intensity, LEAST_INTENSITY, dtype=np.float64)
    logarithms, values = _expectations()
    expected = np.interp(np.log(predicted), logarithms, values)
    # Beyond the table the expectation is 1 + 1 / (6 I) + ..., from the expansion of log n!.
    expected = np.where(predicted < _LARGEST_SUMMED, expected, 1 + 1 / (6 * predicted))
    # In the dark there are no counts above 1, and the model predicts the least intensity.
    dark = 2 * (LEAST_INTENSITY - intensity * (1 + np.log(LEAST_INTENSITY)))
    return np.asarray(np.where(intensity < LEAST_INTENSITY, dark, expected))


@dataclass
class DevianceSum:
    """Sums of the deviance and of its expectation over patterns that come in batches."""

    found: float = 0.0
    """Sum of the deviance."""
    expected: float = 0.0
    """Sum of the expectation for Poisson noise alone."""
    pixels: int = 0
    """Number of pixels in the sums."""

    def add(self, counts: FloatArray, intensity: FloatArray, valid: BoolArray | None = None) -> None:
        """Add patterns.

        Args:
            counts: measured counts (pattern, N, N).
            intensity: predicted counts (pattern, N, N).
            valid: detector pixels to use (N, N); None uses all.
        """
        if valid is not None:
            counts, intensity = counts[:, valid], intensity[:, valid]
        self.found += float(deviance(counts, intensity).sum())
        self.expected += float(expected_deviance(intensity).sum())
        self.pixels += counts.size

    @property
    def per_pixel(self) -> tuple[float, float]:
        """Deviance and its expectation per pixel."""
        return self.found / max(1, self.pixels), self.expected / max(1, self.pixels)


@lru_cache(maxsize=1)
def _expectations() -> tuple[Float64Array, Float64Array]:
    """Return the logarithms of intensities and the expectation for each, summed over all likely counts."""
    # This import takes half a second, and only a low dose needs it.
    from scipy.stats import poisson

    intensity = np.geomspace(LEAST_INTENSITY, _LARGEST_SUMMED, _TABLE_LENGTH)
    counts = np.arange(np.ceil(_LARGEST_SUMMED + 12 * np.sqrt(_LARGEST_SUMMED)))[:, np.newaxis]
    likely = np.asarray(poisson.pmf(counts, intensity))
    return np.log(intensity), np.asarray(
        np.sum(likely * deviance(counts, np.broadcast_to(intensity, likely.shape)), axis=0)
    )
