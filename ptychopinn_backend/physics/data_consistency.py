"""The change of exit waves that makes the measured counts more likely; polish and calibration use it."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float32Array
from ptychopinn_backend.physics.far_field import centring_signs
from ptychopinn_backend.physics.likelihood import Likelihood

_WORKING_SET_BYTES: Final = 1 << 20
"""Size of the waves that are compared together, in bytes; their products need the same size again."""


class FarFieldFit:
    """Compares far fields with counts, a few patterns at a time, and keeps its working memory.

    The change of an exit wave is F^-1(f F(P O)), where F is the unitary transform and f is that of
    `Likelihood.far_field_change`.
    """

    def __init__(self, modes: int, N: int, likelihood: Likelihood, valid_pixels: BoolArray | None = None) -> None:
        """Allocate the working memory.

        Args:
            modes: number of probe modes.
            N: pattern side in pixels.
            likelihood: law of noise.
            valid_pixels: detector pixels to use (N, N); None uses all.
        """
        self.batch_size = max(1, _WORKING_SET_BYTES // (8 * modes * N * N))
        """Number of patterns that are compared together; they fit in the processor's cache."""
        self.likelihood = likelihood
        self._valid = valid_pixels
        self._signs = centring_signs(N)
        shape = (self.batch_size, modes, N, N)
        self._waves = np.empty(shape, np.complex64)
        self._products = np.empty(shape, np.complex64)

    def intensity(self, patches: Complex64Array, probe: Complex64Array) -> Float32Array:
        """Return the predicted counts.

        Args:
            patches: patches (pattern, N, N), at most `batch_size` of them.
            probe: probe (mode, N, N).

        Returns:
            Predicted counts (pattern, N, N), zero frequency at the array centre.
        """
        return self._intensity_of(self._far_fields(patches, probe))

    def change(
        self,
        patches: Complex64Array,
        probe: Complex64Array,
        amplitudes: Float32Array,
        strengths: Float32Array | None = None,
    ) -> tuple[Complex64Array, Float32Array]:
        """Return the change of the exit waves with alternating signs, and the predicted counts.

        Args:
            patches: patches (pattern, N, N), at most `batch_size` of them.
            probe: probe (mode, N, N).
            amplitudes: measured square roots of the counts (pattern, N, N).
            strengths: light of every pattern relative to that of the probe (pattern,); None stands for 1. The change is
                multiplied by the strength, which is the weight of the pattern.

        Returns:
            Change times (-1)^(row + column) (pattern, mode, N, N), for `onto_object` and `onto_probe`, and predicted
            counts (pattern, N, N). The change is valid until the next call.
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

        # The product uses real numbers, since NumPy would first make complex numbers of the factor.
        real = waves.view(np.float32)
        real *= np.repeat(factor, 2, axis=-1)[:, np.newaxis]
        return scipy.fft.ifft2(waves, norm="ortho", overwrite_x=True), predicted

    def onto_object(self, change: Complex64Array, probe: Complex64Array) -> Complex64Array:
        """Return the sum over modes of conj(P) times the change of the exit waves (pattern, N, N)."""
        back = (probe * self._signs).conj()
        products = np.multiply(change, back, out=self._products[: len(change)])
        return np.asarray(products[:, 0].copy() if products.shape[1] == 1 else products.sum(axis=1))

    def onto_probe(self, change: Complex64Array, patches: Complex64Array) -> Complex64Array:
        """Return the sum over patterns of conj(O) times the change of the exit waves (mode, N, N)."""
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
