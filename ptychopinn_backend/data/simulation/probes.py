"""Synthetic probes: disk, Gaussian, defocused zone plate, from file; with incoherent modes of set power."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from scipy import ndimage

from ptychopinn_backend.arrays import Complex64Array, ComplexArray, FloatArray
from ptychopinn_backend.data.simulation.spec import SimulationConfig
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import read_npz
from ptychopinn_backend.physics.probe import as_mode_stack, pixel_distance

_EDGE_BLUR_PX: Final = 1.0


def make_probe(spec: SimulationConfig) -> Complex64Array:
    """Return the probe of a simulation with total power 1.

    Args:
        spec: the simulation.

    Returns:
        (mode, N, N), sum over modes and pixels of |P|^2 = 1; modes are orthogonal unless they come from a file.

    Raises:
        DataError: a probe file that cannot be used, or with fewer modes than asked for.
    """
    if spec.probe == "file":
        assert spec.probe_file is not None
        stack, fractions = _from_file(spec.probe_file, spec)
    else:
        fractions = _fractions(spec)
        stack = _modes_of(_KINDS[spec.probe](spec), len(fractions))
    powers = np.sum(np.abs(stack) ** 2, axis=(-2, -1))
    return np.asarray(stack * np.sqrt(fractions / powers)[:, None, None], np.complex64)


def disk(spec: SimulationConfig) -> ComplexArray:
    """Return an evenly lit circle with a softened edge and a curved phase, (N, N)."""
    amplitude = (pixel_distance(spec.size) <= spec.diameter_px / 2).astype(np.float64)
    return _propagated(ndimage.gaussian_filter(amplitude, _EDGE_BLUR_PX) * _curvature(spec), spec.defocus_px2 or 0.0)


def gaussian(spec: SimulationConfig) -> ComplexArray:
    """Return a Gaussian beam whose intensity has its full width at half maximum at `diameter_px`, (N, N)."""
    amplitude = np.exp(-2 * np.log(2) * (pixel_distance(spec.size) / spec.diameter_px) ** 2)
    return _propagated(amplitude * _curvature(spec), spec.defocus_px2 or 0.0)


def zone_plate(spec: SimulationConfig) -> ComplexArray:
    """Return the defocused beam of a zone plate with a central stop, (N, N).

    The beam is the inverse Fourier transform of the annular pupil. A ray of frequency f, in cycles per pixel, meets the
    object f * defocus_px2 pixels from the axis, so the beam is about 2 * f_max * defocus_px2 wide.
    """
    frequency = np.fft.fftfreq(spec.size)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    edge = spec.zone_plate_aperture / 2
    pupil = ((radius <= edge) & (radius >= edge * spec.zone_plate_stop)).astype(np.float64)
    softened = np.fft.ifftshift(ndimage.gaussian_filter(np.fft.fftshift(pupil), 0.5))
    focus = np.fft.fftshift(np.fft.ifft2(softened * _half_pixel_ramp(spec.size)))
    defocus = spec.diameter_px / (2 * edge) if spec.defocus_px2 is None else spec.defocus_px2
    return _propagated(focus, defocus)


_KINDS: Final = {"disk": disk, "gaussian": gaussian, "zone_plate": zone_plate}


def _curvature(spec: SimulationConfig) -> ComplexArray:
    relative = pixel_distance(spec.size) / (spec.diameter_px / 2)
    return np.asarray(np.exp(1j * spec.probe_curvature_rad * relative**2))


def _propagated(wave: ComplexArray, defocus_px2: float) -> ComplexArray:
    """Return the wave after Fresnel propagation by wavelength * distance = `defocus_px2` pixel areas."""
    if defocus_px2 == 0:
        return wave
    frequency = np.fft.fftfreq(len(wave))
    kernel = np.exp(-1j * np.pi * defocus_px2 * (frequency[:, None] ** 2 + frequency[None, :] ** 2))
    return np.asarray(np.fft.fftshift(np.fft.ifft2(np.fft.fft2(np.fft.ifftshift(wave)) * kernel)))


def _half_pixel_ramp(N: int) -> ComplexArray:
    """Return the factor that centres a transform between the four middle pixels, as `pixel_distance` does."""
    ramp = np.exp(1j * np.pi * np.fft.fftfreq(N))
    return np.asarray(ramp[:, None] * ramp[None, :])


def _fractions(spec: SimulationConfig) -> FloatArray:
    if spec.mode_fractions is not None:
        return np.array(spec.mode_fractions)
    halved = 0.5 ** np.arange(spec.modes or 1)
    return np.asarray(halved / halved.sum())


def _modes_of(beam: ComplexArray, count: int) -> ComplexArray:
    """Return orthogonal modes: the beam times polynomials of rising degree, as partial coherence makes them."""
    N = len(beam)
    axis = (np.arange(N) - (N - 1) / 2) / (N / 4)
    degrees = sorted(((p, q) for p in range(count) for q in range(count)), key=lambda d: (d[0] + d[1], d[1]))[:count]
    stack = np.stack([beam * axis[:, None] ** q * axis[None, :] ** p for p, q in degrees])
    orthogonal, triangle = np.linalg.qr(stack.reshape(count, -1).T)
    # QR leaves the sign of every mode open; keep the phase of the beam.
    phase = np.diagonal(triangle) / np.abs(np.diagonal(triangle))
    return np.asarray((orthogonal * phase).T.reshape(stack.shape))


def _from_file(path: Path, spec: SimulationConfig) -> tuple[Complex64Array, FloatArray]:
    probe = read_npz(path, ("probeGuess",)).get("probeGuess")
    if probe is None:
        raise DataError(f"probe_file '{path}' has no 'probeGuess'. Store the probe under that key.")
    stack = as_mode_stack(probe)
    if stack.shape[-1] != spec.size:
        raise DataError(
            f"probe_file '{path}' holds a probe of {stack.shape[-1]} pixels for size = {spec.size}. "
            f"Set size to {stack.shape[-1]}."
        )
    wanted = spec.modes or (len(spec.mode_fractions) if spec.mode_fractions else len(stack))
    if wanted > len(stack):
        raise DataError(f"probe_file '{path}' holds {len(stack)} modes; {wanted} are asked for. Lower modes.")
    stack = stack[:wanted]
    powers = np.sum(np.abs(stack.astype(np.complex128)) ** 2, axis=(-2, -1))
    if not powers.all():
        raise DataError(f"probe_file '{path}' holds a mode without light. Lower modes, or remove it.")
    fractions = _fractions(spec) if spec.mode_fractions is not None else powers / powers.sum()
    return stack, np.asarray(fractions)
