"""The change of exit waves that makes the measured counts likelier: the core of polish and calibration."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float32Array
from ptychopinn_backend.physics.far_field import centring_signs
from ptychopinn_backend.physics.likelihood import Likelihood

_WORKING_SET_BYTES: Final = 1 << 20
"""Of the waves that are compared together; their products take as much again."""


class FarFieldFit:
    """Compares far fields with counts, a few patterns at a time; keeps its working memory.

    With F the unitary transform the change of an exit wave is F^-1(f F(P O)), f from `Likelihood.far_field_change`.
    """

    def __init__(self, modes: int, N: int, likelihood: Likelihood, valid_pixels: BoolArray | None = None) -> None:
        """Make room.

        Args:
            modes: probe modes.
            N: pattern side in pixels.
            likelihood: law of noise.
            valid_pixels: detector pixels to use (N, N); None uses all.
        """
        self.batch_size = max(1, _WORKING_SET_BYTES // (8 * modes * N * N))
        """Patterns that are compared together, few enough for the processor's cache."""
        self.likelihood = likelihood
        self._valid = valid_pixels
        self._signs = centring_signs(N)
        shape = (self.batch_size, modes, N, N)
        self._waves = np.empty(shape, np.complex64)
        self._products = np.empty(shape, np.complex64)

    def intensity(self, patches: Complex64Array, probe: Complex64Array) -> Float32Array:
        """Return the predicted counts.

        Args:
            patches: (pattern, N, N), at most `batch_size`.
            probe: (mode, N, N).

        Returns:
            (pattern, N, N), zero frequency at the array centre.
        """
        return self._intensity_of(self._far_fields(patches, probe))

    def change(
        self,
        patches: Complex64Array,
        probe: Complex64Array,
        amplitudes: Float32Array,
        strengths: Float32Array | None = None,
    ) -> tuple[Complex64Array, Float32Array]:
        """Return the change of the exit waves, its signs alternating, and the counts that were predicted.

        Args:
            patches: (pattern, N, N), at most `batch_size`.
            probe: (mode, N, N).
            amplitudes: measured square roots of the counts (pattern, N, N).
            strengths: light of every pattern relative to the probe's (pattern,); None is 1. The change is multiplied by
                it, as the weight of the pattern is.

        Returns:
            Change times (-1)^(row + column) (pattern, mode, N, N), valid until the next call, as `onto_object` and
            `onto_probe` take it, and predicted counts (pattern, N, N).
        """
        waves = self._far_fields(patches, probe)
        predicted = self._intensity_of(waves)
        scale = None if strengths is None else strengths[:, np.newaxis, np.newaxis]
        if scale is not None:
            predicted *= scale
        factor = self.likelihood.far_field_change(amplitudes, predicted)
        if scale is not None:
            factor *= scale
        if self._valid is not None:
            factor *= self._valid
        import scipy.fft

        # By real numbers: NumPy would make complex numbers of the factor first.
        real = waves.view(np.float32)
        real *= np.repeat(factor, 2, axis=-1)[:, np.newaxis]
        return scipy.fft.ifft2(waves, norm="ortho", overwrite_x=True), predicted

    def onto_object(self, change: Complex64Array, probe: Complex64Array) -> Complex64Array:
        """Return the sum over modes of conj(P) times the change of the exit waves, (pattern, N, N)."""
        back = (probe * self._signs).conj()
        products = np.multiply(change, back, out=self._products[: len(change)])
        return np.asarray(products[:, 0].copy() if products.shape[1] == 1 else products.sum(axis=1))

    def onto_probe(self, change: Complex64Array, patches: Complex64Array) -> Complex64Array:
        """Return the sum over patterns of conj(O) times the change of the exit waves, (mode, N, N)."""
        products = np.multiply(change, patches.conj()[:, np.newaxis], out=self._products[: len(change)])
        return np.asarray(products.sum(axis=0) * self._signs)

    def _far_fields(self, patches: Complex64Array, probe: Complex64Array) -> Complex64Array:
        import scipy.fft

        waves = np.multiply(patches[:, np.newaxis], probe * self._signs, out=self._waves[: len(patches)])
        return np.asarray(scipy.fft.fft2(waves, norm="ortho", overwrite_x=True))

    def _intensity_of(self, waves: Complex64Array) -> Float32Array:
        squares = np.square(waves.view(np.float32), out=self._products[: len(waves)].view(np.float32))
        summed = squares[:, 0] if squares.shape[1] == 1 else squares.sum(axis=1)
        return np.asarray(summed[..., ::2] + summed[..., 1::2])
