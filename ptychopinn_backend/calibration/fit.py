"""Fit of a model to patterns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptychopinn_backend.arrays import Float32Array, IntArray
from ptychopinn_backend.calibration.estimate import Measured
from ptychopinn_backend.physics.likelihood import poisson_deviance


@dataclass(frozen=True)
class Fit:
    """Fit of a model to some patterns."""

    r_factor: float
    """R-factor, sum |A - A_model| / sum A over valid pixels."""
    deviance: float
    """Mean Poisson deviance of a pattern per valid pixel; about 1 for photon noise of many counts."""
    log_likelihood: float
    """Mean Poisson log-likelihood of a pattern, relative to a model that predicts every count exactly. It is minus half
    the deviance of a pattern."""
    each: tuple[float, ...] = ()
    """Deviance of every pattern per valid pixel."""


class FitSum:
    """Sums up the fit of patterns that come in parts."""

    def __init__(self, measured: Measured, every: int = 1) -> None:
        """Start with no patterns.

        Args:
            measured: the patterns.
            every: 1 takes every part that is added; 2 takes every second part, and so on.
        """
        self._every, self._parts = every, 0
        self._measured = measured
        self._difference = self._total = 0.0
        self._deviances: list[float] = []

    def add(self, rows: IntArray, predicted: Float32Array) -> None:
        """Add patterns.

        Args:
            rows: rows of the patterns.
            predicted: predicted counts (pattern, N, N).
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
        """Return the fit of the patterns so far; all values are NaN if there are none."""
        if not self._deviances:
            return Fit(np.nan, np.nan, np.nan)
        mean = float(np.mean(self._deviances))
        r_factor = self._difference / self._total if self._total else np.nan
        n_valid = self._measured.n_valid
        return Fit(r_factor, mean / n_valid, -mean / 2, tuple(deviance / n_valid for deviance in self._deviances))
