"""Poisson deviance of counts, and what photon noise alone makes of it.

An R-factor says little where most pixels hold no photon: one photon where 0.01 are expected counts ten times its own
amplitude. The deviance, twice the log-likelihood that is lost against a model that hits every count, weighs each pixel
by what it can tell (McCullagh and Nelder, Generalized Linear Models, 1989, section 2.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array, FloatArray
from ptychopinn_backend.physics import likelihood

LEAST_INTENSITY: Final = 1e-3
"""Counts a model predicts at least: no detector is darker, and a single stray photon stays finite."""
_LARGEST_SUMMED: Final = 100.0
_TABLE_LENGTH: Final = 400


def deviance(counts: FloatArray, intensity: FloatArray) -> Float64Array:
    """Return the deviance pixel by pixel, in double precision.

    Args:
        counts: n, any shape.
        intensity: predicted counts I, same shape; taken as `LEAST_INTENSITY` at least.

    Returns:
        Same shape, from 0 on.
    """
    exact = likelihood.deviance(counts.astype(np.float64), intensity.astype(np.float64), LEAST_INTENSITY)
    return np.asarray(exact, np.float64)


def expected_deviance(intensity: FloatArray) -> Float64Array:
    """Return the mean deviance of Poisson counts of known intensity; 1 where counts are many, less where they are few.

    Args:
        intensity: any shape.

    Returns:
        Same shape.
    """
    predicted = np.maximum(intensity, LEAST_INTENSITY, dtype=np.float64)
    logarithms, values = _expectations()
    expected = np.interp(np.log(predicted), logarithms, values)
    # Beyond the table the expectation is 1 + 1 / (6 I) + ..., by the expansion of log n!.
    expected = np.where(predicted < _LARGEST_SUMMED, expected, 1 + 1 / (6 * predicted))
    # In the dark there are no counts above 1, and the deviance is that from the least intensity.
    dark = 2 * (LEAST_INTENSITY - intensity * (1 + np.log(LEAST_INTENSITY)))
    return np.asarray(np.where(intensity < LEAST_INTENSITY, dark, expected))


@dataclass
class DevianceSum:
    """Deviance of patterns that come in batches, and its expectation, per pixel."""

    found: float = 0.0
    """Sum of the deviance."""
    expected: float = 0.0
    """Sum of what Poisson noise alone gives."""
    pixels: int = 0
    """Pixels summed over."""

    def add(self, counts: FloatArray, intensity: FloatArray, valid: BoolArray | None = None) -> None:
        """Add patterns.

        Args:
            counts: measured (pattern, N, N).
            intensity: predicted counts (pattern, N, N).
            valid: detector pixels that count (N, N); None takes all.
        """
        if valid is not None:
            counts, intensity = counts[:, valid], intensity[:, valid]
        self.found += float(deviance(counts, intensity).sum())
        self.expected += float(expected_deviance(intensity).sum())
        self.pixels += counts.size

    @property
    def per_pixel(self) -> tuple[float, float]:
        """Deviance and expectation, a pixel."""
        return self.found / max(1, self.pixels), self.expected / max(1, self.pixels)


@lru_cache(maxsize=1)
def _expectations() -> tuple[Float64Array, Float64Array]:
    """Return logarithms of intensities and the expectation for each, summed over all counts that occur."""
    # Half a second to import, which only a low dose needs.
    from scipy.stats import poisson

    intensity = np.geomspace(LEAST_INTENSITY, _LARGEST_SUMMED, _TABLE_LENGTH)
    counts = np.arange(np.ceil(_LARGEST_SUMMED + 12 * np.sqrt(_LARGEST_SUMMED)))[:, np.newaxis]
    likely = np.asarray(poisson.pmf(counts, intensity))
    return np.log(intensity), np.asarray(
        np.sum(likely * deviance(counts, np.broadcast_to(intensity, likely.shape)), axis=0)
    )
