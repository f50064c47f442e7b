"""Far-field intensity of object patches: probe, optional smoothing, unitary FFT, incoherent sum of modes."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.arrays import ComplexArray, Float32Array, FloatArray


def centring_signs(N: int) -> Float32Array:
    """Return (-1)^(i + j) (N, N). The transform of a wave times this has its zero frequency at the array centre.

    Args:
        N: side in pixels; it must be even to centre a transform.

    Returns:
        Ones of alternating sign; the first one is positive.
    """
    index = np.arange(N)
    return np.asarray(1 - 2 * ((index[:, np.newaxis] + index) % 2), np.float32)


def smoothing_kernel(sigma_px: float) -> FloatArray:
    """Return the normalised 3 x 3 Gaussian kernel of `gaussian_smoothing_sigma`, (3, 3)."""
    line = np.exp(-(np.array([-1.0, 0.0, 1.0]) ** 2) / (2 * sigma_px**2))
    kernel = np.outer(line, line)
    return np.asarray(kernel / kernel.sum())


def exit_waves(patches: ComplexArray, probe: ComplexArray, smoothing_sigma_px: float = 0.0) -> ComplexArray:
    """Return psi_m = P_m * O, optionally smoothed with a 3 x 3 Gaussian, which takes 0 outside the array.

    Args:
        patches: object patches (..., N, N).
        probe: probe (mode, N, N).
        smoothing_sigma_px: sigma of the Gaussian in pixels; 0 does not smooth.

    Returns:
        Exit waves (..., mode, N, N).
    """
    waves = np.asarray(patches)[..., np.newaxis, :, :] * probe
    if smoothing_sigma_px > 0:
        from scipy.ndimage import convolve

        kernel = smoothing_kernel(smoothing_sigma_px).reshape((1,) * (waves.ndim - 2) + (3, 3))
        waves = convolve(waves, kernel, mode="constant")
    return np.asarray(waves)


def far_field_intensity(waves: ComplexArray) -> FloatArray:
    """Return sum over modes of |F psi_m|^2, where F is the unitary 2-D FFT with zero frequency at the array centre.

    The sum of the intensity equals the sum of |psi|^2 (Parseval).

    Args:
        waves: exit waves (..., mode, N, N).

    Returns:
        Intensity (..., N, N).
    """
    spectrum = np.fft.fft2(waves, norm="ortho")
    intensity = np.sum(spectrum.real**2 + spectrum.imag**2, axis=-3)
    return np.asarray(np.fft.fftshift(intensity, axes=(-2, -1)))
