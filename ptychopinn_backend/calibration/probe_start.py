"""The first probe of a calibration: from the scan, from an aperture and a defocus, or from the mean pattern alone."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft

from ptychopinn_backend.arrays import Complex64Array, Float64Array
from ptychopinn_backend.errors import DataError

_SECOND_MODE_PART: Final = 0.06
"""Part of the light that every added mode has at the start."""
_BEAM_PARTS: Final = (1 / 6, 1 / 3, 2 / 3)
"""Widths of the defocused beams to try, as parts of N."""


def scaled_to(probe: Complex64Array, counts: float) -> Complex64Array:
    """Return the probe, scaled to sum |P|^2 = `counts`, the mean counts of a pattern; vacuum is then about 1."""
    power = float(np.sum(np.abs(probe) ** 2, dtype=np.float64))
    return np.asarray(probe * np.sqrt(counts / power), np.complex64)


def with_modes(probe: Complex64Array, modes: int) -> Complex64Array:
    """Return a probe with at least a given number of modes: the first mode times x, y, x^2, ... about its centre.

    The modes of a partially coherent or vibrating beam start in this way (Thibault and Menzel, Nature 494, 68, 2013).

    Args:
        probe: probe (mode, N, N).
        modes: number of modes; a probe with more modes keeps them.

    Returns:
        Probe (mode, N, N) with the same total light.
    """
    missing = modes - len(probe)
    if missing <= 0:
        return probe
    N = probe.shape[-1]
    light = np.abs(probe[0].astype(np.complex128)) ** 2
    axis = np.arange(N) - N / 2
    x, y = (axis - (light.sum(axis=k) * axis).sum() / light.sum() for k in (0, 1))
    degrees = sorted(((p, q) for p in range(modes) for q in range(modes)), key=lambda d: (d[0] + d[1], d[1]))
    added = [probe[0] * (x**p)[np.newaxis, :] * (y**q)[:, np.newaxis] for p, q in degrees[1 : missing + 1]]
    total = float(np.sum(np.abs(probe) ** 2, dtype=np.float64))
    added = [mode * np.sqrt(_SECOND_MODE_PART * total / np.sum(np.abs(mode) ** 2)) for mode in added]
    kept = probe * np.sqrt(1 - min(0.5, _SECOND_MODE_PART * missing))
    return np.asarray(np.concatenate([kept, np.stack(added)]), np.complex64)


def probe_of_pupil(pupil: Float64Array, defocus_px2: float) -> Complex64Array:
    """Return the out-of-focus beam behind a lens with a pupil.

    A ray of frequency f, in cycles per pixel, meets the object f * defocus_px2 pixels from the axis.

    Args:
        pupil: amplitude on the detector (N, N), zero frequency at the array centre.
        defocus_px2: wavelength times distance from the focus, in areas of an object pixel.

    Returns:
        Beam (1, N, N), centred on the array.
    """
    frequency = (np.arange(len(pupil)) - len(pupil) // 2) / len(pupil)
    squared = frequency[:, np.newaxis] ** 2 + frequency**2
    wave = scipy.fft.ifftshift(pupil * np.exp(-1j * np.pi * defocus_px2 * squared))
    return np.asarray(scipy.fft.fftshift(scipy.fft.ifft2(wave))[np.newaxis], np.complex64)


def pupil_of(mean_pattern: Float64Array, aperture_px: float | None) -> Float64Array:
    """Return the amplitude of the light in the pupil.

    Args:
        mean_pattern: mean counts (N, N), zero frequency at the array centre.
        aperture_px: diameter of a round aperture in detector pixels; None takes the square root of the mean pattern,
            which includes the scattering of the object.

    Returns:
        Amplitude (N, N).

    Raises:
        DataError: the patterns hold no light.
    """
    if not mean_pattern.sum() > 0:
        raise DataError("The patterns hold no counts, so no probe can be begun from them. Check the scan.")
    if aperture_px is None:
        return np.asarray(np.sqrt(mean_pattern))
    axis = np.arange(len(mean_pattern)) - len(mean_pattern) / 2
    return np.asarray(np.hypot(axis[:, np.newaxis], axis) <= aperture_px / 2, np.float64)


def trial_defocuses(pupil: Float64Array) -> list[float]:
    """Return the defocuses to try if none is known: beams of several widths before and behind the focus.

    Args:
        pupil: amplitude on the detector (N, N), zero frequency at the array centre.

    Returns:
        Defocuses (wavelength times distance) in areas of an object pixel, including 0.
    """
    N = len(pupil)
    axis = np.arange(N) - N / 2
    weight = pupil**2
    mean_square = float((weight * (axis[:, np.newaxis] ** 2 + axis**2)).sum() / weight.sum())
    # This is the root mean square of the frequency, times two for the whole width.
    spread = 2 * np.sqrt(max(mean_square, 1.0)) / N
    widths = [part * N / spread for part in _BEAM_PARTS]
    return [0.0, *(sign * width for width in widths for sign in (1.0, -1.0))]
