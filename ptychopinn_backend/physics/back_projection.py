"""One-step back-projection: an estimate of the object from the measured amplitude and the probe alone.

The measured amplitude takes the phase of the probe's own far field. It is propagated back, and the probe is divided
out: O = F^-1(A * exp(i arg F P_0)) * conj(P_0) / (|P_0|^2 + epsilon max |P_0|^2). For a weak object this is its linear
image. A network with this input starts from the physics and must only correct it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, ComplexArray, Float32Array, FloatArray

REGULARISATION: Final = 0.02
"""Fraction of the probe's largest intensity that keeps the division finite at pixels without light."""


def probe_far_field(probe: ComplexArray) -> ComplexArray:
    """Return the unitary far field of every mode (..., mode, N, N), zero frequency at the array centre."""
    return np.asarray(np.fft.fftshift(np.fft.fft2(probe, norm="ortho"), axes=(-2, -1)))


def fill_bad_pixels(amplitudes: FloatArray, probe: ComplexArray, valid_pixels: FloatArray) -> FloatArray:
    """Put the probe's own amplitude at bad detector pixels, so that pixels without a measurement count as vacuum.

    Args:
        amplitudes: amplitudes (..., N, N) in the scale of the probe, zero frequency at the array centre.
        probe: probe (mode, N, N).
        valid_pixels: mask (N, N), 1 for good and 0 for bad pixels.

    Returns:
        Amplitudes (..., N, N).
    """
    return np.asarray(np.where(valid_pixels > 0, amplitudes, vacuum_amplitude(probe)))


def back_projection(amplitudes: FloatArray, probe: ComplexArray) -> Complex64Array:
    """Return the one-step back-projection of patterns.

    Args:
        amplitudes: amplitudes (..., N, N) in the scale of the probe, zero frequency at the array centre.
        probe: probe (mode, N, N); the first mode gives the phase.

    Returns:
        Object (..., N, N), complex64; it is near 1 where the object is vacuum and the probe is strong.
    """
    phase, factor = probe_terms(probe)
    measured: Float32Array = np.fft.ifftshift(np.asarray(amplitudes, dtype=np.float32), axes=(-2, -1))
    exit_wave = np.fft.ifft2(measured * phase, norm="ortho")
    return np.asarray(exit_wave * factor, dtype=np.complex64)


def probe_terms(probe: ComplexArray) -> tuple[Complex64Array, Complex64Array]:
    """Return the two terms that a back-projection takes from the probe; they are the same for all patterns.

    Args:
        probe: probe (mode, N, N); only the first mode is used.

    Returns:
        Phase factor of its far field (N, N), zero frequency in the corner, and the factor on the exit wave (N, N).
    """
    first = np.asarray(probe[0], dtype=np.complex64)
    far_field = np.fft.fft2(first, norm="ortho")
    phase = far_field / np.maximum(np.abs(far_field), np.finfo(np.float32).tiny)
    intensity = np.abs(first) ** 2
    factor = np.conj(first) / (intensity + REGULARISATION * intensity.max())
    return phase.astype(np.complex64), np.asarray(factor, dtype=np.complex64)


def vacuum_amplitude(probe: ComplexArray) -> FloatArray:
    """Return the far-field amplitude without an object (N, N), zero frequency at the array centre.

    Args:
        probe: probe (mode, N, N).

    Returns:
        Square root of the sum of the intensities of all modes, in the scale of the probe.
    """
    return np.asarray(np.sqrt(np.sum(np.abs(probe_far_field(probe)) ** 2, axis=0)))
