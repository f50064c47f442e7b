"""How well a model explains patterns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptychopinn_backend.arrays import Float32Array, IntArray
from ptychopinn_backend.calibration.estimate import Measured
from ptychopinn_backend.physics.likelihood import poisson_deviance


@dataclass(frozen=True)
class Fit:
    """How well a model explains some patterns."""

    r_factor: float
    """Sum |A - A_model| / sum A over valid pixels."""
    deviance: float
    """Poisson deviance over the number of valid pixels; some 1 at the noise of many counts."""
    log_likelihood: float
    """Poisson log-likelihood of a pattern, relative to that of a model that hits every count; minus half the deviance
    of a pattern."""
    each: tuple[float, ...] = ()
    """Deviance of every pattern over the number of valid pixels."""


class FitSum:
    """Adds patterns up that come in parts."""

    def __init__(self, measured: Measured, every: int = 1) -> None:
        """Start with none.

        Args:
            measured: the patterns.
            every: takes one of so many parts that are added.
        """
        self._every, self._parts = every, 0
        self._measured = measured
        self._difference = self._total = 0.0
        self._deviances: list[float] = []

    def add(self, rows: IntArray, predicted: Float32Array) -> None:
        """Add patterns.

        Args:
            rows: of the patterns.
            predicted: counts (pattern, N, N).
        """
        self._parts += 1
        if self._parts % self._every != 1 % self._every:
            return
        amplitudes, valid = self._measured.amplitudes[rows], self._measured.valid_pixels
        difference = np.sqrt(predicted)
        difference -= amplitudes
        np.abs(difference, out=difference)
        if valid is not None:
            difference *= valid
            amplitudes = amplitudes * valid
        self._difference += float(difference.sum(dtype=np.float64))
        self._total += float(amplitudes.sum(dtype=np.float64))
        self._deviances += poisson_deviance(amplitudes, predicted, valid).tolist()

    def value(self) -> Fit:
        """Return the misfit of what was added; NaN of nothing."""
        if not self._deviances:
            return Fit(np.nan, np.nan, np.nan)
        mean = float(np.mean(self._deviances))
        r_factor = self._difference / self._total if self._total else np.nan
        n_valid = self._measured.n_valid
        return Fit(r_factor, mean / n_valid, -mean / 2, tuple(deviance / n_valid for deviance in self._deviances))
